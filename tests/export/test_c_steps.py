"""Networks as C: the logits after each step of random streams, saved and loaded in between, are those of Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.c_compiler import COMPILERS, PROGRAMS, compiled, needs_compiler, run
from torch import Tensor, nn

from unrolled import load
from unrolled.errors import ArgumentError
from unrolled.export.c import to_c
from unrolled.export.models import export
from unrolled.layers import (
    GRU,
    LSTM,
    RNN,
    AdaptiveOutput,
    Embedding,
    Frames,
    ImageSteps,
    LinearOutput,
    MinGRU,
    StackedFrames,
    make_pooling,
)
from unrolled.layers.inputs.clips import StepEncoder
from unrolled.layers.inputs.texts import TextBatch, TextInputs, WordVotes
from unrolled.networks import ManyToOneNetwork, SyncedNetwork, TaggingNetwork

STORED = Path(__file__).parents[1] / "models" / "v0.1"
STEPS, CUT = 12, 5


def synced(inputs: nn.Module, hidden: Any) -> SyncedNetwork:
    return SyncedNetwork(inputs, hidden, LinearOutput(hidden.output_size, 7))


def tokens(hidden: Any) -> SyncedNetwork:
    return synced(Embedding(9, hidden.input_size), hidden)


def pooled(inputs: nn.Module, hidden: Any, pooling: str, beside: nn.Module | None = None) -> ManyToOneNetwork:
    pool = make_pooling(pooling, hidden.output_size)
    return ManyToOneNetwork(inputs, hidden, pool, LinearOutput(pool.output_size, 3), beside=beside)


def tied() -> SyncedNetwork:
    embedding, hidden = Embedding(9, 4), GRU(4, 6)
    return SyncedNetwork(embedding, hidden, LinearOutput(6, 9, tied=embedding.weight))


def features(**options: Any) -> Frames:
    return Frames(3, **options, mean=torch.tensor([1.0, -2.0, 0.5]), std=torch.tensor([2.0, 0.5, 1.0]))


def voting(buckets: int, pairs: int, vectors: bool) -> ManyToOneNetwork:
    rows = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32) if vectors else None
    votes = WordVotes(11, 3, buckets=buckets, pairs=pairs)
    for name, values in (*votes.named_parameters(), *votes.named_buffers()):
        if name != "scale":
            nn.init.uniform_(values, 1.0, 2.0)
    return pooled(TextInputs(11, 5, buckets=buckets, vectors=rows), GRU(5, 6), "max+attention", votes)


NETWORKS: dict[str, Callable[[], SyncedNetwork | ManyToOneNetwork]] = {
    "rnn-tanh": lambda: tokens(RNN(5, 17)),
    "rnn-relu": lambda: tokens(RNN(5, 6, nonlinearity="relu", bias=False, num_layers=2)),
    "rnn-sigmoid": lambda: tokens(RNN(5, 6, nonlinearity="sigmoid", layer_norm=True, zoneout=0.2)),
    "gru": lambda: tokens(GRU(8, 33, num_layers=3)),
    "gru-before": lambda: tokens(GRU(5, 6, reset_after=False, layer_norm=True, num_layers=2, residual=True)),
    "gru-residual": lambda: tokens(GRU(6, 6, reset_after=False, bias=False, residual=True, num_layers=2, zoneout=0.1)),
    "lstm": lambda: tokens(LSTM(8, 33, num_layers=2, learn_initial_state=True)),
    "lstm-peephole": lambda: tokens(LSTM(5, 6, peephole=True, zoneout=(0.1, 0.3), num_layers=2)),
    "lstm-coupled": lambda: tokens(LSTM(5, 6, coupled=True, bias=False)),
    "lstm-all": lambda: tokens(
        LSTM(4, 6, coupled=True, peephole=True, proj_size=4, layer_norm=True, residual=True, num_layers=2)
    ),
    "lstm-projected": lambda: tokens(LSTM(5, 6, proj_size=3, peephole=True, num_layers=2, learn_initial_state=True)),
    "tied-through-a-bridge": tied,
    "labels": lambda: TaggingNetwork(Embedding(9, 4), GRU(4, 5), LinearOutput(5, 3), chained=False),
    "rows": lambda: synced(features(), LSTM(3, 5)),
    "rows-mapped": lambda: pooled(features(size=4), GRU(4, 5), "mean"),
    "rows-differences": lambda: synced(StepEncoder(Frames(6, 4), differences=True, dims=1), GRU(4, 5)),
    "image-rows": lambda: pooled(ImageSteps(4, 3, 2), RNN(6, 5), "last+max"),
    "frames": lambda: synced(StackedFrames(3, 4, stride=2, left=3), LSTM(4, 5)),
    "single-frames": lambda: synced(StackedFrames(3, 4, stride=1), GRU(4, 5)),
    "words": lambda: voting(0, 0, vectors=False),
    "words-parts-pairs-vectors": lambda: voting(13, 8, vectors=True),
    "plain-words": lambda: pooled(TextInputs(11, 5), LSTM(5, 6), "attention"),
}


class Stream:
    """A random stream: what the program reads, and what Python makes of it."""

    def __init__(self, network: Any) -> None:
        self.network, self.kind, self.given = network, "TOKENS", b""
        layer = network.inputs
        if isinstance(layer, Embedding):
            self.x: Any = torch.randint(layer.vocabulary_size, (STEPS,))
            self.given = self.x.to(torch.int32).numpy().tobytes()
        elif isinstance(layer, TextInputs):
            self._words(layer, network.beside)
        elif isinstance(layer, StackedFrames):
            self._frames(layer)
        else:
            self.kind = "ROWS"
            encoder = layer.encoder if isinstance(layer, StepEncoder) else layer
            width = layer.output_size if isinstance(layer, ImageSteps) else encoder.features
            width //= 2 if isinstance(layer, StepEncoder) and layer.differences else 1
            self.x = torch.randn(STEPS, width) * (50 if isinstance(layer, ImageSteps) else 1)
            self.given = self.x.numpy().tobytes()

    def _frames(self, layer: StackedFrames) -> None:
        self.kind, stride = "FRAMES", layer.stack.stride
        self.x = torch.randn(stride * STEPS - (stride - 1), layer.stack.features)
        parts = self.x.split(stride)
        self.given = b"".join(np.int32(len(part)).tobytes() + part.numpy().tobytes() for part in parts)

    def _words(self, layer: TextInputs, votes: WordVotes | None) -> None:
        self.kind = "WORDS"
        vectors = 1 if layer.vectors is None else len(layer.vectors)
        pairs = 1 if votes is None or votes.pairs is None else len(votes.pairs)
        buckets = 1 if layer.parts is None else layer.parts.vocabulary_size
        words, rows, pair = (torch.randint(n, (STEPS,)) for n in (layer.words.vocabulary_size, vectors, pairs))
        parts = [torch.randint(buckets, (n % 4,)) for n in range(STEPS)]
        begins = torch.tensor([0, *(len(part) for part in parts[:-1])]).cumsum(0)
        columns = (each.unsqueeze(1) for each in (words, rows, pair))
        words_of, rows_of, pairs_of = columns
        self.x = TextBatch(words_of, torch.cat(parts), begins, rows_of, pairs_of)
        numbers = [
            [int(words[n]), int(rows[n]), int(pair[n]), len(part), *part.tolist()] for n, part in enumerate(parts)
        ]
        self.given = b"".join(np.array(each, np.int32).tobytes() for each in numbers)

    def expected(self) -> Tensor:
        """The logits after each step, (STEPS, K)."""
        with torch.no_grad():
            if isinstance(self.network, SyncedNetwork):
                x, lengths = self.x.unsqueeze(1), torch.tensor([len(self.x)])
                return self.network(x, None, lengths)[0][:, 0]
            state, rows = self.network.start(1), []
            for n in range(STEPS):
                logits, state = self.network.step(self._step(n), state)
                rows.append(logits)
            return torch.cat(rows)

    def _step(self, n: int) -> Any:
        if isinstance(self.x, Tensor):
            return self.x[n : n + 1]
        end = self.x.begins[n + 1] if n + 1 < STEPS else len(self.x.parts)
        steps = {name: getattr(self.x, name)[n] for name in ("words", "vectors", "pairs")}
        return self.x._replace(**steps, parts=self.x.parts[self.x.begins[n] : end], begins=torch.tensor([0]))


def check(network: Any, folder: Path, compiler: str, *options: str) -> None:
    stream = Stream(network)
    binary = compiled(compiler, PROGRAMS / "steps.c", folder, (f"-D{stream.kind}", f"-DCUT={CUT}", *options))
    expected = stream.expected()
    logits = np.frombuffer(run(binary, given=stream.given), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().eval()
    for parameter in network.hidden.parameters():
        nn.init.uniform_(parameter, -0.6, 0.6)
    files = to_c(network, tmp_path / "model.c")
    assert [file.name for file in files] == ["model.c", "model.h"]
    for compiler in COMPILERS:
        check(network, tmp_path, compiler)


IN_C = "classify-causal generate-byte-pairs generate-characters label-features recognize-rows transcribe-causal"


@needs_compiler
@pytest.mark.parametrize("name", IN_C.split())
def test_a_stored_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = load(STORED / name / "model")
    export(model, "c", tmp_path / "model.c")
    if name == "label-features":
        assert f'"{model.output.labels[0]}"' in (tmp_path / "model.c").read_text("utf-8")
    check(model.network, tmp_path, COMPILERS[0])


@needs_compiler
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_no_warning_at_any_level_of_optimisation(level: str, tmp_path: Path) -> None:
    torch.manual_seed(8)
    network = synced(Embedding(50, 32), LSTM(32, 64, num_layers=2)).eval()
    to_c(network, tmp_path / "model.c")
    for compiler in COMPILERS:
        check(network, tmp_path, compiler, level)


@needs_compiler
def test_weights_beside_the_source(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = NETWORKS["lstm-all"]().eval()
    files = to_c(network, tmp_path / "model", weights_beside=True)
    assert [file.name for file in files] == ["model.c", "model.h", "model.bin"]
    check(network, tmp_path, COMPILERS[0], f'-DWEIGHTS_FILE="{files[2]}"')


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "both-ways": (lambda: tokens(GRU(4, 5, bidirectional=True)), "no bidirectional stack.*--to onnx exports it"),
    "crf": (lambda: TaggingNetwork(Embedding(9, 4), GRU(4, 5), LinearOutput(5, 3)), "no CRF.*--to onnx"),
    "cell": (lambda: tokens(MinGRU(4, 5)), "no cell 'mingru', only rnn, gru and lstm; train with one of these"),
    "output": (lambda: SyncedNetwork(Embedding(9, 4), GRU(4, 5), AdaptiveOutput(5, 9, (4,))), "no AdaptiveOutput"),
    "layer": (lambda: GRU(4, 5), "no GRU, which does not read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_has_no_form_in_c_is_refused(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=f"model: a C export has {message}"):
        to_c(make(), tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


LACKING = {
    "translate": "attention",
    "caption": "attention",
    "classify": "bidirectional stack",
    "tag-entities": "CRF",
    "tag-labels": "input layer Words",
    "label-frames": "encoder ImageVector",
    "transcribe": "bidirectional stack",
    "recognize-image": "OneToOneNetwork",
}


@pytest.mark.parametrize("name, lacks", LACKING.items())
def test_a_model_that_has_no_form_in_c_says_what_it_lacks(name: str, lacks: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=f"model: a C export has no {lacks}.*--to onnx exports it"):
        export(load(STORED / name / "model"), "c", tmp_path / "model.c")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = NETWORKS["gru"]()
    with torch.no_grad():
        network.hidden.weight_hh_l0[0, 0] = torch.nan
    with pytest.raises(ArgumentError, match="its weights are not finite; training has diverged"):
        to_c(network, tmp_path / "model.c")


def test_a_name_without_letters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--out: '-' has no letter or digit"):
        to_c(NETWORKS["gru"](), tmp_path / "-.c")
