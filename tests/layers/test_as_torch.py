"""What people's programs do with torch.nn's layers, done with ours."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import unrolled
from unrolled.errors import ArgumentError, DTypeError, ShapeError

KINDS = ("RNN", "LSTM", "GRU")


def _pair(kind: str, *args, engine: str = "auto", **options):
    """A layer of torch's and one of ours with equal parameters."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(*args, **options)
    torch.manual_seed(0)
    return theirs, getattr(unrolled, kind)(*args, engine=engine, **options)


@pytest.mark.parametrize("engine", ["auto", "scan", "torch"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_dropout(kind: str, batch_first: bool, engine: str) -> None:
    options = {"num_layers": 3, "dropout": 0.5, "bidirectional": True, "batch_first": batch_first}
    theirs, ours = _pair(kind, 3, 4, engine=engine, **options)
    batches = {
        "dense": torch.randn(5, 2, 3),
        "packed": pack_sequence([torch.randn(n, 3) for n in (2, 5, 3)], enforce_sorted=False),
        "one sequence": torch.randn(5, 3),
    }
    for name, x in batches.items():
        for gradients in (False, True):
            results = []
            for layer in (theirs, ours):
                torch.manual_seed(1)
                with torch.set_grad_enabled(gradients):
                    output, _ = layer(x)
                results.append(output.data if name == "packed" else output)
            torch.testing.assert_close(*results, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropout_of_everything(kind: str) -> None:
    theirs, ours = _pair(kind, 3, 4, 2, dropout=1.0)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    variational = getattr(unrolled, kind)(3, 4, 2, dropout=1.0, variational=True)
    variational.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(variational(x)[0], theirs(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_keywords_and_ours(kind: str) -> None:
    theirs, ours = _pair(kind, 3, 4)
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    hx = (h, h + 1) if kind == "LSTM" else h
    expected = theirs(input=x, hx=hx)[0]
    for output, _ in (ours(input=x, hx=hx), ours(x, hx=hx), ours(x=x, state=hx), ours(x, state=hx)):
        torch.testing.assert_close(output, expected)


def test_modes() -> None:
    options = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {})]
    for kind, given in options:
        theirs, ours = _pair(kind, 3, 4, **given)
        assert (ours.mode, ours.proj_size) == (theirs.mode, theirs.proj_size)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_only_an_lstm_is_projected(kind: str) -> None:
    for make in (getattr(nn, kind), getattr(unrolled, kind)):
        for size in (0, 2):
            with pytest.raises(ValueError, match="proj_size"):
                make(3, 4, proj_size=size)


def test_errors_are_caught_as_torchs() -> None:
    for layer in (nn.LSTM(3, 4), unrolled.LSTM(3, 4)):
        with pytest.raises(RuntimeError):
            layer(torch.zeros(5, 2, 2))
        with pytest.raises(RuntimeError):
            layer(torch.zeros(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 2, 4)))
    for error, kinds in ((ShapeError, (ArgumentError, RuntimeError)), (DTypeError, (TypeError, RuntimeError))):
        assert all(issubclass(error, kind) for kind in kinds)
