"""What is asked for the next token: a network, an n-gram, and both mixed, read in one go or token by token."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from unrolled.tasks import Model
from unrolled.tasks.outputs.next.mixture import MixtureWeights, NGramMixture
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.predictor import (
    FEW,
    MixedPredictor,
    NetworkPredictor,
    NGramPredictor,
    TokenPredictor,
    predictor_of,
)

from .conftest import make_text

KINDS = ["network", "ngram", "mixed", "whole"]
Trained = Callable[[str], Model]


@pytest.fixture
def ids(trained: Trained) -> list[int]:
    tokens: list[int] = trained("char").input.tokenizer.encode(make_text(6, 3)).tolist()
    return tokens


@pytest.fixture
def predictor(request: pytest.FixtureRequest, trained: Trained, ids: list[int]) -> TokenPredictor:
    model = trained("char")
    ngram = NGram.fit(ids[:60], 3, model.input.tokenizer.vocabulary_size)
    network = NetworkPredictor(model.network)
    mixed = MixedPredictor(network, NGramMixture(ngram, MixtureWeights.constant(0.25, 3)))
    return {"network": network, "ngram": NGramPredictor(ngram), "mixed": mixed, "whole": predictor_of(model)}[
        request.param
    ]


@pytest.mark.parametrize("predictor", KINDS, indirect=True)
@pytest.mark.parametrize("length", [1, FEW, FEW + 1, 40])
def test_read_in_one_go_or_step_by_step_it_is_the_same(predictor: TokenPredictor, ids: list[int], length: int) -> None:
    state = predictor.stepper.start(1)
    whole, after = predictor.read(ids[:length], state)
    for token in ids[:length]:
        stepped, state = predictor.stepper.step(torch.tensor([token]), state)
    torch.testing.assert_close(whole, stepped, rtol=0, atol=1e-5)
    following = predictor.read([3], after)[0], predictor.read([3], state)[0]
    torch.testing.assert_close(*following, rtol=0, atol=1e-5)


@pytest.mark.parametrize("predictor", KINDS, indirect=True)
def test_scores_are_those_of_its_steps(predictor: TokenPredictor, ids: list[int]) -> None:
    text = np.array(ids)
    state, expected = predictor.stepper.start(1), []
    for token, following in pairwise(ids):
        logits, state = predictor.stepper.step(torch.tensor([token]), state)
        expected.append(float(logits.double().log_softmax(-1)[0, following]))
    assert predictor.log_probabilities(text) == pytest.approx(expected, abs=1e-4)
    assert predictor.score(text) == (pytest.approx(-sum(expected), rel=1e-4), len(ids) - 1)


def test_a_mixture_is_between_its_parts(trained: Trained, ids: list[int]) -> None:
    model, text = trained("char"), np.array(ids)
    network = NetworkPredictor(model.network)
    ngram = NGram.fit(text[:60], 3, model.input.tokenizer.vocabulary_size)
    mixed = MixedPredictor(network, NGramMixture(ngram, MixtureWeights.constant(0.25, 3)))
    parts = np.exp(network.log_probabilities(text)), np.exp(NGramPredictor(ngram).log_probabilities(text))
    assert np.exp(mixed.log_probabilities(text)) == pytest.approx(0.75 * parts[0] + 0.25 * parts[1], rel=1e-6)
