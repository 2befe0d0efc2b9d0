"""Drawing tokens one after the other, for a batch of independent rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.decoding import filters
from unrolled.decoding.contract import S, Stepper, check_ids, check_logits, check_range
from unrolled.errors import ArgumentError, ShapeError

FINISHED = -1
"""The value that ``sample`` yields for a row that is done; in a history it counts as no token."""


@dataclass(frozen=True)
class SamplingOptions:
    """How a token is drawn. Applied in this order: penalties, forbidden tokens, temperature, top-k, top-p, min-p.

    The defaults draw from the model's own distribution. For ranges and sources see the functions in ``filters``.

    Args:
        temperature: ≥ 0; 0 is greedy.
        top_k: ≥ 1, or None for all.
        top_p: in (0, 1].
        min_p: in [0, 1].
        repetition_penalty: above 0; 1 is off.
        frequency_penalty: nats per occurrence.
        presence_penalty: nats.
        no_repeat_ngram: ≥ 1, or None for off.
        window: the number of last tokens that the four penalties apply to; ≥ 1.
        forbidden: ids that are never drawn, e.g. the unknown token.
    Raises:
        ArgumentError: an option is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    no_repeat_ngram: int | None = None
    window: int = 256
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_range("window", self.window, "an integer ≥ 1", self.window >= 1)
        # Each filter checks its own option; two tokens and an empty history are enough to run them all.
        self._shape(self._penalise(torch.zeros(1, 2), torch.zeros(1, 0, dtype=torch.int64)))

    @property
    def needs_history(self) -> bool:
        """Whether any penalty is on."""
        penalties = (self.repetition_penalty - 1, self.frequency_penalty, self.presence_penalty)
        return any(penalties) or self.no_repeat_ngram is not None

    def filter(self, logits: Tensor, history: Tensor) -> Tensor:
        """Return the logits (B, V) to draw from, −inf where never, given logits (B, V) and the tokens so far (B, N)."""
        return self._shape(filters.forbid(self._penalise(logits, history[:, -self.window :]), self.forbidden))

    def _penalise(self, logits: Tensor, history: Tensor) -> Tensor:
        logits = filters.repetition_penalty(logits, history, self.repetition_penalty)
        logits = filters.frequency_and_presence(logits, history, self.frequency_penalty, self.presence_penalty)
        return (
            logits if self.no_repeat_ngram is None else filters.no_repeat_ngram(logits, history, self.no_repeat_ngram)
        )

    def _shape(self, logits: Tensor) -> Tensor:
        logits = filters.temperature(logits, self.temperature)
        logits = logits if self.top_k is None else filters.top_k(logits, self.top_k)
        return filters.min_p(filters.top_p(logits, self.top_p), self.min_p)


def sample(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    max_tokens: int,
    options: SamplingOptions | None = None,
    history: Tensor | None = None,
    stop: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Iterator[Tensor]:
    """Draw up to ``max_tokens`` tokens per row and yield them as they are drawn.

    Every row has its own generator and uses exactly one uniform number per step, so its tokens depend only on its seed
    and its logits: not on the other rows, their number, or when they stop.

    Args:
        stepper: the model.
        state: its state after the prompt, B rows; ``stepper.select(state, torch.zeros(n, dtype=torch.int64))`` makes
            n rows of one.
        logits: (B, V) after the prompt.
        max_tokens: ≥ 0.
        options: the defaults draw from the model's own distribution.
        history: (B, N) int64, the prompt, for the penalties; −1 pads on the left. Empty by default.
        stop: called after each step with the tokens (B,) just drawn (FINISHED in rows that are done); returns (B,)
            bool, True where a row is now done. The token that ended it is yielded.
        generator: one per row; or a single one, from which each row's seed is drawn in the order of rows; or None,
            which uses torch's global generator for that.
    Yields:
        (B,) int64; FINISHED (−1) in rows that are done. Ends when all rows are.
    Raises:
        ArgumentError, ShapeError, DTypeError: at the call, not at the first token.
    """
    chosen = SamplingOptions() if options is None else options
    check_range("max_tokens", max_tokens, "an integer ≥ 0", max_tokens >= 0)
    check_logits(logits, stepper.vocabulary_size)
    check_ids("forbidden", chosen.forbidden, stepper.vocabulary_size)
    batch = logits.shape[0]
    past = torch.empty((batch, 0), dtype=torch.int64, device=logits.device) if history is None else history
    if past.dim() != 2 or past.shape[0] != batch:
        raise ShapeError("history", f"(B={batch}, N)", past.shape)
    return _draw_all(stepper, state, logits, max_tokens, chosen, past, stop, _row_generators(generator, batch))


@torch.no_grad()
def _draw_all(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    max_tokens: int,
    options: SamplingOptions,
    history: Tensor,
    stop: Callable[[Tensor], Tensor] | None,
    generators: Sequence[torch.Generator],
) -> Iterator[Tensor]:
    over = torch.zeros(logits.shape[0], dtype=torch.bool, device=logits.device)
    for remaining in range(max_tokens, 0, -1):
        drawn = draw(options.filter(logits, history), generators)
        shown = drawn.masked_fill(over, FINISHED)
        yield shown
        if stop is not None:
            over = over | stop(shown).to(over.device)
            if bool(over.all()):
                return
        if options.needs_history:
            history = torch.cat((history, shown.unsqueeze(1)), dim=1)[:, -options.window :]
        if remaining > 1:
            # Rows that are done continue with what they would have drawn, unseen, so that the batch keeps its shape.
            logits, state = stepper.step(drawn, state)


def draw(logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row, by inverting the cumulative distribution at a uniform number from the row's generator.

    Args:
        logits: (B, V); −inf is never drawn.
        generators: one for each of the B rows.
    Returns:
        (B,) int64, on the device of logits.
    Raises:
        ArgumentError: the number of generators is not B, or a row of logits has no finite maximum.
    """
    if len(generators) != logits.shape[0]:
        raise ArgumentError(f"generator: expected one per row, {logits.shape[0]}, found {len(generators)}")
    if logits.shape[0] == 0:
        return torch.empty(0, dtype=torch.int64, device=logits.device)
    cumulative = logits.double().softmax(-1).cumsum(-1)
    total = cumulative[:, -1:]
    if not bool(total.isfinite().all()):
        raise ArgumentError("logits: not finite; the model's weights or its input state have diverged")
    uniform = torch.stack([torch.rand((), dtype=torch.float64, generator=g, device=g.device) for g in generators])
    # Strictly below the total, whatever the rounding, so that the first cumulative value above it belongs to a token
    # with a probability above 0 (tests: a distribution whose last tokens are all −inf).
    mark = torch.minimum(uniform.to(total.device).unsqueeze(1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, mark, right=True).squeeze(1)


def row_generators(seed: int, rows: int) -> list[torch.Generator]:
    """Return ``rows`` generators on the CPU; the b-th depends only on ``seed`` and b.

    Raises:
        ArgumentError: seed is negative or beyond 64 bits.
    """
    check_range("seed", seed, "an integer in [0, 2**64)", 0 <= seed < 2**64)
    # A generator takes seeds in [−2⁶³, 2⁶⁴) and reads both halves as the same 64 bits.
    return _row_generators(torch.Generator().manual_seed(seed), rows)


def _row_generators(generator: torch.Generator | Sequence[torch.Generator] | None, rows: int) -> list[torch.Generator]:
    if isinstance(generator, Sequence):
        if len(generator) != rows:
            raise ArgumentError(f"generator: expected one per row, {rows}, found {len(generator)}")
        return list(generator)
    device = torch.device("cpu") if generator is None else generator.device
    # Drawn one by one: a single call might give row b another seed when the number of rows changes.
    seeds = [int(torch.randint(2**63 - 1, (), generator=generator, device=device)) for _ in range(rows)]
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]
