"""Bad inputs as data: the fault, a call that has it, and the error that it must raise, with its message."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.testing.compare import ConformanceError
from unrolled.testing.samples import Sample


@dataclass(frozen=True)
class Refusal:
    """One fault that must be refused.

    Attributes:
        name: the fault, in words.
        act: a call with that fault, given the subject of its list.
        error: the type that must be raised.
        message: a regular expression that its message matches.
    """

    name: str
    act: Callable[[Any], object]
    error: type[Exception]
    message: str


def require_refusal(refusal: Refusal, subject: Any) -> None:
    """Fail unless the fault is refused with the right error.

    Raises:
        ConformanceError: if nothing is raised, or another error, or with another message.
    """
    try:
        refusal.act(subject)
    except refusal.error as error:
        if not re.search(refusal.message, str(error)):
            raise ConformanceError(f"{refusal.name}: {str(error)!r} does not match {refusal.message!r}") from error
    except Exception as error:
        raise ConformanceError(
            f"{refusal.name}: expected {refusal.error.__name__}, found {type(error).__name__}: {error}"
        ) from error
    else:
        raise ConformanceError(f"{refusal.name}: nothing was raised, expected {refusal.error.__name__}")


def _scan(**changes: Callable[[Sample], Any]) -> Callable[[Sample], object]:
    return lambda sample: replace(sample, **{name: change(sample) for name, change in changes.items()}).scan()


def _lengths(*values: float) -> Callable[[Any], Tensor]:
    return lambda _: torch.tensor(values)


#: for a `Sample` with T=4, B=3
SCAN_REFUSALS = (
    Refusal(
        "x without a batch", _scan(x=lambda s: s.x[:, 0]), ShapeError, r"x: expected shape \(T, B, I\), found \(4,"
    ),
    Refusal("x too wide", _scan(x=lambda s: torch.cat([s.x, s.x], -1)), ShapeError, r"x: expected shape \(T, B, I="),
    Refusal("x of no steps", _scan(x=lambda s: s.x[:0]), ShapeError, r"x: .*T of at least 1, found \(0, 3"),
    Refusal(
        "a state too many", _scan(state=lambda s: (*s.state, s.state[0])), ArgumentError, r"state: expected \d tens"
    ),
    Refusal(
        "a state of another batch", _scan(state=lambda s: tuple(t[:2] for t in s.state)), ShapeError, r"state h: .*B=3"
    ),
    Refusal(
        "lengths of another batch", _scan(lengths=_lengths(4, 4)), ShapeError, r"lengths: .*\(B=3,\), found \(2,\)"
    ),
    Refusal(
        "lengths with fractions", _scan(lengths=_lengths(4.0, 1.0, 2.0)), ArgumentError, r"lengths: expected integers"
    ),
    Refusal(
        "a length beyond T",
        _scan(lengths=_lengths(4, 5, 2)),
        ArgumentError,
        r"lengths\[1\]: expected 0 to T=4, found 5",
    ),
    Refusal(
        "a negative length",
        _scan(lengths=_lengths(4, 0, -1)),
        ArgumentError,
        r"lengths\[2\]: expected 0 to T=4, found -1",
    ),
    Refusal("lengths in a list", _scan(lengths=lambda _: [4, 0, 2]), DTypeError, r"lengths: expected a tensor .*list"),
    Refusal(
        "resets of another batch",
        _scan(reset=lambda _: torch.zeros(4, 2, dtype=torch.bool)),
        ShapeError,
        r"reset: expected shape \(T=4, B=3\), found \(4, 2\)",
    ),
    Refusal(
        "resets of numbers", _scan(reset=lambda _: torch.zeros(4, 3)), DTypeError, r"reset: expected torch.bool, .*32"
    ),
    Refusal(
        "states after a reset of another batch",
        _scan(start=lambda s: tuple(t[:2] for t in s.state)),
        ShapeError,
        r"start h: .*B=3",
    ),
    Refusal(
        "a window of no steps",
        _scan(truncate=lambda _: 0),
        ArgumentError,
        r"truncate: expected at least 1 step, found 0",
    ),
)


def _first_state(layer: nn.Module, x: Tensor) -> Any:
    with torch.no_grad():
        return layer(x)[1]


def _map(state: Any, change: Callable[[Tensor], Any]) -> Any:
    return change(state) if isinstance(state, Tensor) else tuple(change(s) for s in state)


def _with_state(change: Callable[[Any], Any]) -> Callable[[tuple[nn.Module, Tensor]], object]:
    def act(subject: tuple[nn.Module, Tensor]) -> object:
        layer, x = subject
        return layer(x, change(_first_state(layer, x)))

    return act


def _with_x(change: Callable[[Tensor], Any]) -> Callable[[tuple[nn.Module, Tensor]], object]:
    return lambda subject: subject[0](change(subject[1]))


def _with_lengths(make: Callable[[Any], Any]) -> Callable[[tuple[nn.Module, Tensor]], object]:
    return lambda subject: subject[0](subject[1], lengths=make(None))


def _packed(x: Tensor) -> Any:
    return pack_padded_sequence(x, torch.tensor([4, 1, 2]), enforce_sorted=False)


#: for a pair of a float64 layer (one layer, time first, I=2) and x (T=4, B=3, I=2)
LAYER_REFUSALS = (
    Refusal("x too wide", _with_x(lambda x: torch.cat([x, x], -1)), ShapeError, r"input: .*I=2\).*found \(4, 3, 4\)"),
    Refusal("x of four dimensions", _with_x(lambda x: x[None]), ShapeError, r"input: .*found \(1, 4, 3, 2\)"),
    Refusal("x of one dimension", _with_x(lambda x: x[0, 0]), ShapeError, r"input: .*found \(2,\)"),
    Refusal("x of no steps", _with_x(lambda x: x[:0]), ShapeError, r"input: .*T of at least 1, found \(0, 3, 2\)"),
    Refusal(
        "x of another dtype",
        _with_x(lambda x: x.float()),
        DTypeError,
        r"input: expected dtype .*64, found .*32",
    ),
    Refusal(
        "x of integers", _with_x(lambda x: x.long()), DTypeError, r"input: expected dtype .*float64, found .*int64"
    ),
    Refusal(
        "x on another device", _with_x(lambda x: x.to("meta")), DTypeError, r"input: expected device .*, found meta"
    ),
    Refusal("x in a list", _with_x(lambda x: x.tolist()), DTypeError, r"input: expected a Tensor .*list"),
    Refusal("packed x too wide", _with_x(lambda x: _packed(torch.cat([x, x], -1))), ShapeError, r"input: .*I=2"),
    Refusal("packed x of another dtype", _with_x(lambda x: _packed(x.float())), DTypeError, r"input: expected dtype"),
    Refusal(
        "lengths beside a PackedSequence",
        lambda s: s[0](_packed(s[1]), lengths=torch.tensor([4, 1, 2])),
        ArgumentError,
        r"lengths: a PackedSequence carries its own",
    ),
    Refusal(
        "lengths of an unbatched sequence",
        lambda s: s[0](s[1][:, 0], lengths=torch.tensor([4])),
        ArgumentError,
        r"lengths: an unbatched sequence",
    ),
    Refusal(
        "lengths of another batch", _with_lengths(_lengths(4, 4)), ShapeError, r"lengths: .*\(B=3,\), found \(2,\)"
    ),
    Refusal(
        "lengths with fractions", _with_lengths(_lengths(4.0, 1.0, 2.0)), ArgumentError, r"lengths: expected integers"
    ),
    Refusal("a length beyond T", _with_lengths(_lengths(4, 5, 2)), ArgumentError, r"lengths\[1\]: .*found 5"),
    Refusal("a negative length", _with_lengths(_lengths(4, 0, -1)), ArgumentError, r"lengths\[2\]: .*found -1"),
    Refusal("lengths in a list", _with_lengths(lambda _: [4, 0, 2]), DTypeError, r"lengths: expected a tensor .*list"),
    Refusal(
        "a state of another batch",
        _with_state(lambda s: _map(s, lambda t: t[:, :2])),
        ShapeError,
        r"hx.*: expected shape \(L·D=1, B=3, \d+\), found \(1, 2, \d+\)",
    ),
    Refusal(
        "a state of more layers",
        _with_state(lambda s: _map(s, lambda t: torch.cat([t, t]))),
        ShapeError,
        r"hx.*: .*=1",
    ),
    Refusal("a state of another dtype", _with_state(lambda s: _map(s, Tensor.float)), DTypeError, r"hx.*: .*float32"),
    Refusal("a state that is a number", _with_state(lambda s: 5), ArgumentError, r"hx: expected"),
    Refusal("a state of numbers", _with_state(lambda s: (1.0, 2.0, 3.0)), ArgumentError, r"hx: expected"),
)

#: for a layer that takes resets, and x, as above
RESET_REFUSALS = (
    Refusal(
        "resets of another batch",
        lambda s: s[0](s[1], reset=torch.zeros(4, 2, dtype=torch.bool)),
        ShapeError,
        r"reset: expected shape \(T=4, B=3\), found \(4, 2\)",
    ),
    Refusal(
        "resets of a batch for one sequence",
        lambda s: s[0](s[1][:, 0], reset=torch.zeros(4, 1, dtype=torch.bool)),
        ShapeError,
        r"reset: expected shape \(T=4,\), found \(4, 1\)",
    ),
    Refusal(
        "resets of numbers",
        lambda s: s[0](s[1], reset=torch.zeros(4, 3)),
        DTypeError,
        r"reset: expected torch.bool, found torch.float32",
    ),
    Refusal("resets in a list", lambda s: s[0](s[1], reset=[[True]]), DTypeError, r"reset: .*bool tensor, found list"),
    Refusal(
        "a step with the resets of a sequence",
        lambda s: s[0].step(s[1][0], reset=torch.zeros(4, 3, dtype=torch.bool)),
        ShapeError,
        r"reset: expected shape \(B=3,\), found \(4, 3\)",
    ),
    Refusal(
        "a stream's step with the resets of other streams",
        lambda s: s[0].stream(3).step(s[1][0], reset=torch.zeros(2, dtype=torch.bool)),
        ShapeError,
        r"reset: expected shape \(B=3,\), found \(2,\)",
    ),
)

#: for a streamable layer and x, as above
STEP_REFUSALS = (
    Refusal("a step too wide", lambda s: s[0].step(torch.cat([s[1][0]] * 2, -1)), ShapeError, r"x: .*I=2"),
    Refusal("a step of a sequence", lambda s: s[0].step(s[1]), ShapeError, r"x: .*\(B, I=2\)"),
    Refusal("a step of another dtype", lambda s: s[0].step(s[1][0].float()), DTypeError, r"x: expected dtype"),
    Refusal("a step from a number", lambda s: s[0].step(s[1][0], 5), ArgumentError, r"state: expected"),
)

#: for a maker of layers
OPTION_REFUSALS = (
    Refusal("no input", lambda make: make(0, 4), ArgumentError, r"input_size: .*at least 1, found 0"),
    Refusal("a negative hidden size", lambda make: make(2, -4), ArgumentError, r"hidden_size: .*found -4"),
    Refusal("half a layer", lambda make: make(2, 4, num_layers=1.5), ArgumentError, r"num_layers: .*found 1.5"),
    Refusal(
        "dropout of more than everything", lambda make: make(2, 4, dropout=1.5), ArgumentError, r"dropout: .*found 1.5"
    ),
    Refusal("an option unheard of", lambda make: make(2, 4, bidirectionnal=True), TypeError, r"bidirectionnal"),
)
