"""The checks of a layer in bfloat16: under autocast, and cast to it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from unrolled.cells import GRUCell
from unrolled.layers.recurrent.state import tensors_of
from unrolled.testing.compare import require, require_close
from unrolled.testing.problems import Problem, map_state


def autocast(make: Callable[..., Problem]) -> None:
    """Under autocast the results have torch's dtype and stay near float32, backwards and step by step too."""
    case = make(dtype=torch.float32, num_layers=2, bidirectional=True)
    expected, _ = case.layer(case.x)
    # torch's GRU mixes its products with the state, which keeps its dtype
    dtype = torch.float32 if isinstance(getattr(case.layer, "cell", None), GRUCell) else torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        output, final = case.layer(case.x)
    require(output.dtype == dtype, f"expected {dtype}, found {output.dtype}", "output")
    require(all(s.dtype == dtype for s in tensors_of(final)), f"expected {dtype}", "final state")
    require(not torch.equal(output.float(), expected), "no product is in the dtype of autocast", "output")
    scale = float(expected.detach().abs().max())
    require_close("output", output.float(), expected, 16 * torch.finfo(torch.bfloat16).eps * scale)
    output.float().sum().backward()
    _require_gradients(case.layer, torch.float32)


def bfloat16(make: Callable[..., Problem]) -> None:
    """A layer of bfloat16 stays near one of float32 with the same weights: whole, backwards, and step by step."""
    case, wide = (make(dtype=dtype, num_layers=2) for dtype in (torch.bfloat16, torch.float32))
    wide.layer.load_state_dict(case.layer.state_dict())
    expected, actual = wide.layer(case.x.float(), map_state(case.state, Tensor.float))[0], case.call()[0]
    near = 32 * torch.finfo(torch.bfloat16).eps * float(expected.detach().abs().max())
    require(actual.dtype == torch.bfloat16, f"expected torch.bfloat16, found {actual.dtype}", "output")
    require_close("output", actual.float(), expected, near)
    actual.float().sum().backward()
    _require_gradients(case.layer, torch.bfloat16)
    state = case.state
    for t in range(4 if hasattr(case.layer, "step") else 0):
        output, state = case.layer.step(case.x[t], state)
        require(output.dtype == torch.bfloat16, f"expected torch.bfloat16, found {output.dtype}", f"output of step {t}")
        require_close(f"output of step {t}", output.float(), expected[t], near)


def _require_gradients(layer: nn.Module, dtype: torch.dtype) -> None:
    for name, parameter in layer.named_parameters():
        gradient = parameter.grad
        if gradient is None and name.startswith("initial_"):
            # a state that is given takes the place of the learned one
            continue
        require(gradient is not None and bool(gradient.isfinite().all()), "no finite gradient", f"d{name}")
        require(gradient is not None and gradient.dtype == dtype, f"expected {dtype}", f"d{name}")


CHECKS: list[tuple[str, Callable[[Callable[..., Problem]], None]]] = [("autocast", autocast), ("bfloat16", bfloat16)]
