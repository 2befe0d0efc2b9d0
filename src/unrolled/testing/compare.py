"""Checks, their failures, and the distance that two results may have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.errors import ArgumentError


class ConformanceError(AssertionError):
    """A check that failed.

    Attributes:
        problem: the fault, in words.
        subject: the cell, layer or engine that was checked, e.g. its repr.
        check: the check's name.
        tensor: the tensor that is wrong, if it is one.
        deviation: the largest absolute deviation found in it; NaN where something is not finite.
    """

    def __init__(self, problem: str, tensor: str | None = None, deviation: float | None = None) -> None:
        super().__init__(problem)
        self.problem, self.tensor, self.deviation = problem, tensor, deviation
        self.subject, self.check = "", ""

    def __str__(self) -> str:
        place = f"{self.subject} fails {self.check!r}: " if self.check else ""
        return place + (f"{self.tensor}: {self.problem}" if self.tensor else self.problem)


@dataclass(frozen=True)
class Check:
    """One named property of one subject. Call it to check it.

    Attributes:
        subject: the cell, layer or engine that is checked.
        name: the property, e.g. "step_backward", by which `skip` names it.
        body: does the work.
    """

    subject: str
    name: str
    body: Callable[[], None]

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ConformanceError: if the property does not hold, or if checking it raised anything at all.
        """
        try:
            self.body()
        except ConformanceError as error:
            error.subject, error.check = self.subject, self.name
            raise
        except Exception as error:
            failure = ConformanceError(f"raised {type(error).__name__}: {error}")
            failure.subject, failure.check = self.subject, self.name
            raise failure from error

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"


def run_checks(checks: Iterable[Check], skip: Collection[str] = ()) -> list[str]:
    """Run every check that is not skipped, and return the names of those that ran.

    Raises:
        ConformanceError: from the first that fails.
        ArgumentError: a name in `skip` is that of no check.
    """
    listed = list(checks)
    unknown = set(skip) - {check.name for check in listed}
    if unknown:
        raise ArgumentError(f"skip: no check is called {sorted(unknown)}; found {[check.name for check in listed]}")
    ran = []
    for check in listed:
        if check.name not in skip:
            check()
            ran.append(check.name)
    return ran


def tolerance(
    reference: Tensor, plain: Tensor, dtype: torch.dtype | None = None, factor: float = 8.0, ulps: float = 4.0
) -> float:
    """Return how far from `reference` a result in `dtype` may be: a small multiple of plain torch's own distance.

        factor · max|plain − reference| · ε(dtype)/ε(plain's dtype)  +  ulps · ε(dtype) · max|reference|

    The rounding of the same computation in plain torch is measured, not guessed: it grows with T, with H and with
    the condition of the problem as the tested result's own rounding does. The last term allows for a plain result
    that happens to be exact.

    Args:
        reference: the result in float64.
        plain: the same by plain torch, in `dtype`; for float64, which has no wider type to compare with, in float32.
        dtype: of the result to be judged; None is that of `plain`.
        factor: how many times plain torch's distance is allowed to the same computation in another order.
        ulps: units in the last place of the largest number that are always allowed.

    Returns:
        The largest absolute deviation allowed.
    """
    dtype = dtype or plain.dtype
    if reference.numel() == 0:
        return 0.0
    eps = torch.finfo(dtype).eps
    noise = float((plain.double() - reference.double()).abs().max()) * eps / torch.finfo(plain.dtype).eps
    return factor * noise + ulps * eps * float(reference.abs().max())


def require(holds: bool, problem: str, tensor: str | None = None) -> None:
    """Fail with `problem` unless `holds`.

    Raises:
        ConformanceError: if it does not.
    """
    if not holds:
        raise ConformanceError(problem, tensor)


def require_close(name: str, actual: Tensor | None, expected: Tensor, allowed: float) -> None:
    """Fail unless `actual` is within `allowed` of `expected` everywhere, of its shape, and finite where it is.

    Raises:
        ConformanceError: naming the tensor and the largest deviation.
    """
    if actual is None:
        raise ConformanceError("missing (None)", name)
    if actual.shape != expected.shape:
        raise ConformanceError(f"expected shape {tuple(expected.shape)}, found {tuple(actual.shape)}", name)
    if actual.numel() == 0:
        return
    gap = (actual.detach().double() - expected.detach().double()).abs()
    # a NaN compares false with everything: it must be asked for by name
    if bool(gap.isnan().any()):
        where = tuple(int(i) for i in gap.isnan().nonzero()[0])
        raise ConformanceError(f"not a number at {where}", name, float("nan"))
    largest = float(gap.max())
    if largest > allowed:
        where = tuple(int(i) for i in (gap == gap.max()).nonzero()[0])
        raise ConformanceError(
            f"largest deviation {largest:.3g} at {where} (found {float(actual.detach()[where]):.6g}, expected "
            f"{float(expected.detach()[where]):.6g}), allowed {allowed:.3g}",
            name,
            largest,
        )


def require_all_close(
    actual: Mapping[str, Tensor | None], expected: Mapping[str, Tensor], allowed: float | Mapping[str, float]
) -> None:
    """Require every tensor in `expected` to be close.

    Raises:
        ConformanceError: for the first that deviates.
    """
    for name, tensor in expected.items():
        bound = allowed if isinstance(allowed, (int, float)) else allowed[name]
        require_close(name, actual.get(name), tensor, bound)


def require_same(actual: Mapping[str, Tensor | None], expected: Mapping[str, Tensor]) -> None:
    """Fail unless every tensor in `expected` is in `actual`, bit for bit.

    Raises:
        ConformanceError: for the first that is not.
    """
    require_all_close(actual, expected, 0.0)
