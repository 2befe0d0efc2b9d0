"""Writing captions with a trained network: the search, its rules, and where the network looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data.images.captions import END, UNKNOWN, Vocabulary
from unrolled.decoding import Hypothesis, LengthPenalty, beam_search
from unrolled.decoding.filters import no_repeat_ngram
from unrolled.errors import ArgumentError
from unrolled.networks import OneToManyNetwork


@dataclass(frozen=True)
class Search:
    """How captions are looked for.

    Attributes:
        beam_size: hypotheses that are kept.
        length_penalty: the exponent of the length by which log-probabilities are divided.
        max_words: the longest caption.
        n: captions for each image.
        no_repeat_ngram: no n-gram of this length twice in a caption; None allows all.
    """

    beam_size: int = 3
    length_penalty: float = 0.7
    max_words: int = 30
    n: int = 1
    no_repeat_ngram: int | None = None

    def __post_init__(self) -> None:
        if self.n > self.beam_size:
            raise ArgumentError(f"n: expected at most the beam's {self.beam_size} hypotheses, found {self.n}")


def search_captions(network: OneToManyNetwork, images: Tensor, search: Search) -> list[list[Hypothesis]]:
    """The best captions for each image, best first.

    Args:
        network: in evaluation mode.
        images: what its input layer reads, B of them.
        search: how.
    """
    stepper = network.decoding(images)
    state = stepper.start(len(images))
    begin = torch.full((len(images),), END, dtype=torch.int64, device=images.device)
    logits, state = stepper.step(begin, state)
    size = network.vocabulary_size

    def allowed(tokens: Tensor) -> Tensor:
        """Nothing unknown, no empty caption, and no n-gram twice if so asked."""
        rows, live, length = tokens.shape
        free = torch.ones(rows * live, size, dtype=torch.bool, device=tokens.device)
        if search.no_repeat_ngram is not None and length:
            plain = torch.zeros(rows * live, size, device=tokens.device)
            free = no_repeat_ngram(plain, tokens.reshape(rows * live, length), search.no_repeat_ngram).isfinite()
        free[:, UNKNOWN] = False
        if not length:
            free[:, END] = False
        return free.view(rows, live, size)

    return beam_search(
        stepper,
        state,
        logits,
        beam_size=search.beam_size,
        max_tokens=search.max_words + 1,
        end_ids=(END,),
        length_penalty=LengthPenalty(search.length_penalty),
        n_best=search.n,
        constraint=allowed,
    )


def best_captions(network: OneToManyNetwork, images: Tensor, search: Search) -> list[list[int]]:
    """The words' numbers of the best caption for each image."""
    return [words_of(found[0]) for found in search_captions(network, images, search)]


def words_of(hypothesis: Hypothesis) -> list[int]:
    """Its tokens without the end."""
    tokens = list(hypothesis.tokens)
    return tokens[:-1] if hypothesis.finished else tokens


def attention_maps(
    network: OneToManyNetwork, image: Tensor, captions: Sequence[Sequence[int]], shape: tuple[int, int]
) -> list[NDArray[np.float32]]:
    """Where the network looked as it wrote each word of some captions of one image.

    Args:
        network: in evaluation mode.
        image: what its input layer reads, a batch of one.
        captions: words' numbers.
        shape: rows and columns of the grid.

    Returns:
        (T, rows, columns) for each caption.
    """
    maps = []
    with torch.no_grad():
        for words in captions:
            read = torch.tensor([END, *words[:-1]], dtype=torch.int64, device=image.device).unsqueeze(1)
            weights = network.attention(image, read)[: len(words), 0]
            maps.append(weights.float().cpu().numpy().reshape(len(words), *shape))
    return maps


def sentence(words: Sequence[str]) -> str:
    """Words as a sentence: a capital letter and a full stop.

    >>> sentence(["a", "dog", "runs"])
    'A dog runs.'
    """
    text = " ".join(words)
    return text[:1].upper() + text[1:] + "." if text else text


def text_of(vocabulary: Vocabulary, words: Sequence[int]) -> tuple[str, tuple[str, ...]]:
    """A caption's numbers as a sentence, and as words."""
    decoded = tuple(vocabulary.decode(words))
    return sentence(decoded), decoded


def fit_search(
    score: Any, beams: Sequence[int] = (3, 5), penalties: Sequence[float] = (0.0, 0.5, 0.8, 1.1, 1.4)
) -> Any:
    """The beam size and length penalty that score best, the smaller beam of equals.

    Args:
        score: a function of a `Search`.

    Returns:
        The search, and its score.
    """
    best = max(((Search(beams[0], p), score(Search(beams[0], p))) for p in penalties), key=lambda pair: pair[1])
    for beam in beams[1:]:
        wider = Search(beam, best[0].length_penalty)
        best = max((best, (wider, score(wider))), key=lambda pair: pair[1])
    return best
