"""Names that people import: none vanishes unnoticed (docs/policy.md), and importing them stays quick."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import unrolled

#: every name that was ever public, by the module it is imported from; a name leaves only after a deprecation
NAMES = {
    "unrolled": """
        Client GRU GRUCell IndRNN LRU LSTM LSTMCell MinGRU MinLSTM Model MogrifierLSTM RGLRU RNN RNNCell
        Recurrent SLSTM SRU __version__ accelerate load restore train use_engine
    """,
    "unrolled.layers": """
        AdaptiveOutput AdditiveAttention Attention AttentionPooling CRF CTC CellModule CrossEntropy
        DotAttention Embedding Frames GRU GRUCell GeneralAttention ImageEncoder ImageSteps IndRNN InputLayer
        LRU LSTM LSTMCell LastState LayerStream LinearOutput MaxPooling MeanPooling MinGRU MinLSTM
        MogrifierLSTM OutputLayer Pooling RGLRU RNN RNNCell Recurrent SLSTM SRU Session StackedFrames
        StreamState Words fingerprint layer_kind make_attention make_pooling step_together
    """,
    "unrolled.cells": """
        CELLS Cell GRUCell IndRNNCell LRUCell LSTMCell MinGRUCell MinLSTMCell MogrifierLSTMCell Params
        RGLRUCell RNNCell SLSTMCell SRUCell State StepGradients Trace
    """,
    "unrolled.scan": "Masks ScanGradients ScanResult Tape bptt scan unfold valid_steps",
    "unrolled.networks": """
        AttentionDecoder AutoregressiveForecaster DirectForecaster ManyToManyNetwork ManyToOneNetwork
        OneToManyNetwork OneToOneNetwork SyncedNetwork TaggingNetwork
    """,
    "unrolled.export": """
        AccelerationReport OnnxModule accelerate from_flax from_keras from_onnx restore to_flax to_keras
        to_onnx
    """,
    "unrolled.inspection": """
        AttentionMap Attribution Connectivity GateStatistics GradientFlow Jacobians UnfoldedNetwork
        attention_maps connectivity gate_statistics gradient_flow integrated_gradients jacobians occlusion
        rank_units saliency unfold_network
    """,
    "unrolled.serving": "Client Limits create_app serve",
    "unrolled.testing": """
        Check ConformanceError Refusal cell_checks check_cell check_engine check_layer engine_checks
        layer_checks poisoned require_refusal run_checks strided threads tolerance unchanged
    """,
    "unrolled.errors": """
        ArgumentError ArgumentTypeError CheckpointError DTypeError DataError DivergenceError EncodingError
        EngineError LimitError MissingDependencyError ModelError OutputExistsError ShapeError StateError
        StorageError UnrolledError
    """,
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_there(module: str) -> None:
    room = importlib.import_module(module)
    missing = [name for name in NAMES[module].split() if not hasattr(room, name)]
    assert missing == [], "a public name is gone; see docs/policy.md for how one may go"


def test_the_names_of_the_package_itself_are_all_listed() -> None:
    assert sorted(unrolled.__all__) == sorted(NAMES["unrolled"].split())


@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        ("import unrolled", 0.1),
        ("import sys; sys.argv = ['unrolled', '--help']; import unrolled.cli as c; c.main()", 0.3),
    ],
    ids=["import unrolled", "unrolled --help"],
)
def test_beginning_is_quick(code: str, seconds: float) -> None:
    # of the processor, since a busy machine may take any time; the start of Python itself is not ours
    measure = f"import time\nbegin = time.process_time()\n{code}\nprint(time.process_time() - begin)"
    runs = [
        subprocess.run([sys.executable, "-c", measure], capture_output=True, check=True, text=True) for _ in range(3)
    ]
    assert min(float(run.stdout.splitlines()[-1]) for run in runs) < seconds
