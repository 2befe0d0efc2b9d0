"""The contract of `scan`, kept by faster engines.

`contract` says what an engine is given and must return; `dispatch` chooses one for each call, can be overridden, and
says why; `autograd` makes any engine differentiable. `native` is our C++ engine, `aten` torch's own (cuDNN on a GPU),
and the scan itself serves whatever they can't. A kernel is slower or faster, never different.
"""

from unrolled.kernels.contract import Call, Direction, Engine, Gradients, Result, Saved
from unrolled.kernels.dispatch import Choice, choose, engines, run, step, use_engine

__all__ = [
    "Call",
    "Choice",
    "Direction",
    "Engine",
    "Gradients",
    "Result",
    "Saved",
    "choose",
    "engines",
    "run",
    "step",
    "use_engine",
]
