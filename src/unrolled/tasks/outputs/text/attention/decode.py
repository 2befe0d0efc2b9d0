"""The search for texts, and what each of their tokens looked at.

B inputs, S steps (or positions of a grid) of one, T tokens of a text, V tokens in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleStore, Tokenizer, lengths_of, padded, sorted_batches
from unrolled.decoding import Hypothesis, LengthPenalty, beam_search, coverage_penalty
from unrolled.decoding.beam import Constraint
from unrolled.decoding.filters import no_repeat_ngram
from unrolled.networks.decoder import DecoderState, Decoding
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.text.attention.network import Writer, read, writer_of
from unrolled.training import share_out

#: hypotheses side by side in a search: more is no faster
ROWS = 160
#: the token that begins and ends every text
END = Tokenizer.end_id

AnyIds = Sequence[int] | NDArray[np.integer[Any]]
Some = Sequence[Arrays] | ExampleStore


@dataclass(frozen=True)
class Search:
    """How texts are searched for.

    Attributes:
        beam_size: hypotheses that are kept.
        length_penalty: power of the length by which log-probabilities are divided.
        coverage_penalty: weight of what is lost by leaving parts of the input unread.
        n_best: texts for each input, at most.
        max_tokens: of a text, its end among them; None allows twice the input's steps and ten.
        no_repeat_ngram: no n-gram of this length twice in a text; None allows all.
        may_be_empty: whether a text may be nothing but its end.
        exact: whether an input is over only when nothing alive could still enter its n best.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1
    max_tokens: int | None = None
    no_repeat_ngram: int | None = None
    may_be_empty: bool = True
    exact: bool = False


def batches(model: AnyFitted, inputs: Some, size: int) -> Iterator[tuple[list[int], list[Arrays]]]:
    """Yield inputs of similar length side by side, the longest first, with their places among all."""
    lengths = [model.input.count_steps(inputs[n]) for n in range(len(inputs))]
    for rows in sorted_batches(lengths, max(1, size)):
        yield rows.tolist(), [inputs[int(row)] for row in rows]


def fed(model: AnyFitted, inputs: Sequence[Arrays]) -> tuple[Any, Tensor | None]:
    """Return what the input layer reads of a batch, and the valid steps of each, (B,), or None."""
    feed: tuple[Any, Tensor | None] = model.input.feed(on_device(model.network, model.input.collate(model, inputs)))
    return feed


def search_all(model: AnyFitted, inputs: Some, search: Search) -> list[list[Hypothesis]]:
    """Return the hypotheses of each encoded input, best first.

    Args:
        model: its network in evaluation mode.
        inputs: as the input's `encode` made them.
        search: how.
    """
    result: list[list[Hypothesis]] = [[] for _ in range(len(inputs))]
    for rows, some in batches(model, inputs, ROWS // search.beam_size):
        for row, best in zip(rows, _searched(model, some, search), strict=True):
            result[row] = best
    return result


def _searched(model: AnyFitted, inputs: Sequence[Arrays], search: Search) -> list[list[Hypothesis]]:
    return search_batch(writer_of(model), *fed(model, inputs), model.output.tokenizer, search)


def best_of(model: AnyFitted, inputs: Some, search: Search) -> list[tuple[int, ...]]:
    """Return the tokens of the best text about each encoded input, without its end."""
    result: list[tuple[int, ...]] = [()] * len(inputs)
    tried = list(batches(model, inputs, ROWS // search.beam_size))

    def compute(batch: tuple[list[int], list[Arrays]]) -> list[tuple[int, ...]]:
        return [without_end(hypotheses[0].tokens) for hypotheses in _searched(model, batch[1], search)]

    for (rows, _), written in zip(tried, share_out(tried, compute), strict=True):
        for row, text in zip(rows, written, strict=True):
            result[row] = text
    return result


def without_end(tokens: Sequence[int]) -> tuple[int, ...]:
    """Return tokens without the end, if they have come to it."""
    return tuple(tokens[:-1] if tokens and tokens[-1] == END else tokens)


@torch.no_grad()
def search_batch(
    network: Writer, x: Any, lengths: Tensor | None, tokenizer: Tokenizer, search: Search
) -> list[list[Hypothesis]]:
    """Return the hypotheses of each input of a batch, as `search_all`."""
    begun = read(network, x, lengths)[0]
    count, steps = begun.memory.values.shape[:2]
    # a text twice as long as its input is rare, one that never ends is not
    each = [steps] * count if lengths is None else lengths.tolist()
    limits = search.max_tokens or [2 * n + 10 for n in each]
    stepper = Decoding(network, begun)
    start = torch.full((count,), END, dtype=torch.int64, device=begun.attended.device)
    logits, state = stepper.step(start, stepper.start(count))
    beta = search.coverage_penalty

    def coverage(state: DecoderState) -> Tensor:
        return coverage_penalty(state.attended, beta, state.memory.valid)

    return beam_search(
        stepper,
        state,
        logits,
        beam_size=search.beam_size,
        max_tokens=limits,
        end_ids=(END,),
        length_penalty=LengthPenalty(search.length_penalty),
        n_best=search.n_best,
        constraint=_rules(search, tokenizer),
        coverage=coverage if beta else None,
        exact=search.exact,
    )


def _rules(search: Search, tokenizer: Tokenizer) -> Constraint | None:
    """Return what a hypothesis may go on with: nothing unknown, no end at its beginning and no n-gram twice."""
    size, unknown, n = tokenizer.vocabulary_size, tokenizer.unknown_id, search.no_repeat_ngram
    if unknown is None and n is None and search.may_be_empty:
        return None

    def allowed(written: Tensor) -> Tensor:
        rows, live, length = written.shape
        free = torch.ones(rows * live, size, dtype=torch.bool, device=written.device)
        if n is not None and length:
            plain = torch.zeros(rows * live, size, device=written.device)
            free = no_repeat_ngram(plain, written.reshape(rows * live, length), n).isfinite()
        if unknown is not None:
            free[:, unknown] = False
        if not length and not search.may_be_empty:
            free[:, END] = False
        return free.view(rows, live, size)

    return allowed


def previous(tokens: AnyIds) -> NDArray[np.int64]:
    """Return what the decoder reads as it writes tokens (T,): the end, then all but the last."""
    return np.concatenate([[END], np.asarray(tokens, dtype=np.int64)[:-1]])


@torch.no_grad()
def attention_weights(model: AnyFitted, inputs: Some, texts: Sequence[AnyIds]) -> list[NDArray[np.float32]]:
    """Return the weights (T, S) of each token of a text on the steps of its input.

    Args:
        model: its network in evaluation mode.
        inputs: encoded.
        texts: the tokens of one about each, at least one.
    """
    network = writer_of(model)
    result: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)] * len(inputs)
    for rows, some in batches(model, inputs, ROWS):
        x, lengths = fed(model, some)
        state, _ = read(network, x, lengths)
        reads = [previous(texts[row]) for row in rows]
        device = state.attended.device
        _, weights = network.decoder(padded(reads).to(device), state, lengths_of(reads).to(device))
        steps = [weights.shape[2]] * len(rows) if lengths is None else lengths.tolist()
        for place, row in enumerate(rows):
            result[row] = weights[: len(texts[row]), place, : steps[place]].float().cpu().numpy()
    return result


def grid_of(network: nn.Module, x: Tensor) -> tuple[int, int]:
    """Return rows and columns of the grid that the network looks at; a grid without rows is one row."""
    shape: Any = getattr(network.get_submodule("inputs"), "grid_shape", None)
    return (1, x.shape[1]) if shape is None else cast(tuple[int, int], shape(*x.shape[1:3]))
