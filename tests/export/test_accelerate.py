"""`accelerate` and `restore`: what is shared, what is kept, what is left, and that programs run on unchanged."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

import unrolled
from unrolled.errors import ArgumentError

from .programs import LanguageModel, Tagger, detached

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: nn.RNN(3, 4, 2, nonlinearity="relu", bias=False),
    "lstm": lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.3),
    "projected": lambda: nn.LSTM(3, 4, proj_size=2),
    "gru": lambda: nn.GRU(3, 4, dtype=torch.float64),
    "rnn_cell": lambda: nn.RNNCell(3, 4, nonlinearity="relu"),
    "lstm_cell": lambda: nn.LSTMCell(3, 4, bias=False),
    "gru_cell": lambda: nn.GRUCell(3, 4),
}


def flat(value: object) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else [t for part in value for t in flat(part)]


@pytest.mark.parametrize("kind", LAYERS)
def test_there_and_back(kind: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().eval()
    model = nn.ModuleDict({"inner": nn.Sequential(layer, nn.Linear(1, 1))})
    before, state, keys = dict(layer.named_parameters()), torch.get_rng_state(), set(vars(layer))
    x = torch.randn(*((5, 2, 3) if "cell" not in kind else (2, 3)), dtype=next(layer.parameters()).dtype)
    expected = flat(layer(x))

    torch.set_rng_state(state)
    report = unrolled.accelerate(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [(e.name, e.kind) for e in report.swapped] == [("inner.0", type(LAYERS[kind]()).__name__)]
    assert report.left == ()
    assert report.swapped[0].reason.startswith("engine ")
    assert type(layer).__module__.startswith("unrolled.")
    assert type(layer).__name__ == type(LAYERS[kind]()).__name__
    assert {name: id(p) for name, p in layer.named_parameters()} == {name: id(p) for name, p in before.items()}
    assert not layer.training
    for _ in range(2):
        torch.testing.assert_close(flat(layer(x)), expected)
    with torch.no_grad():
        torch.testing.assert_close(flat(layer(x)), expected)

    restored = unrolled.restore(model)
    assert [e.name for e in restored.swapped] == ["inner.0"]
    assert type(layer) is type(LAYERS[kind]())
    assert set(vars(layer)) == keys
    assert {name: id(p) for name, p in layer.named_parameters()} == {name: id(p) for name, p in before.items()}
    torch.testing.assert_close(flat(layer(x)), expected, rtol=0, atol=0)
    assert unrolled.restore(model).swapped == ()


def test_a_layer_itself_and_a_second_time() -> None:
    layer = nn.GRU(3, 4)
    assert [e.name for e in unrolled.accelerate(layer).swapped] == [""]
    assert isinstance(layer, unrolled.GRU)
    again = unrolled.accelerate(layer)
    assert (again.swapped, again.left) == ((), ())
    assert str(again) == "0 swapped, 0 left"


def test_a_layer_in_several_places_is_swapped_once() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(3, 3), "b": nn.ModuleList()})
    model["b"].append(model["a"])
    held = [model["a"]]
    report = unrolled.accelerate(model)
    assert [e.name for e in report.swapped] == ["a"]
    assert report.swapped[0].reason.endswith("also b.0")
    assert model["b"][0] is model["a"] is held[0]
    assert "swapped  a: LSTM: engine" in str(report)


def test_hooks_their_handles_and_shared_parameters_are_kept() -> None:
    layer, other = nn.LSTM(3, 4), nn.LSTM(3, 4)
    other.weight_hh_l0 = layer.weight_hh_l0
    seen: list[str] = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append("forward"))
    layer.register_forward_pre_hook(lambda module, args: seen.append("before"))
    layer.register_full_backward_hook(lambda module, *gradients: seen.append("backward"))
    layer.register_state_dict_post_hook(lambda *given: seen.append("state_dict"))
    model = nn.ModuleList([layer, other])
    unrolled.accelerate(model)
    layer(torch.randn(5, 2, 3, requires_grad=True))[0].sum().backward()
    layer.state_dict()
    assert seen == ["before", "forward", "backward", "state_dict"]
    handle.remove()
    layer(torch.randn(5, 2, 3))
    assert seen[4:] == ["before"]
    assert layer.weight_hh_l0 is other.weight_hh_l0


def test_changes_made_meanwhile_outlive_restore() -> None:
    layer = nn.LSTM(3, 4, batch_first=True)
    unrolled.accelerate(layer)
    layer.batch_first, layer.note = False, "mine"
    layer.weight_ih_l0 = nn.Parameter(torch.zeros(16, 3))
    layer.double().train(False)
    unrolled.restore(layer)
    assert (layer.batch_first, layer.note, layer.training) == (False, "mine", False)
    assert [id(w) for w in layer._flat_weights] == [id(p) for p in layer.parameters()]
    assert layer(torch.randn(5, 2, 3).double())[0].shape == (5, 2, 4)


def test_copies_and_saved_weights() -> None:
    model, x = nn.Sequential(nn.GRU(3, 4)), torch.randn(5, 2, 3)
    expected = model(x)[0]
    unrolled.accelerate(model)
    twin = copy.deepcopy(model)
    assert twin[0].weight_ih_l0 is not model[0].weight_ih_l0
    torch.testing.assert_close(twin(x)[0], expected)
    unrolled.restore(twin)
    assert type(twin[0]) is nn.GRU
    torch.testing.assert_close(twin(x)[0], expected)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    nn.Sequential(nn.GRU(3, 4)).load_state_dict(torch.load(file, weights_only=True))


class _Mine(nn.LSTM):
    pass


def _replaced() -> nn.Module:
    layer = nn.LSTM(3, 4)
    layer.forward = lambda x: x
    return layer


def _parametrized() -> nn.Module:
    return nn.utils.parametrizations.orthogonal(nn.GRU(4, 4), "weight_hh_l0")


def _normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")


def _quantised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)), {nn.LSTM})[0]


def _scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.LSTM(3, 4))


def _with_a_buffer() -> nn.Module:
    layer = nn.GRU(3, 4)
    layer.register_buffer("mean", torch.zeros(3))
    return layer


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: _Mine(3, 4), "a subclass of torch.nn.LSTM"),
        (_replaced, "its forward was replaced on this object"),
        (_parametrized, "parametrized: weight_hh_l0"),
        (_normed, "its parameters are not those of a plain layer: no weight_hh_l0, weight_hh_l0_g, weight_hh_l0_v"),
        (_quantised, "quantised"),
        (_scripted, "compiled by TorchScript"),
        (_with_a_buffer, "it holds mean besides its parameters"),
    ],
)
def test_layers_that_are_more_than_torchs_are_left(make: Callable[[], nn.Module], reason: str) -> None:
    model = nn.ModuleDict({"odd": make(), "plain": nn.RNN(3, 4)})
    kind = type(model["odd"])
    report = unrolled.accelerate(model)
    assert [e.name for e in report.swapped] == ["plain"]
    assert report.left[0].name == "odd"
    assert report.left[0].reason.startswith(reason)
    assert f"left     odd: {kind.__name__}: {reason}" in str(report)
    assert type(model["odd"]) is kind


def test_no_module_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"module: expected a torch\.nn\.Module, found dict"):
        unrolled.accelerate({})
    with pytest.raises(ArgumentError, match=r"module: expected a torch\.nn\.Module, found dict"):
        unrolled.restore({})


def language_model_losses(kind: str, accelerated: bool, compiled: bool = False) -> list[float]:
    torch.manual_seed(1)
    model: nn.Module = LanguageModel(kind, words=12, size=16, layers=2, dropout=0.2, tied=True)
    if accelerated:
        assert [e.name for e in unrolled.accelerate(model).swapped] == ["rnn"]
    call = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
    # four texts that can be learnt: each word decides the next, but for a tenth of them
    tokens = (5 * torch.arange(8 * 101).unsqueeze(1) + torch.arange(4)) % 12
    tokens = torch.where(torch.rand(tokens.shape) < 0.1, torch.randint(0, 12, tokens.shape), tokens)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    hidden, losses = model.init_hidden(4), []
    for step in range(100):
        batch, target = tokens[8 * step : 8 * step + 8], tokens[8 * step + 1 : 8 * step + 9].reshape(-1)
        model.zero_grad()
        hidden = detached(hidden)
        output, hidden = call(batch, hidden)
        loss = nn.functional.nll_loss(output, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
def test_the_word_language_model_learns_the_same(kind: str) -> None:
    plain = language_model_losses(kind, False)
    assert plain[-1] < 0.9 * plain[0]
    assert language_model_losses(kind, True) == pytest.approx(plain, rel=1e-4)
    torch.compiler.reset()
    assert language_model_losses(kind, True, compiled=True) == pytest.approx(plain, rel=1e-4)


def tagger_losses(accelerated: bool, compiled: bool = False) -> list[float]:
    torch.manual_seed(2)
    model = Tagger(words=30, labels=5, size=12)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=1e-4)
    # after the optimiser, which keeps the parameters that it was given
    if accelerated:
        assert [e.name for e in unrolled.accelerate(model).swapped] == ["lstm"]
    loss_of = model.neg_log_likelihood
    if compiled:
        # its loop over the words is unrolled, so that each length has graphs of its own
        loss_of = torch.compile(loss_of, backend="aot_eager", dynamic=False)
    losses = []
    for step in range(100):
        length = (3, 8)[step % 2]
        sentence, tags = torch.randint(0, 30, (length,)), torch.randint(2, 5, (length,))
        model.zero_grad()
        loss = loss_of(sentence, tags)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


# torch.compile looks at gradients of what is no leaf
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_the_tagger_learns_the_same() -> None:
    plain = tagger_losses(False)
    assert tagger_losses(True) == pytest.approx(plain, rel=1e-4)
    torch.compiler.reset()
    assert tagger_losses(True, compiled=True) == pytest.approx(plain, rel=1e-4)
