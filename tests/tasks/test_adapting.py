"""Models of `generate` that learn from what their streams read: by a cache, by dynamic evaluation, by both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.errors import ArgumentError, StateError
from unrolled.tasks import Model
from unrolled.tasks.outputs.next import adapting, predictor
from unrolled.tasks.outputs.next.adapting import RATE, SHARE, SHARPNESS, SLOW, SOON, Adaptation
from unrolled.tasks.outputs.next.predictor import predictor_of
from unrolled.tasks.outputs.next.streams import push_together, suggest_together

from .conftest import make_text

Trained = Callable[[str], Model]
KINDS = ["cache", "dynamic", "both"]


def state_of(session: Any) -> list[np.ndarray]:
    """Return the tensors of a session's state, flat."""
    flat: list[np.ndarray] = []

    def walk(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            flat.append(value.numpy().copy())
        elif value is not None:
            for part in value:
                walk(part)

    walk(session.state.tensors)
    return flat


def close(one: Any, other: Any, atol: float) -> None:
    for left, right in zip(state_of(one), state_of(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=atol)


def by_hand(model: Model, kind: str, ids: Sequence[int]) -> list[float]:
    """Return ln p of each token but the first, by autograd and without anything that is kept from step to step."""
    plain = predictor_of(model)
    network: Any = model.network
    with torch.no_grad():
        zs = network.features(torch.tensor(ids).unsqueeze(1))[0].squeeze(1).double()
    v = network.output.weight.detach().double()
    scale = v.square().sum(1).mean()
    thetas = SHARPNESS if kind != "dynamic" else ()
    experts = len(thetas) + (kind != "cache")
    weights = torch.tensor([1 - experts * SHARE] + [SHARE] * experts, dtype=torch.float64)
    matrix, bias = torch.zeros(zs.shape[1], zs.shape[1]).double(), torch.zeros(len(v)).double()
    state, answers = plain.stepper.start(1), []
    for t in range(len(ids) - 1):
        logits, state = plain.stepper.step(torch.tensor([ids[t]]), state)
        parts = [logits[0].double().softmax(0)]
        for theta in thetas:
            cosines = torch.nn.functional.cosine_similarity(zs[:t], zs[t : t + 1], dim=1)
            shares = (theta * cosines).softmax(0)
            cache = torch.zeros(len(v)).double().index_add(0, torch.tensor(ids[1 : t + 1], dtype=torch.int64), shares)
            parts.append(cache if t else parts[0])
        m, b = matrix.clone().requires_grad_(), bias.clone().requires_grad_()
        if kind != "cache":
            logits = parts[0].log() + v @ (m @ zs[t]) + b
            loss = -logits.log_softmax(0)[ids[t + 1]]
            loss.backward()
            parts.append(logits.detach().softmax(0))
            with torch.no_grad():
                matrix = (1 - adapting.DECAY) * m - RATE / (scale * zs[t].square().sum()) * m.grad
                bias = (1 - adapting.DECAY) * b - adapting.BIAS_RATE * b.grad
        shares = weights * torch.stack([part[ids[t + 1]] for part in parts])
        answers.append(float(shares.sum().log()))
        weights = weights + max(1 / (t + 1 + SOON), SLOW) * (shares / shares.sum() - weights)
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_by_hand(trained: Trained, kind: str) -> None:
    model = trained("char")
    ids = model.input.tokenizer.encode(make_text(4, 5)).astype(np.int64)
    scored = predictor_of(model.asked(adapt=kind)).log_probabilities(ids)
    np.testing.assert_allclose(scored, by_hand(model, kind, ids.tolist()), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("remembered", [7, 1000])
def test_whole_in_chunks_and_step_by_step_it_is_the_same(
    trained: Trained, kind: str, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (adapting, predictor):
        monkeypatch.setattr(module, "REMEMBERED", remembered)
    monkeypatch.setattr(predictor, "CHUNK", 16)
    model = trained("char").asked(adapt=kind)
    text = make_text(2, 5)
    whole, chunked, stepped = model.stream().push(text), model.stream(), model.stream()
    for at in range(0, len(text), 10):
        chunked.push(text[at : at + 10])
    for letter in text:
        push_together([stepped], [letter])
    close(chunked, whole, 1e-5)
    close(stepped, whole, 1e-5)
    # what is scored is what a stream says before each token
    ids, asked = model.input.tokenizer.encode(text).astype(np.int64), predictor_of(model)
    state, spoken = asked.stepper.start(1), []
    for token, following in pairwise(ids):
        logits, state = asked.read([int(token)], state)
        spoken.append(float(logits[0, following]))
    np.testing.assert_allclose(asked.log_probabilities(ids), spoken, rtol=0, atol=1e-5)
    assert all(len(memory.keys) <= remembered for memory in state[1])


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_its_own_is_learned(trained: Trained, kind: str, tmp_path: Path) -> None:
    model, path = trained("char"), tmp_path / "text.txt"
    path.write_text("Zweig Vlad is at home. " * 60)
    plain = model.evaluate(path, completion=False).metrics
    adapted = model.evaluate(path, completion=False, adapt=kind).metrics
    # what repeats word for word is for the cache
    least = 0.9 if kind == "dynamic" else 0.5
    assert adapted["nats_per_character"] < least * plain["nats_per_character"]
    assert adapted["network"] == plain["network"]
    # text like that which it was trained on is predicted hardly worse: weights begin at `SHARE` for what is of no use
    path.write_text(make_text(20, 9))
    losses = [model.evaluate(path, completion=False, adapt=adapt).metrics["loss"] for adapt in (kind, None)]
    assert losses[0] < losses[1] + 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_can_be_forgotten(trained: Trained, kind: str) -> None:
    model = trained("char").asked(adapt=kind)
    session = model.stream()
    fresh = state_of(session)
    session.push("Zweig Vlad is at home. ")
    learned = state_of(session)
    session.forget()
    [memory] = session.carried[1]
    assert len(memory.keys) == 0
    assert not memory.matrix.any()
    # of the same text the model itself says the same, as an empty cache and no change do
    usual = trained("char").stream().push("Zweig Vlad is at home. ")
    np.testing.assert_allclose(session.logits, usual.logits.log_softmax(1), rtol=0, atol=1e-5)
    assert any(one.shape != other.shape or (one != other).any() for one, other in zip(fresh, learned, strict=True))
    for one, other in zip(fresh, state_of(session.reset()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_streams_share_nothing(trained: Trained) -> None:
    model = trained("char").asked(adapt="both")
    first, second = model.stream(), model.stream()
    untouched = state_of(second)
    push_together([first], ["Zweig Vlad is at home. "])
    fork = first.fork().push("And here is more.")
    for one, other in zip(untouched, state_of(second), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(fork.carried[1][0].keys) > len(first.carried[1][0].keys)
    alone = model.stream().push("Zweig Vlad is at home. ")
    push_together([first, second], ["Thank", "The m"])
    close(first, alone.push("Thank"), 1e-6)
    together = suggest_together([first, second], 2)
    assert together == [first.suggest(2), second.suggest(2)]


def test_searching_and_writing_teach_nothing(trained: Trained) -> None:
    session = trained("char").asked(adapt="both").stream().push("Thank you for ")
    before = state_of(session)
    session.suggest()
    assert "".join(session.generate(30, seed=1)) == "".join(session.generate(30, seed=1))
    for one, other in zip(before, state_of(session), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_stream_goes_on_with_what_it_learned(trained: Trained, kind: str, tmp_path: Path) -> None:
    model = trained("bpe").asked(adapt=kind)
    session = model.stream().push("Thank you for your help. Thank ")
    session.save(tmp_path / "state")
    resumed = model.stream().load(tmp_path / "state")
    close(resumed.push("you"), session.push("you"), 0.0)
    with pytest.raises(StateError, match="another model"):
        trained("bpe").stream().load(tmp_path / "state")


def test_it_is_asked_for_and_not_kept(trained: Trained, tmp_path: Path) -> None:
    model = trained("char")
    assert model.asked(adapt="both").asked(ngram=0).output.adapt == "both"
    assert model.asked(ngram=0).asked(adapt="both").output.mixture is None
    assert model.output.adapt is None
    assert model.asked() is model
    with pytest.raises(ArgumentError, match="adapt"):
        model.asked(adapt="everything")
    with pytest.raises(ArgumentError, match="NGramPredictor has none"):
        predictor.AdaptivePredictor(
            predictor.NGramPredictor(model.output.mixture.ngram), Adaptation(model.network, "cache")
        )
