"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

from unrolled.bench.grid import Case
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.onnx_graph import onnx_answer, onnx_inputs, onnx_model
from unrolled.bench.problem import Problem


class OnnxRuntime(Peer):
    """An InferenceSession of one node: `run`, and with inputs and outputs bound beforehand."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")

    def refuses(self, case: Case) -> str | None:
        """Refuse training, and elementwise cells."""
        if case.is_elementwise:
            return "ONNX has no operator for elementwise cells"
        return "ONNX Runtime only infers" if case.mode == "training" else None

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Make the session, which packs the weights."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # errors only
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(onnx_model(problem), options, providers=["CPUExecutionProvider"])
        inputs = onnx_inputs(problem)
        binding = session.io_binding()
        # held by the closure: a binding does not keep what it points to alive
        values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for output in session.get_outputs():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, "float32")
            values[output.name] = value
            binding.bind_ortvalue_output(output.name, value)

        def bound() -> Any:
            session.run_with_iobinding(binding)
            return values

        def answer(_: Any) -> Any:
            return onnx_answer(problem, [values[output.name].numpy() for output in session.get_outputs()])

        return [
            Way("run", lambda: session.run(None, inputs), lambda results: onnx_answer(problem, results)),
            Way("bound", bound, answer),
        ]
