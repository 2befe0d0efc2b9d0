"""OpenVINO on the CPU, from the same ONNX model."""

from __future__ import annotations

import sys
from typing import Any

from unrolled.bench.grid import Case
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.onnx_graph import onnx_answer, onnx_inputs, onnx_model
from unrolled.bench.problem import Problem


class OpenVino(Peer):
    """A compiled model tuned for latency, in float32, with its inputs shared rather than copied."""

    name = "openvino"
    packages = ("openvino", "onnx")

    def refuses(self, case: Case) -> str | None:
        """Refuse training, and elementwise cells."""
        if case.is_elementwise:
            return "ONNX has no operator for elementwise cells"
        return "OpenVINO only infers" if case.mode == "training" else None

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Compile the model."""
        import numpy

        openvino = _import_quietly()
        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # else it would compute in bfloat16 where the processor can
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = core.compile_model(core.read_model(onnx_model(problem)), "CPU", options)
        request = compiled.create_infer_request()
        inputs = {name: numpy.ascontiguousarray(array) for name, array in onnx_inputs(problem).items()}
        for name, array in inputs.items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

        def run() -> Any:
            request.infer()
            # memory that the tensors share must live as long as the request
            return inputs

        def answer(_: Any) -> Any:
            return onnx_answer(problem, [request.get_output_tensor(k).data for k in range(len(compiled.outputs))])

        return [Way("request", run, answer)]


def _import_quietly() -> Any:
    """Import OpenVINO without its telemetry.

    It would fork this process while threads of others run, and report the import to a server on the network; OpenVINO
    works without it if it is absent.
    """
    name = "openvino_telemetry"
    absent = name not in sys.modules
    if absent:
        # Python then considers it not installed
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if absent:
            del sys.modules[name]
    return openvino
