"""How good completion is, and the threshold above which it is shown: measured by typing text that was held back.

Stretches of the text are typed one character at a time, after some of the text before them has been read. Every
character typed is a place where a suggestion may be shown, and what follows there says whether it would have been
right: exactly these characters, and then the end of a word.
Source: Chen et al. 2019, arXiv 1906.00080 (Smart Compose), section 4; ExactMatch and triggering by confidence.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import TokenFile, Tokenizer
from unrolled.decoding import PhraseRule, Suggestion, choose
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Progress
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.options import NextOptions
from unrolled.tasks.outputs.next.predictor import NGramPredictor, TokenPredictor
from unrolled.tasks.outputs.next.session import TextSession, phrase_tools
from unrolled.types import Json

#: characters read before a stretch, typed in it, and known after it; more is cut only where a document ends
CONTEXT, TYPED, AHEAD = 200, 30, 200
#: places at which a threshold is fitted, and the fewest from which one can be
FIT_PLACES, FEWEST_PLACES = 500, 20
#: points of the coverage–accuracy curve
CURVE_POINTS = 20


class Stretch(NamedTuple):
    """Text to be typed.

    Attributes:
        context: what is read before; empty at the beginning of a document.
        text: what is typed, and what follows it.
        places: how many characters of it are typed.
    """

    context: str
    text: str
    places: int


class TypingPlace(NamedTuple):
    """A place in a text, what was offered there, and what followed.

    Attributes:
        suggestions: best score first.
        rest: the text that follows.
        begins_word: whether a word begins here.
        seconds: to read the last character and search; None where more than one character was read.
    """

    suggestions: Sequence[Suggestion]
    rest: str
    begins_word: bool
    seconds: float | None

    @property
    def best_score(self) -> float:
        """Of all suggestions, nats per token; −inf if there are none."""
        return max((s.score for s in self.suggestions), default=-math.inf)


def fit_suggestions(model: AnyFitted, options: NextOptions, dev: TokenFile, progress: Progress) -> None:
    """Fit what is suggested, and from which score on, into `model.fitted`."""
    # what a resumed run had been adapted to, its new weights are not
    model.fitted.clear()
    model.fitted["max_words"] = options.max_words
    model.fitted.update(fit_threshold(model, dev.tokens, options.coverage, progress))


def fit_threshold(model: AnyFitted, dev_token_ids: NDArray[Any], coverage: float, progress: Progress) -> Json:
    """Return the threshold at which a share of places shows a suggestion.

    Args:
        model: whose suggestions.
        dev_token_ids: (N,) text that the network was not trained on.
        coverage: the share, in (0, 1].
        progress: is called as it goes.

    Returns:
        As JSON: `threshold` (nats per token), what came of it on these places (`coverage`, `accuracy`,
        `keystrokes_saved`), and `places`, their number. Where there are fewer than FEWEST_PLACES, or nothing is ever
        suggested, the threshold is None and `threshold_reason` says so: then nothing is shown unless a threshold is
        named.
    """
    stretches = sample_stretches(dev_token_ids, model.input.tokenizer, FIT_PLACES)
    count = sum(stretch.places for stretch in stretches)
    nothing = {"threshold": None, "coverage": 0.0, "accuracy": None, "keystrokes_saved": 0.0, "places": count}
    if count < FEWEST_PLACES:
        reason = f"{count} places of development text are too few to fit it; at least {FEWEST_PLACES} are needed"
        return nothing | {"threshold_reason": reason}
    typed = type_stretches(model, stretches, progress, "fitting the threshold of suggestions")
    threshold = threshold_for([place for places in typed for place in places], coverage)
    if threshold is None:
        return nothing | {"threshold_reason": "nothing was suggested at any place of the development text"}
    rule = _rule(model)
    return {"threshold": threshold, **at_threshold(typed, threshold, rule), "places": count, "threshold_reason": None}


def study_completion(
    model: AnyFitted, baseline: NGram | None, token_ids: NDArray[Any], positions: int, progress: Progress
) -> tuple[Json, Json]:
    """Measure completion by the model, and by the n-gram at the same places and the same coverage.

    Args:
        model: with its fitted threshold.
        baseline: over the same tokens, or None.
        token_ids: (N,) the text.
        positions: how many places, about.
        progress: is called as it goes.

    Returns:
        For the model and the baseline, as JSON: `places`; `exact_match` by number of words, of the places where a word
        begins and at least so many follow in the sentence; `threshold` and, at it, `coverage`, `accuracy` and
        `keystrokes_saved`; `curve` (threshold, coverage, accuracy) and the `area` under it; `p50_seconds` and
        `p90_seconds` of one suggestion on one thread. The baseline's are {} without a baseline. Its threshold is the
        one that reaches the model's coverage on this very text.
    """
    stretches = sample_stretches(token_ids, model.input.tokenizer, positions)
    rule = _rule(model)
    typed = type_stretches(model, stretches, progress, "completing the text")
    threshold = model.fitted.get("threshold")
    own = summarise(typed, threshold, rule)
    if baseline is None:
        return own, {}
    typed = type_stretches(model, stretches, progress, "completing the text by n-gram", NGramPredictor(baseline))
    limit = None
    if threshold is not None and own["coverage"]:
        limit = threshold_for([place for places in typed for place in places], own["coverage"])
    return own, summarise(typed, limit, rule)


def sample_stretches(token_ids: NDArray[Any], tokenizer: Tokenizer, positions: int, *, seed: int = 0) -> list[Stretch]:
    """Draw stretches of a text at random, none across the end of a document.

    Args:
        token_ids: (N,), may be a mapped file: only what is drawn is read.
        tokenizer: of the ids.
        positions: places in all of them together; fewer if the text has fewer.
        seed: of the draw.
    """
    size = len(token_ids)
    stretches: list[Stretch] = []
    left = min(positions, size)
    if not size:
        return stretches
    # a piece of the text for each stretch, and a place in it: no two overlap for long, and all parts are heard
    pieces = max(1, min(-(-left // TYPED), size))
    draw = np.random.default_rng(seed)
    borders = [size * piece // pieces for piece in range(pieces + 1)]
    for first, last in pairwise(borders):
        at = first if last - first <= TYPED else int(draw.integers(first, last - TYPED))
        stretch = _stretch(token_ids, tokenizer, at, min(TYPED, left))
        if stretch.places:
            stretches.append(stretch)
            left -= stretch.places
    return stretches


def _stretch(token_ids: NDArray[Any], tokenizer: Tokenizer, at: int, most: int) -> Stretch:
    """Return the stretch that begins with token `at`, or after it if a document ends there."""
    start = max(0, at - CONTEXT)
    ids = np.asarray(token_ids[start : at + TYPED + AHEAD], dtype=np.int64)
    ends = np.flatnonzero(ids == tokenizer.end_id)
    here = at - start
    here += int(here in ends)
    before, after = ends[ends < here], ends[ends >= here]
    begin, stop = (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) if len(after) else len(ids))
    read, typed = (b"".join(map(tokenizer.token_bytes, part.tolist())) for part in (ids[begin:here], ids[here:stop]))
    # a token may end inside a character, which then belongs to what was read
    while typed and 0x80 <= typed[0] < 0xC0:
        read, typed = read + typed[:1], typed[1:]
    text = typed.decode("utf-8", "ignore")
    if len(after):
        return Stretch(read.decode("utf-8", "ignore"), text, min(most, len(text)))
    is_last = start + len(ids) == len(token_ids)
    # without what follows it can't be told whether a suggestion is right
    return Stretch(read.decode("utf-8", "ignore"), text, min(most, len(text) if is_last else max(0, len(text) - 40)))


def type_stretches(
    model: AnyFitted,
    stretches: Sequence[Stretch],
    progress: Progress,
    sentence: str,
    predictor: TokenPredictor | None = None,
) -> list[list[TypingPlace]]:
    """Type stretches character by character on one thread, and note what is suggested at each place."""
    rule = _rule(model)
    session = TextSession(model, predictor)
    total = sum(stretch.places for stretch in stretches)
    typed: list[list[TypingPlace]] = []
    done = 0
    with one_thread():
        for stretch in stretches:
            progress(sentence, done, total)
            typed.append(list(_type(session.reset(), stretch, rule)))
            done += stretch.places
    progress(sentence, done, total)
    return typed


def _type(session: TextSession, stretch: Stretch, rule: PhraseRule) -> Iterator[TypingPlace]:
    session.push(stretch.context)
    last = stretch.context[-1:]
    for place in range(stretch.places):
        started = time.perf_counter()
        if place:
            last = stretch.text[place - 1]
            session.push(last)
        suggestions = session.suggest()
        seconds = time.perf_counter() - started
        rest = stretch.text[place:]
        begins_word = not rule.ends_in_word(last) and rule.in_word(rest[0])
        yield TypingPlace(suggestions, rest, begins_word, seconds if place else None)


def is_right(suggestion: Suggestion, rest: str, rule: PhraseRule) -> bool:
    """Return whether the text continues with exactly the words suggested."""
    after = rest[len(suggestion.text) : len(suggestion.text) + 1]
    is_over = not after or not rule.in_word(after) or not rule.ends_in_word(suggestion.text)
    return rest.startswith(suggestion.text) and is_over


def threshold_for(places: Sequence[TypingPlace], coverage: float) -> float | None:
    """Return the highest threshold at which at least this share of places shows a suggestion, or as many as can.

    None if no place has a suggestion.
    """
    scores = sorted((place.best_score for place in places), reverse=True)
    possible = [score for score in scores if score > -math.inf]
    # the product is rounded up but for the noise of floating point, so that a share of n places is again n places
    wanted = max(1, math.ceil(coverage * len(scores) - 1e-9))
    return possible[min(wanted, len(possible)) - 1] if possible else None


def at_threshold(typed: Sequence[Sequence[TypingPlace]], threshold: float, rule: PhraseRule) -> Json:
    """Return coverage, accuracy (None if nothing is shown) and the share of keystrokes saved."""
    shown = right = total = keystrokes = characters = 0
    for places in typed:
        jumps = []
        for place in places:
            chosen = choose(place.suggestions, threshold)
            matches = chosen is not None and is_right(chosen, place.rest, rule)
            shown, right, total = shown + (chosen is not None), right + matches, total + 1
            jumps.append(len(chosen.text) if chosen is not None and matches else 1)
        # Tab, one keystroke, takes a suggestion that is right; all else is typed
        at = 0
        while at < len(jumps):
            keystrokes, characters, at = keystrokes + 1, characters + jumps[at], at + jumps[at]
    return {
        "coverage": shown / total if total else 0.0,
        "accuracy": right / shown if shown else None,
        "keystrokes_saved": 1 - keystrokes / characters if characters else 0.0,
    }


def summarise(typed: Sequence[Sequence[TypingPlace]], threshold: float | None, rule: PhraseRule) -> Json:
    """Return what `study_completion` says of one model."""
    places = [place for stretch in typed for place in stretch]
    fixed = {"coverage": None, "accuracy": None, "keystrokes_saved": None}
    if threshold is not None:
        fixed = at_threshold(typed, threshold, rule)
    curve = _curve(typed, places, rule)
    seconds = [place.seconds for place in places if place.seconds is not None]
    p50, p90 = (float(np.quantile(seconds, share)) for share in (0.5, 0.9)) if seconds else (None, None)
    return {
        "places": len(places),
        "exact_match": exact_match(places, rule),
        "threshold": threshold,
        **fixed,
        "curve": curve,
        "area": _area(curve),
        "p50_seconds": p50,
        "p90_seconds": p90,
    }


def exact_match(places: Iterable[TypingPlace], rule: PhraseRule) -> dict[str, float | None]:
    """Return by number of words, as text, how often the best suggestion of so many words is right.

    Of the places where a word begins and at least so many words follow before the sentence or the line is over; where
    nothing is suggested, it is not right. None where there is no such place.
    """
    asked, right = [0] * (rule.max_words + 1), [0] * (rule.max_words + 1)
    for place in places:
        if not place.begins_word:
            continue
        phrase = rule.before_end(place.rest)
        following = rule.count_words(place.rest if phrase is None else phrase)
        for words in range(1, min(following, rule.max_words) + 1):
            best = next((s for s in place.suggestions if s.words == words), None)
            asked[words] += 1
            right[words] += best is not None and is_right(best, place.rest, rule)
    return {str(n): right[n] / asked[n] if asked[n] else None for n in range(1, rule.max_words + 1)}


def _curve(
    typed: Sequence[Sequence[TypingPlace]], places: Sequence[TypingPlace], rule: PhraseRule
) -> dict[str, list[Any]]:
    """Return thresholds for evenly spaced coverages, the coverages reached, and the accuracies there."""
    curve: dict[str, list[Any]] = {"threshold": [], "coverage": [], "accuracy": [], "keystrokes_saved": []}
    for point in range(1, CURVE_POINTS + 1):
        threshold = threshold_for(places, point / CURVE_POINTS)
        if threshold is None or threshold in curve["threshold"]:
            continue
        found = {"threshold": threshold, **at_threshold(typed, threshold, rule)}
        for name, values in curve.items():
            values.append(found[name])
    return curve


def _area(curve: dict[str, list[Any]]) -> float | None:
    """Return accuracy integrated over coverage, by trapezia; up to the first point it counts as at that point."""
    if not curve["coverage"]:
        return None
    points = [(0.0, curve["accuracy"][0]), *zip(curve["coverage"], curve["accuracy"], strict=True)]
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, as a suggestion must be possible anywhere; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rule(model: AnyFitted) -> PhraseRule:
    return phrase_tools(model, model.fitted.get("max_words", 5))[0]
