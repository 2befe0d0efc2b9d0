"""The checks of a layer, from its constructor to its streams."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.layers.recurrent.state import tensors_of
from unrolled.testing import parity, precision
from unrolled.testing.cells import SIZES
from unrolled.testing.compare import (
    Check,
    ConformanceError,
    require,
    require_all_close,
    require_close,
    require_same,
    run_checks,
)
from unrolled.testing.conditions import poisoned, strided, threads, unchanged
from unrolled.testing.documents import layer_reset
from unrolled.testing.problems import LENGTHS, MakeLayer, Problem, map_state, problem
from unrolled.testing.refusals import LAYER_REFUSALS, OPTION_REFUSALS, STEP_REFUSALS, require_refusal

#: two results of the same float64 computation in another order; the problems are small and well conditioned
CLOSE = 1e-11
STACK = {"num_layers": 2, "bidirectional": True}


def check_layer(
    make_layer: MakeLayer,
    *,
    like: Callable[..., nn.Module] | None = None,
    hidden_size: int = 4,
    skip: Collection[str] = (),
) -> list[str]:
    """Check everything that a recurrent layer promises, in float64 on the CPU unless a check says otherwise.

    >>> import torch, unrolled
    >>> from unrolled.testing import check_layer
    >>> check_layer(unrolled.GRU, like=torch.nn.GRU)[:3]
    ['gradcheck', 'ragged', 'padding']

    Args:
        make_layer: called as `make_layer(input_size, hidden_size, num_layers=…, bias=…, batch_first=…,
            bidirectional=…, dtype=…)`, any of the names left out; `functools.partial` adds options of its own.
            Layers are put into evaluation before they are checked, so that dropout does not count.
        like: the torch.nn layer that it replaces; None leaves out the checks against it.
        hidden_size: of the layers, where a check does not try several.
        skip: names of checks to leave out.

    Returns:
        The names of the checks that ran.

    Raises:
        ConformanceError: naming the layer, the check, the tensor and its largest deviation.
    """
    return run_checks(layer_checks(make_layer, like=like, hidden_size=hidden_size), skip)


def layer_checks(
    make_layer: MakeLayer, *, like: Callable[..., nn.Module] | None = None, hidden_size: int = 4
) -> Iterator[Check]:
    """Yield the checks that apply to a layer; parameters as `check_layer`'s."""
    subject = repr(make_layer(2, hidden_size))
    make = partial(problem, make_layer, hidden_size=hidden_size)
    bodies: list[tuple[str, Callable[..., None]]] = [
        ("gradcheck", _gradcheck),
        ("ragged", _ragged),
        ("padding", _padding),
        ("packed", _packed),
        ("unbatched", _unbatched),
        ("batch_first", _batch_first),
        ("chunks", _chunks),
        ("final_state", _final_state),
        ("inputs_unchanged", _inputs_unchanged),
        ("repeatable", _repeatable),
        ("strides", _strides),
        ("uninitialised", _uninitialised),
        ("sizes", _sizes),
        ("copies", _copies),
        ("state_dict", _state_dict),
        *precision.CHECKS,
        ("double_backward", _double_backward),
        ("forward_mode", _forward_mode),
    ]
    if hasattr(make().layer, "step"):
        bodies.append(("streaming", _streaming))
    if "reset" in inspect.signature(make().layer.forward).parameters:
        bodies.append(("reset", layer_reset))
    for name, body in bodies:
        yield Check(subject, name, partial(body, make))
    yield Check(subject, "bad_inputs", partial(_bad_inputs, make))
    yield Check(subject, "bad_options", partial(_bad_options, make_layer))
    if like is not None:
        for name, against in parity.CHECKS:
            yield Check(subject, name, partial(against, make_layer, like, hidden_size))


def _gradcheck(make: Callable[..., Problem]) -> None:
    """Autograd against differences for input, states and every parameter, ragged, through outputs and final states."""
    for options in ({}, STACK):
        case = make(time=3, batch=2, lengths=(3, 2), **options)
        leaves = case.leaves()
        for name in leaves:
            try:
                # fast: along a random direction a tensor, since a stack has too many numbers to perturb one by one
                gradcheck(partial(_loss_of, case, leaves, name), (leaves[name],), atol=1e-7, rtol=1e-5, fast_mode=True)
            except GradcheckError as error:
                raise ConformanceError("autograd differs from finite differences", f"d{name}") from error


def _loss_of(case: Problem, leaves: dict[str, Tensor], name: str, tensor: Tensor) -> Tensor:
    return case.loss(case.call({k: tensor if k == name else t.detach() for k, t in leaves.items()}))


def _ragged(make: Callable[..., Problem]) -> None:
    """A ragged batch equals each sequence alone: outputs, final states, gradients; also those of length 0."""
    for options in ({}, STACK):
        batch = make(lengths=LENGTHS, **options)
        actual = batch.everything()
        total = {name: torch.zeros_like(actual[f"d{name}"]) for name in batch.parameters}
        for row, steps in enumerate(LENGTHS):
            if steps == 0:
                require_close("output of length 0", actual["output"][:, row], actual["output"][:, row] * 0, 0.0)
                for k, s in enumerate(batch.states):
                    require_close(f"final state {k} of length 0", actual[f"final state {k}"][:, row], s[:, row], 0.0)
                continue
            alone = batch.alone(row, steps).everything()
            for name in total:
                total[name] += alone[f"d{name}"]
            for name in ("output", "dx"):
                require_close(f"{name} of length {steps}", actual[name][:steps, [row]], alone[name], CLOSE)
                rest = actual[name][steps:, row]
                require_close(f"{name} beyond length {steps}", rest, torch.zeros_like(rest), 0.0)
            for k in range(len(batch.states)):
                for name in (f"final state {k}", f"dstate {k}"):
                    require_close(f"{name} of length {steps}", actual[name][:, [row]], alone[name], CLOSE)
        for name, value in total.items():
            require_close(f"d{name} summed over sequences", actual[f"d{name}"], value, 10 * CLOSE)


def _padding(make: Callable[..., Problem]) -> None:
    """NaN in the padding changes no bit of any result, and its gradient is exactly 0."""
    for options in ({}, STACK):
        for lengths in (LENGTHS, (3, 1, 2)):
            clean = make(lengths=lengths, **options)
            expected = clean.everything()
            over = torch.arange(4).unsqueeze(1) >= torch.tensor(lengths)
            actual = clean.over(clean.x.masked_fill(over.unsqueeze(-1), float("nan"))).everything()
            require_same(actual, expected)
            require_close("dx in the padding", actual["dx"][over], torch.zeros_like(actual["dx"][over]), 0.0)


def _packed(make: Callable[..., Problem]) -> None:
    """A PackedSequence, sorted or not, gives the results of `lengths`, packed in the same order."""
    for lengths, is_sorted in (((4, 3, 1), True), ((2, 4, 1), False), ((1, 3, 2), False)):
        case = make(lengths=lengths, **STACK)
        expected, state = case.call()
        packed = pack_padded_sequence(case.x, torch.tensor(lengths), enforce_sorted=is_sorted)
        output, final = case.layer(packed, case.state)
        padded, own_lengths = pad_packed_sequence(output, total_length=4)
        require(
            own_lengths.tolist() == list(lengths), f"lengths became {own_lengths.tolist()}, from {lengths}", "output"
        )
        require_close("output of a PackedSequence", padded, expected, CLOSE)
        for k, (a, b) in enumerate(zip(tensors_of(final), tensors_of(state), strict=True)):
            require_close(f"final state {k} of a PackedSequence", a, b, CLOSE)


def _unbatched(make: Callable[..., Problem]) -> None:
    """(T, I) gives the results of (T, 1, I), without the batch dimension."""
    case = make(batch=1, **STACK)
    for state in (case.state, None):
        expected, final = case.layer(case.x, state)
        output, own_final = case.layer(case.x[:, 0], None if state is None else map_state(state, lambda s: s[:, 0]))
        require_close("output of an unbatched sequence", output, expected[:, 0], CLOSE)
        for k, (a, b) in enumerate(zip(tensors_of(own_final), tensors_of(final), strict=True)):
            require_close(f"final state {k} of an unbatched sequence", a, b[:, 0], CLOSE)


def _batch_first(make: Callable[..., Problem]) -> None:
    """`batch_first` swaps the first two dimensions of input and output, and nothing else."""
    for lengths in (None, LENGTHS):
        case, swapped = make(lengths=lengths, **STACK), make(lengths=lengths, batch_first=True, **STACK)
        expected, final = case.call()
        output, own_final = swapped.layer(case.x.transpose(0, 1), case.state, lengths=case.lengths)
        require_close("output", output.transpose(0, 1), expected, CLOSE)
        for k, (a, b) in enumerate(zip(tensors_of(own_final), tensors_of(final), strict=True)):
            require_close(f"final state {k}", a, b, CLOSE)


def _chunks(make: Callable[..., Problem]) -> None:
    """Split at every t, the second part started from the first's state: equal to the whole."""
    case = make(num_layers=2)
    expected, final = case.call()
    for t in range(1, 4):
        head, state = case.layer(case.x[:t], case.state)
        tail, state = case.layer(case.x[t:], state)
        require_close(f"output split at {t}", torch.cat([head, tail]), expected, CLOSE)
        for k, (a, b) in enumerate(zip(tensors_of(state), tensors_of(final), strict=True)):
            require_close(f"final state {k} split at {t}", a, b, CLOSE)


def _streaming(make: Callable[..., Problem]) -> None:
    """Steps give the results of `forward` over the sequence, from no state and from a given one, batched and not."""
    for options in ({}, {"num_layers": 2}, {"bias": False}):
        case = make(**options)
        for start in (None, case.state):
            expected, final = case.layer(case.x, start)
            state = start
            for t in range(4):
                with unchanged((f"state {k}", s) for k, s in enumerate(tensors_of(state))):
                    output, state = case.layer.step(case.x[t], state)
                require(not output.requires_grad, "a step built a graph", "output")
                require_close(f"output of step {t}", output, expected[t], CLOSE)
            for k, (a, b) in enumerate(zip(tensors_of(state), tensors_of(final), strict=True)):
                require_close(f"final state {k} of steps", a, b, CLOSE)
        single, state = case.layer.step(case.x[0, 0])
        require_close("output of a step of one stream", single, case.layer(case.x[:1])[0][0, 0], CLOSE)
        require_close(
            "second output of one stream",
            case.layer.step(case.x[1, 0], state)[0],
            case.layer(case.x[:2])[0][1, 0],
            CLOSE,
        )


def _final_state(make: Callable[..., Problem]) -> None:
    """A loss of the final states alone reaches input, initial states and parameters, as differences say it must."""
    case = make(time=3, batch=2, lengths=(3, 2), num_layers=2)
    silent = case.weighing(torch.zeros_like(case.weights[0]), *case.weights[1:])
    leaves = silent.leaves()
    for name in leaves:
        try:
            gradcheck(partial(_loss_of, silent, leaves, name), (leaves[name],), atol=1e-7, rtol=1e-5, fast_mode=True)
        except GradcheckError as error:
            raise ConformanceError("autograd differs from finite differences", f"d{name}") from error


def _inputs_unchanged(make: Callable[..., Problem]) -> None:
    """Neither input nor state nor parameters are written to, forwards or backwards."""
    case = make(lengths=LENGTHS, **STACK)
    named = {"x": case.x, **{f"state {k}": s for k, s in enumerate(case.states)}, **case.parameters}
    with unchanged(named.items()):
        case.everything()
        with torch.no_grad():
            case.call()


def _repeatable(make: Callable[..., Problem]) -> None:
    """The same bits twice; with another number of threads, the same within rounding."""
    case = make(lengths=LENGTHS, hidden_size=34)
    expected = case.everything()
    require_same(case.everything(), expected)
    with threads(2 if torch.get_num_threads() == 1 else 1):
        require_all_close(case.everything(), expected, CLOSE)


def _strides(make: Callable[..., Problem]) -> None:
    """An input, a state and parameters that are not contiguous make no difference."""
    case = make(lengths=LENGTHS)
    expected, final = case.call()
    tensors = {"x": case.x, **{f"state {k}": s for k, s in enumerate(case.states)}, **case.parameters}
    output, own_final = case.call({name: strided(t.detach()) for name, t in tensors.items()})
    require_close("output", output, expected, CLOSE)
    for k, (a, b) in enumerate(zip(tensors_of(own_final), tensors_of(final), strict=True)):
        require_close(f"final state {k}", a, b, CLOSE)


def _uninitialised(make: Callable[..., Problem]) -> None:
    """Nothing is read that was not written: NaN in fresh memory changes no bit."""
    for options in ({}, STACK):
        case = make(lengths=LENGTHS, **options)
        expected = case.everything()
        with poisoned():
            require_same(case.everything(), expected)
            output, _ = case.layer(case.x)
            require(bool(output.isfinite().all()), "not finite from the default state", "output")


def _sizes(make: Callable[..., Problem]) -> None:
    """One step, no sequence, and hidden sizes at and near a vector's width."""
    empty = make(batch=0, **STACK)
    output, final = empty.call()
    require(output.shape[:2] == (4, 0), f"expected (T=4, B=0, ·), found {tuple(output.shape)}", "output")
    require(all(s.shape[:2] == (4, 0) for s in tensors_of(final)), "expected (L·D=4, B=0, ·)", "final state")
    for hidden in SIZES:
        try:
            case = make(hidden_size=hidden, time=1, batch=2)
        except ArgumentError:  # a width that the layer's own options exclude
            continue
        actual = case.everything()
        for name, value in actual.items():
            require(bool(value.isfinite().all()), f"not finite at H={hidden}, T=1", name)
        again = case.alone(0, 1).everything()
        require_close(f"output of row 0 alone at H={hidden}", again["output"], actual["output"][:, :1], CLOSE)


def _copies(make: Callable[..., Problem]) -> None:
    """A deep copy gives the same results, and shares no memory with its original."""
    case = make(lengths=LENGTHS, **STACK)
    expected, _ = case.call()
    twin = copy.deepcopy(case.layer)
    with torch.no_grad():
        for parameter in case.layer.parameters():
            parameter.add_(1.0)
    require_close("output of a copy", twin(case.x, case.state, lengths=case.lengths)[0], expected, 0.0)


def _state_dict(make: Callable[..., Problem]) -> None:
    """Parameters saved by safetensors and loaded into another layer give the same bits."""
    case, other = make(lengths=LENGTHS, **STACK), make(seed=1, lengths=LENGTHS, **STACK)
    other.layer.load_state_dict(load(save(case.layer.state_dict())))
    require_close(
        "output of the loaded layer",
        other.layer(case.x, case.state, lengths=case.lengths)[0],
        case.call()[0],
        0.0,
    )


def _double_backward(make: Callable[..., Problem]) -> None:
    """The gradient of the gradient is right, or is refused with one of our errors."""
    case = make(time=3, batch=2, lengths=(3, 2))
    leaves = case.leaves()

    def results(*tensors: Tensor) -> tuple[Tensor, ...]:
        output, final = case.call(dict(zip(leaves, tensors, strict=True)))
        return (output * output, *(s * s for s in tensors_of(final)))

    try:
        gradgradcheck(results, tuple(leaves.values()), atol=1e-5, rtol=1e-3, fast_mode=True)
    except GradcheckError as error:
        raise ConformanceError("the second derivative differs from finite differences") from error
    except (UnrolledError, NotImplementedError):
        return  # refused by name


def _forward_mode(make: Callable[..., Problem]) -> None:
    """Dual numbers carry the directional derivative that the gradient implies, or are refused."""
    case = make(lengths=LENGTHS)
    leaves = {k: t.detach() for k, t in case.leaves().items()}
    directions = {k: t.cos() for k, t in leaves.items()}
    try:
        with forward_ad.dual_level():
            loss = case.loss(case.call({k: forward_ad.make_dual(t, directions[k]) for k, t in leaves.items()}))
            directional = forward_ad.unpack_dual(loss).tangent
    except (UnrolledError, NotImplementedError):
        return
    gradients = case.everything()
    terms = torch.stack([(gradients[f"d{k}"] * d).sum() for k, d in directions.items()])
    require_close("directional derivative", directional, terms.sum(), 1e-10 * (1 + float(terms.abs().sum())))


def _bad_inputs(make: Callable[..., Problem]) -> None:
    """Bad input is refused with the right error and a message that names it."""
    case = make()
    for refusal in LAYER_REFUSALS:
        require_refusal(refusal, (case.layer, case.x))
    for refusal in STEP_REFUSALS if hasattr(case.layer, "step") else ():
        require_refusal(refusal, (case.layer, case.x))


def _bad_options(make_layer: Callable[..., Any]) -> None:
    """Options out of range are refused by the constructor."""
    for refusal in OPTION_REFUSALS:
        require_refusal(refusal, make_layer)
