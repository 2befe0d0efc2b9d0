"""The contract of `scan`, kept by faster engines.

`contract` says what an engine is given and returns, `prepared` the same for calls that are too short for that;
`dispatch` chooses an engine for each call, can be overridden, and says why; `autograd` makes any engine differentiable,
and `operators` makes its calls operators that torch.compile records. `parameters` notes who may write to weights.
`native` is our C++ engine, `aten` torch's own (cuDNN on a GPU), and the scan itself serves whatever they can't. An
engine is slower or faster, never different.
"""

from unrolled.kernels.contract import Call, Direction, Engine, Gradients, Result, Saved, is_traced
from unrolled.kernels.dispatch import (
    Choice,
    choose,
    engines,
    forget,
    may_use_prepared,
    plainest_call,
    prepare,
    step,
    use_engine,
)
from unrolled.kernels.operators import run
from unrolled.kernels.parameters import ParameterTable
from unrolled.kernels.precision import Bfloat16Support, bfloat16_support
from unrolled.kernels.prepared import Prepared, PreparedStream, Stack, StackResult, StackState

__all__ = [
    "Bfloat16Support",
    "Call",
    "Choice",
    "Direction",
    "Engine",
    "Gradients",
    "ParameterTable",
    "Prepared",
    "PreparedStream",
    "Result",
    "Saved",
    "Stack",
    "StackResult",
    "StackState",
    "bfloat16_support",
    "choose",
    "engines",
    "forget",
    "is_traced",
    "may_use_prepared",
    "plainest_call",
    "prepare",
    "run",
    "step",
    "use_engine",
]
