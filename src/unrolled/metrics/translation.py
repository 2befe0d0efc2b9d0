"""What translations are worth: BLEU and chrF, with sacrebleu's signatures, which say how they were computed.

`translation_scores` lets sacrebleu compute them. `corpus_bleu` is the same BLEU (13a tokens, exponential smoothing)
without that library: training chooses its best weights by it, and must not depend on what is installed.

Source: Papineni et al. 2002 (BLEU), doi:10.3115/1073083.1073135; Popović 2015 (chrF), doi:10.18653/v1/W15-3049; Post
2018 (signatures), arXiv 1804.08771.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from unrolled.errors import ArgumentError, MissingDependencyError

# NIST's mteval-v13a: symbols apart, points and commas apart unless between digits, a dash apart after a digit
_SYMBOLS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_BEFORE_POINT = re.compile(r"([^0-9])([.,])")
_AFTER_POINT = re.compile(r"([.,])([^0-9])")
_DASH = re.compile(r"([0-9])(-)")
_ESCAPED = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))

ORDER = 4


def tokens_13a(text: str) -> list[str]:
    """Words and symbols as NIST's script mteval-v13a cuts them, on which BLEU is usually reported.

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


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool = False) -> float:
    """BLEU of a corpus, 0 to 100, one reference each.

    Raises:
        ArgumentError: not as many references as hypotheses, or none.
    """
    _check(hypotheses, references)
    matches, totals, length, wanted = [0] * ORDER, [0] * ORDER, 0, 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        if lowercase:
            hypothesis, reference = hypothesis.lower(), reference.lower()
        own, other = tokens_13a(hypothesis), tokens_13a(reference)
        length, wanted = length + len(own), wanted + len(other)
        for n in range(1, ORDER + 1):
            grams = Counter(tuple(own[k : k + n]) for k in range(len(own) - n + 1))
            matches[n - 1] += (grams & Counter(tuple(other[k : k + n]) for k in range(len(other) - n + 1))).total()
            totals[n - 1] += max(0, len(own) - n + 1)
    if not matches[0] or not totals[ORDER - 1]:
        return 0.0
    logs, halved = 0.0, 1.0
    for matched, total in zip(matches, totals, strict=True):
        if not matched:
            # an order without a match counts as half a match, a quarter at the next, and so on
            halved *= 2
        logs += math.log(matched / total if matched else 1 / (halved * total))
    brevity = min(0.0, 1 - wanted / length)
    return 100 * math.exp(brevity + logs / ORDER)


def translation_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """BLEU, BLEU without regard to case, and chrF of a corpus, each 0 to 100, by sacrebleu.

    Args:
        hypotheses, references: text as written, not tokenised; sacrebleu cuts both by 13a.

    Returns:
        bleu, bleu_lowercase, chrf, length_ratio (words of the hypotheses per word of the references), and `signatures`.

    Raises:
        ArgumentError: not as many references as hypotheses, or none.
        MissingDependencyError: without sacrebleu.
    """
    _check(hypotheses, references)
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise MissingDependencyError("sacrebleu", "metrics", "scoring translations") from error
    found: dict[str, Any] = {}
    signatures = {}
    for name, metric in (("bleu", BLEU()), ("bleu_lowercase", BLEU(lowercase=True)), ("chrf", CHRF())):
        score: Any = metric.corpus_score(list(hypotheses), [list(references)])
        found[name] = float(score.score)
        signatures[name] = str(metric.get_signature())
        if name == "bleu":
            found["length_ratio"] = float(score.ratio)
    return {**found, "signatures": signatures}


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references) or not hypotheses:
        raise ArgumentError(
            f"references: expected one for each of {len(hypotheses)} hypotheses, {len(references)} found"
        )
