"""Completing what somebody is writing: the most probable next words, by beam search.

A suggestion consists of whole words: if the text typed ends inside a word, the first word is completed. The probability
of a suggestion "to the store" is that of the event *the text goes on with exactly these words*: it includes that the
word "store" is over (else "sto" would always look better than "store"), which is the sum over every token that can
show it, a space, a comma, the end of the text. That token is not shown. A sentence's end is shown: "to the store." is a
suggestion of its own.

One search gives suggestions of 1, 2, …, max_words words: a hypothesis that has just completed a word is noted, and
goes on.
Dimension letters: B rows, K live hypotheses a row, V vocabulary, E tokens that end a phrase, t tokens so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.decoding.beam import Beam, constrained
from unrolled.decoding.contract import S, Stepper, check_logits, check_range
from unrolled.decoding.filters import NEVER
from unrolled.decoding.phrases import START_MODE, PhraseRule
from unrolled.decoding.prefix import BytePrefix
from unrolled.decoding.suggestions import Candidates, Suggestion
from unrolled.errors import ArgumentError, ShapeError


def complete(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    rule: PhraseRule,
    max_tokens: int = 20,
    beam_size: int = 4,
    n_best: int = 3,
    min_log_prob: float = NEVER,
    healing: BytePrefix | None = None,
    prefix: bytes = b"",
) -> list[Suggestion]:
    """Suggestions for one text; ``complete_batch`` says what the arguments are."""
    prefixes = (prefix,)
    return complete_batch(
        stepper, state, logits, rule=rule, max_tokens=max_tokens, beam_size=beam_size, n_best=n_best,
        min_log_prob=min_log_prob, healing=healing, prefixes=prefixes,
    )[0]  # fmt: skip


@torch.no_grad()
def complete_batch(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    rule: PhraseRule,
    max_tokens: int = 20,
    beam_size: int = 4,
    n_best: int = 3,
    min_log_prob: float = NEVER,
    healing: BytePrefix | None = None,
    prefixes: Sequence[bytes] | None = None,
) -> list[list[Suggestion]]:
    """The most probable phrases after each text of a batch. Exact up to the beam's width.

    Args:
        stepper: the model.
        state: its state after the texts typed, B rows.
        logits: (B, V) there.
        rule: where words and phrases end.
        max_tokens: a suggestion has at most this many tokens.
        beam_size: K ≥ 1.
        n_best: how many suggestions to keep of each number of words.
        min_log_prob: hypotheses less probable than this are dropped at once, nats; it saves time where nothing is
            predictable. Since a log-probability only falls, no suggestion above it is lost by that, unless its
            probability is spread over several spellings in tokens that are each below.
        healing: needed with prefixes.
        prefixes: bytes that each continuation must begin with, for a model that was fed the text without its last
            token; ``text`` leaves them out, and log_prob is then conditional on them. None or b"" where nothing is
            prescribed.
    Returns:
        For each row its suggestions, best score first. Empty where the model sees none.
    Raises:
        ArgumentError, ShapeError, DTypeError: an argument out of range or that does not fit; a prefix in which a phrase
            ends.
    """
    check_range("max_tokens", max_tokens, "an integer ≥ 1", max_tokens >= 1)
    check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
    check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
    check_range("min_log_prob", min_log_prob, "a number ≤ 0", min_log_prob <= 0)
    check_logits(logits, stepper.vocabulary_size)
    if len(rule.pieces) != stepper.vocabulary_size:
        raise ArgumentError(f"rule: made for {len(rule.pieces)} tokens, the model has {stepper.vocabulary_size}")
    start = _Start(rule, healing, _checked_prefixes(rule, healing, prefixes, logits.shape[0]))
    found = Candidates(rule, start.prefixes, n_best)

    # The search itself stays on the CPU, where its small steps are cheapest; the model stays where it is.
    device, logits = logits.device, logits.cpu()
    beam = Beam.begin(logits)
    modes = torch.full((len(logits),), START_MODE)  # (B·K,)
    separates = rule.separates.to(logits.dtype)
    for length in range(max_tokens + 1):
        joint = beam.extensions(logits)
        masks = start.masks(beam.tokens)
        if length:
            # no matrix product, whose last bits would depend on how many rows there are
            over = (logits.softmax(-1) * separates).sum(-1).log() + rule.open_word.index_select(0, modes)
            over = over.view(beam.log_probs.shape) + beam.log_probs
            found.note_words(beam.tokens, modes, over if masks is None else over.masked_fill(masks[2], NEVER))
        if length == max_tokens:
            break
        if masks is not None:
            start.observe(joint, masks)
            joint = constrained(joint, masks[0])
        if len(rule.end_tokens):
            ends = joint.index_select(2, rule.end_tokens)
            found.note_ends(
                beam.tokens,
                modes,
                ends.masked_fill(rule.end_blocked.index_select(0, modes).view(ends.shape), NEVER),
                beam_size,
            )
        joint = joint.masked_fill(rule.blocked.index_select(0, modes).view(joint.shape), NEVER)
        beam, rows = beam.extend(joint, beam_size)
        newest = beam.tokens[..., -1].flatten()
        modes = rule.next_mode.index_select(0, modes.index_select(0, rows) * stepper.vocabulary_size + newest)
        if min_log_prob > NEVER:
            beam = Beam(beam.log_probs.masked_fill(beam.log_probs < min_log_prob + start.log_prob, NEVER), beam.tokens)
        live = (beam.log_probs[:, 0] > NEVER).nonzero().flatten()
        if not len(live):
            break
        if len(live) < len(beam.log_probs):
            # what is over takes no more time
            shape = beam.log_probs.shape
            beam = Beam(beam.log_probs.index_select(0, live), beam.tokens.index_select(0, live))
            rows, newest, modes = (x.view(shape).index_select(0, live).flatten() for x in (rows, newest, modes))
            start.keep(live)
            found.keep(live)
        ahead = stepper.select(state, rows.to(device))
        logits, state = stepper.step(newest.to(device), ahead)
        logits = logits.cpu()
    return found.suggestions(start.covered(), min_log_prob)


def _checked_prefixes(
    rule: PhraseRule, healing: BytePrefix | None, prefixes: Sequence[bytes] | None, batch: int
) -> Sequence[bytes]:
    chosen = (b"",) * batch if prefixes is None else prefixes
    if len(chosen) != batch:
        raise ShapeError("logits", f"(B={len(chosen)}, V), one row a text", (batch, len(rule.pieces)))
    for prefix in chosen:
        if prefix and healing is None:
            raise ArgumentError("healing: needed where a continuation must begin with given bytes")
        if rule.before_end(prefix.decode("utf-8", "surrogateescape")) is not None:
            raise ArgumentError(f"prefix: {prefix!r} ends a phrase; feed it to the model and leave the prefix empty")
    return chosen


class _Start:
    """The bytes each row must begin with, and how probable the model found them.

    ``log_prob`` (B, 1) sums, over hypotheses in the beam, every way to cover the prefix: exact while the beam holds all
    of its beginnings, otherwise a lower bound.
    """

    def __init__(self, rule: PhraseRule, healing: BytePrefix | None, prefixes: Sequence[bytes]) -> None:
        self.prefixes: Sequence[bytes] = prefixes
        self._healing = healing if any(prefixes) else None
        covered = [[NEVER if prefix else 0.0] for prefix in prefixes]
        self.log_prob = torch.tensor(covered, dtype=torch.float64).view(-1, 1)
        self._all, self._rows = self.log_prob.clone(), torch.arange(len(covered))

    def keep(self, live: Tensor) -> None:
        """Go on with some of the rows."""
        self._all = self.covered()
        self._rows, self.log_prob = self._rows.index_select(0, live), self.log_prob.index_select(0, live)
        self.prefixes = [self.prefixes[row] for row in live.tolist()]

    def covered(self) -> Tensor:
        """``log_prob`` of all rows, those included that are over."""
        return self._all.index_copy(0, self._rows, self.log_prob)

    def masks(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """``BytePrefix.masks`` while any hypothesis has yet to cover its prefix, else None."""
        if self._healing is None:
            return None
        masks = self._healing.masks(tokens, self.prefixes)
        if masks is None:
            self._healing = None
        return masks

    def observe(self, joint: Tensor, masks: tuple[Tensor, Tensor, Tensor]) -> None:
        """Adds what covers a prefix with the next token, from joint (B, K, V)."""
        covering = joint.masked_fill(~masks[1], NEVER).flatten(1).logsumexp(-1, keepdim=True)
        self.log_prob = torch.logaddexp(self.log_prob, covering)
