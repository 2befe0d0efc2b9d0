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

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.decoding.beam import Beam, constrained
from unrolled.decoding.contract import S, Stepper, check_logits, check_range
from unrolled.decoding.filters import NEVER
from unrolled.decoding.phrases import START_MODE, PhraseRule
from unrolled.decoding.prefix import BytePrefix
from unrolled.errors import ArgumentError, ShapeError


@dataclass(frozen=True)
class Suggestion:
    """A continuation of the text typed.

    Args:
        text: what to insert after the text typed.
        log_prob: log-probability that the text goes on with exactly these words, nats.
        score: log_prob divided by the number of tokens that it covers, the one that shows the end of the last word
            included: nats per token.
        tokens: the most probable tokens that spell it, from the state given on (so with the prefix, if there was one).
        words: number of words in ``text``; the completed rest of a word is one.
    """

    text: str
    log_prob: float
    score: float
    tokens: tuple[int, ...]
    words: int


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
    found = _Found(rule, start.prefixes, n_best)

    # The search itself stays on the CPU, where its small steps are cheapest; the model stays where it is.
    device, logits = logits.device, logits.cpu()
    beam = Beam.begin(logits)
    modes = torch.full(beam.log_probs.shape, START_MODE)
    for length in range(max_tokens + 1):
        joint = beam.extensions(logits)
        masks = start.masks(beam.tokens)
        if length:
            over = joint.index_select(2, rule.boundary_tokens).logsumexp(-1)
            waiting = ~rule.word_open[modes] if masks is None else ~rule.word_open[modes] | masks[2]
            found.note_words(beam.tokens, over.masked_fill(waiting, NEVER))
        if length == max_tokens:
            break
        if masks is not None:
            start.observe(joint, masks)
            joint = constrained(joint, masks[0])
        if len(rule.end_tokens):
            ends = joint.index_select(2, rule.end_tokens)
            found.note_ends(beam.tokens, ends.masked_fill(rule.end_blocked[modes], NEVER), 2 * beam_size)
        beam, rows = beam.extend(joint.masked_fill(rule.blocked[modes], NEVER), beam_size)
        modes = rule.next_mode[modes.flatten()[rows], beam.tokens[..., -1].flatten()].view(beam.log_probs.shape)
        alive = (beam.log_probs >= min_log_prob + start.log_prob) & (beam.log_probs > NEVER)
        if not bool(alive.any()):
            break
        beam = Beam(beam.log_probs.masked_fill(~alive, NEVER), beam.tokens)
        ahead = stepper.select(state, rows.to(device))
        logits, state = stepper.step(beam.tokens[..., -1].flatten().to(device), ahead)
        logits = logits.cpu()
    return found.suggestions(start.log_prob, min_log_prob)


def choose(suggestions: Iterable[Suggestion], threshold: float) -> Suggestion | None:
    """The suggestion with the most words among those whose score reaches the threshold (nats per token), or None."""
    good = [suggestion for suggestion in suggestions if suggestion.score >= threshold]
    return max(good, key=lambda suggestion: (suggestion.words, suggestion.score), default=None)


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
        self.prefixes = prefixes
        self._healing = healing if any(prefixes) else None
        covered = [[NEVER if prefix else 0.0] for prefix in prefixes]
        self.log_prob = torch.tensor(covered, dtype=torch.float64).view(-1, 1)

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


class _Event(NamedTuple):
    """One way in which a suggestion can come true: nats, tokens covered, the tokens that spell it."""

    log_prob: float
    covered: int
    tokens: tuple[int, ...]


@dataclass
class _Found:
    """Every end of a word or phrase that the search passed, turned into text only when it is over."""

    rule: PhraseRule
    prefixes: Sequence[bytes]
    n_best: int
    _words: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _ends: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end_ids: list[int] = self.rule.end_tokens.tolist()

    def note_words(self, tokens: Tensor, log_probs: Tensor) -> None:
        """Hypotheses (B, K, t) whose last word is over with log-probability (B, K)."""
        self._words.append((tokens, log_probs))

    def note_ends(self, tokens: Tensor, log_probs: Tensor, count: int) -> None:
        """Hypotheses (B, K, t) and the log-probability (B, K, E) of each being ended by each end token."""
        best, cells = log_probs.flatten(1).topk(min(count, log_probs[0].numel()) if len(log_probs) else 0, dim=-1)
        self._ends.append((tokens, best, cells))

    def suggestions(self, start: Tensor, min_log_prob: float) -> list[list[Suggestion]]:
        """What was noted, as suggestions whose log_prob is conditional on the start's, (B, 1)."""
        offsets: list[float] = start.flatten().tolist()
        return [self._ranked(self._events(row, offset, min_log_prob)) for row, offset in enumerate(offsets)]

    def _events(self, row: int, offset: float, min_log_prob: float) -> dict[str, list[_Event]]:
        """By the text to show. Different tokens that spell the same text are different events."""
        events: dict[str, list[_Event]] = {}

        def add(tokens: list[int], end: int | None, value: float) -> None:
            log_prob = value - offset
            if log_prob == NEVER or math.isnan(log_prob) or log_prob < min_log_prob:
                return
            text = self._shown(tokens, end, self.prefixes[row])
            if text is not None:
                spelling = tokens if end is None or not self.rule.end_kept[end] else [*tokens, self._end_ids[end]]
                events.setdefault(text, []).append(_Event(log_prob, len(tokens) + 1, tuple(spelling)))

        for tokens, log_probs in self._words:
            for hypothesis, value in zip(tokens[row].tolist(), log_probs[row].tolist(), strict=True):
                add(hypothesis, None, value)
        for tokens, log_probs, cells in self._ends:
            hypotheses = tokens[row].tolist()
            for value, cell in zip(log_probs[row].tolist(), cells[row].tolist(), strict=True):
                parent, end = divmod(cell, len(self._end_ids))
                add(hypotheses[parent], end, value)
        return events

    def _shown(self, tokens: list[int], end: int | None, prefix: bytes) -> str | None:
        """The text to show, or None where there is nothing to show or it is noted elsewhere."""
        spelled = b"".join(self.rule.pieces[token] for token in tokens)
        kept = b"" if end is None else self.rule.end_kept[end]
        try:
            text = (spelled + kept)[len(prefix) :].decode().rstrip()
        except UnicodeDecodeError:
            return None  # ends inside a character
        # A line break after a whole word: already counted among what shows that the word is over.
        repeated = end is not None and not kept.strip() and self.rule.ends_in_word(text)
        return None if repeated or not self.rule.count_words(text) else text

    def _ranked(self, events: dict[str, list[_Event]]) -> list[Suggestion]:
        """Best score first, n_best of each number of words."""
        suggestions = []
        for text, ways in events.items():
            likeliest = max(ways)
            # Events exclude each other, so their probabilities add up.
            log_prob = likeliest.log_prob + math.log(sum(math.exp(way.log_prob - likeliest.log_prob) for way in ways))
            words = self.rule.count_words(text)
            suggestions.append(Suggestion(text, log_prob, log_prob / likeliest.covered, likeliest.tokens, words))
        suggestions.sort(key=lambda suggestion: (-suggestion.score, suggestion.text))
        kept: Counter[int] = Counter()
        best = []
        for suggestion in suggestions:
            kept[suggestion.words] += 1
            if kept[suggestion.words] <= self.n_best:
                best.append(suggestion)
        return best
