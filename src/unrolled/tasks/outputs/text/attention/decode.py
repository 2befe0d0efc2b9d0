"""Translations: the search for them, and what `predict` returns."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Tokenizer, lengths_of, padded, sorted_batches
from unrolled.decoding import Hypothesis, LengthPenalty, beam_search, coverage_penalty
from unrolled.decoding.filters import NEVER
from unrolled.networks import ManyToManyNetwork
from unrolled.networks.many_to_many import DecoderState, Decoding

if TYPE_CHECKING:
    from unrolled.tasks.uses.translate.plan import TokenizerPair

Ids = NDArray[np.integer[Any]]

#: hypotheses side by side in a search: more is no faster
ROWS = 160
#: what the last token, which ends a sentence, is shown as
END = "</s>"


@dataclass(frozen=True)
class Candidate:
    """One translation among several.

    Attributes:
        text: as one writes it.
        log_prob: of its tokens, the end included, nats.
        score: `log_prob` divided by the length penalty, plus the coverage penalty.
    """

    text: str
    log_prob: float
    score: float

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class Translation:
    """What a model makes of a sentence.

    Attributes:
        source: the sentence.
        text: its translation.
        log_prob, score: as those of `Candidate`.
        candidates: the n best, this one among them, best first; fewer where several were of one text.
        source_tokens, target_tokens: what both were cut into, the end included.
        attention: for each token of the target the weights on those of the source, which sum to 1.
    """

    source: str
    text: str
    log_prob: float
    score: float
    candidates: tuple[Candidate, ...]
    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    attention: tuple[tuple[float, ...], ...]

    def __str__(self) -> str:
        return self.text

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; log-probabilities and scores in nats, attention a row for each token of the target."""
        return {
            "source": self.source,
            "text": self.text,
            "log_prob": self.log_prob,
            "score": self.score,
            "candidates": [c.as_json() for c in self.candidates],
            "source_tokens": list(self.source_tokens),
            "target_tokens": list(self.target_tokens),
            "attention": [[round(w, 4) for w in row] for row in self.attention],
        }

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{_shown(token)}</th>" for token in self.source_tokens)
        rows = "".join(
            f"<tr><th>{_shown(token)}</th>"
            + "".join(f'<td style="background:rgba(31,119,180,{w:.2f})" title="{w:.3f}"></td>' for w in weights)
            + "</tr>"
            for token, weights in zip(self.target_tokens, self.attention, strict=True)
        )
        others = "".join(
            f"<li>{html.escape(c.text)} <small>{c.score:.3f} ({c.log_prob:.2f} nats)</small></li>"
            for c in self.candidates
        )
        return (
            f"<p>{html.escape(self.source)}</p><ol>{others}</ol>"
            f"<table><tr><th></th>{head}</tr>{rows}</table>"
        )  # fmt: skip


def _shown(token: str) -> str:
    return html.escape(token).replace(" ", "&nbsp;") or "&nbsp;"


@dataclass(frozen=True)
class Search:
    """How translations are searched for; see `SearchOptions`."""

    beam_size: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1


def encode_text(text: str, tokenizer: Tokenizer) -> NDArray[np.int32]:
    """A sentence's ids with the end after them.

    Byte pairs are those of words with the space before them, so that a word is the same token wherever it stands;
    hence the space before the first, which `decode_ids` takes away.
    """
    ids = tokenizer.encode(f" {text}" if tokenizer.kind == "bpe" else text)
    return np.append(ids, np.int32(tokenizer.end_id)).astype(np.int32)


def decode_ids(ids: Sequence[int] | Ids, tokenizer: Tokenizer) -> str:
    """The sentence of ids, whether or not the end is among them."""
    text = tokenizer.decode(ids)
    return text.removeprefix(" ") if tokenizer.kind == "bpe" else text


def search_all(
    network: ManyToManyNetwork,
    sources: Sequence[Ids],
    tokenizers: TokenizerPair,
    search: Search,
    told: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """The best translations of encoded sources, of similar length side by side.

    Args:
        network: in evaluation mode.
        sources: ids with their ends.
        tokenizers: of both languages.
        search: how.
        told: how many are done.

    Returns:
        For each source its hypotheses, best first.
    """
    found: list[list[Hypothesis]] = [[] for _ in sources]
    done = 0
    for rows in sorted_batches([len(s) for s in sources], max(1, ROWS // search.beam_size)):
        for row, hypotheses in zip(rows, _search([sources[r] for r in rows], network, tokenizers, search), strict=True):
            found[row] = hypotheses
        done += len(rows)
        if told is not None:
            told(done)
    return found


@torch.no_grad()
def _search(
    sources: list[Ids], network: ManyToManyNetwork, tokenizers: TokenizerPair, search: Search
) -> list[list[Hypothesis]]:
    device = next(network.parameters()).device
    decoding = network.decoding(padded(sources).long().to(device), lengths_of(sources).to(device))
    end = tokenizers.target.end_id
    start = torch.full((len(sources),), end, dtype=torch.int64, device=device)
    logits, state = decoding.step(start, decoding.start(len(sources)))
    beta = search.coverage_penalty

    def coverage(state: DecoderState) -> Tensor:
        return coverage_penalty(state.attended, beta, state.memory.valid)

    return beam_search(
        _Known(decoding, tokenizers.target.unknown_id),
        state,
        logits,
        beam_size=search.beam_size,
        # a translation twice as long as its source is rare, one that never ends is not
        max_tokens=[2 * len(s) + 10 for s in sources],
        end_ids=(end,),
        length_penalty=LengthPenalty(search.length_penalty),
        n_best=search.n_best,
        coverage=coverage if beta else None,
        exact=False,
    )


class _Known:
    """A stepper that never writes the unknown token, which has no text of its own."""

    def __init__(self, decoding: Decoding, unknown: int | None) -> None:
        self._decoding, self._unknown = decoding, unknown
        self.start, self.select = decoding.start, decoding.select
        self.vocabulary_size = decoding.vocabulary_size

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As the network's."""
        logits, state = self._decoding.step(tokens, state)
        if self._unknown is not None:
            logits = logits.index_fill(1, torch.tensor([self._unknown], device=logits.device), NEVER)
        return logits, state


@torch.no_grad()
def attention_weights(
    network: ManyToManyNetwork, sources: Sequence[Ids], targets: Sequence[Ids], end: int
) -> list[NDArray[Any]]:
    """What each token of a target looked at, a matrix (T, S) for each pair."""
    device = next(network.parameters()).device
    read = [np.concatenate([[end], t[:-1]]) for t in targets]
    data = [padded(sources).long(), lengths_of(sources), padded(read).long(), lengths_of(read)]
    _, weights = network.features(*(tensor.to(device) for tensor in data))
    return [weights[: len(t), b, : len(s)].cpu().numpy() for b, (s, t) in enumerate(zip(sources, targets, strict=True))]


def translate_texts(
    network: ManyToManyNetwork, texts: Sequence[str], tokenizers: TokenizerPair, search: Search
) -> list[Translation]:
    """Translations of some sentences, in their order; of a blank one a blank one, for nothing is read into it."""
    full = [n for n, text in enumerate(texts) if text.strip()]
    sources = [encode_text(texts[n].strip(), tokenizers.source) for n in full]
    found = search_all(network, sources, tokenizers, search)
    result = [Translation(text, "", 0.0, 0.0, (), (), (), ()) for text in texts]
    targets = [np.array(hypotheses[0].tokens, dtype=np.int64) for hypotheses in found]
    weights: list[NDArray[Any]] = [np.empty(0)] * len(full)
    for rows in sorted_batches([len(s) for s in sources], ROWS):
        chosen = [sources[r] for r in rows], [targets[r] for r in rows]
        for row, matrix in zip(rows, attention_weights(network, *chosen, tokenizers.target.end_id), strict=True):
            weights[row] = matrix
    for place, n in enumerate(full):
        candidates: dict[str, Candidate] = {}
        for h in found[place]:
            # one text may be cut into tokens in several ways: the best of them stands for it
            text = decode_ids(h.tokens, tokenizers.target)
            candidates.setdefault(text, Candidate(text, h.log_prob, h.score))
        best = next(iter(candidates.values()))
        result[n] = Translation(
            texts[n],
            best.text,
            best.log_prob,
            best.score,
            tuple(candidates.values()),
            _tokens(sources[place], tokenizers.source),
            _tokens(targets[place], tokenizers.target),
            tuple(tuple(float(w) for w in row) for row in weights[place]),
        )
    return result


def _tokens(ids: Ids, tokenizer: Tokenizer) -> tuple[str, ...]:
    return tuple(END if token == tokenizer.end_id else tokenizer.token_text(int(token)) for token in ids)
