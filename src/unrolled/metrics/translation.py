"""BLEU and chrF of translations, with sacrebleu's signatures, which say how they were computed.

`translation_scores` uses sacrebleu. `corpus_bleu` is the same BLEU (13a tokens, exponential smoothing) without that
library: training selects its best weights by it, and must not depend on what is installed.

Source: Papineni et al. 2002 (BLEU), doi:10.3115/1073083.1073135; Popović 2015 (chrF), doi:10.18653/v1/W15-3049; Post
2018 (signatures), arXiv 1804.08771.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.metrics.ngrams import LONGEST, count_matches
from unrolled.types import Json

#: the reference of each text, or several of it
References = Sequence[str] | Sequence[Sequence[str]]

# NIST's mteval-v13a splits off symbols, points and commas unless between digits, and dashes after a digit
_SYMBOLS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_BEFORE_POINT = re.compile(r"([^0-9])([.,])")
_AFTER_POINT = re.compile(r"([.,])([^0-9])")
_DASH = re.compile(r"([0-9])(-)")
_ESCAPED = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def tokens_13a(text: str) -> list[str]:
    """Split a text into words and symbols as NIST's script mteval-v13a does; BLEU is usually reported on these.

    >>> tokens_13a('He said "3.5", no?')
    ['He', 'said', '"', '3.5', '"', ',', 'no', '?']
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for escaped, plain in _ESCAPED:
            text = text.replace(escaped, plain)
    text = _SYMBOLS.sub(r" \1 ", f" {text} ")
    text = _BEFORE_POINT.sub(r"\1 \2 ", text)
    text = _AFTER_POINT.sub(r" \1 \2", text)
    return _DASH.sub(r"\1 \2 ", text).split()


def corpus_bleu(hypotheses: Sequence[str], references: References, *, lowercase: bool = False) -> float:
    """Return BLEU of a corpus, 0 to 100.

    Raises:
        ArgumentError: the numbers of references and hypotheses differ, or there are none.
    """
    several = _several(hypotheses, references)

    def cut(text: str) -> list[str]:
        return tokens_13a(text.lower() if lowercase else text)

    counts = count_matches(list(map(cut, hypotheses)), [list(map(cut, others)) for others in several])
    matches, totals, length, wanted = counts
    if not matches[0] or not totals[LONGEST - 1]:
        return 0.0
    logs, halved = 0.0, 1.0
    for matched, total in zip(matches, totals, strict=True):
        if not matched:
            # an order without a match counts as half a match, the next one as a quarter, and so on
            halved *= 2
        logs += math.log(matched / total if matched else 1 / (halved * total))
    brevity = min(0.0, 1 - wanted / length)
    return 100 * math.exp(brevity + logs / LONGEST)


def translation_scores(hypotheses: Sequence[str], references: References) -> Json:
    """Return BLEU, case-insensitive BLEU and chrF of a corpus, each 0 to 100, by sacrebleu.

    Args:
        hypotheses, references: text as written, not tokenised; sacrebleu tokenises both by 13a.

    Returns:
        bleu, bleu_lowercase, chrf, length_ratio (words of the hypotheses per word of the references), and `signatures`.

    Raises:
        ArgumentError: the numbers of references and hypotheses differ, or there are none.
        MissingDependencyError: sacrebleu is not installed.
    """
    several = _several(hypotheses, references)
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise MissingDependencyError("sacrebleu", "metrics", "scoring translations") from error
    scores: Json = {}
    signatures = {}
    # the first reference of each, then the second; None where one has no more
    streams = [list(stream) for stream in zip_longest(*several)]
    for name, metric in (("bleu", BLEU()), ("bleu_lowercase", BLEU(lowercase=True)), ("chrf", CHRF())):
        score: Any = metric.corpus_score(list(hypotheses), streams)
        scores[name] = float(score.score)
        signatures[name] = str(metric.get_signature())
        if name == "bleu":
            scores["length_ratio"] = float(score.ratio)
    return {**scores, "signatures": signatures}


def _several(hypotheses: Sequence[str], references: References) -> list[Sequence[str]]:
    """Return the references of each hypothesis as a list."""
    several = [[other] if isinstance(other, str) else other for other in references]
    if len(hypotheses) != len(several) or not hypotheses or not all(several):
        raise ArgumentError(
            f"references: expected one for each of {len(hypotheses)} hypotheses, found {sum(map(bool, several))}"
        )
    return several
