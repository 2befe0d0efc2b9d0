"""Dates, amounts and names of languages in German and English, to learn to translate from."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from unrolled.errors import MissingDependencyError
from unrolled.tasks.core.contract.demonstration import Demonstration, write_rows
from unrolled.tasks.core.values import Sources

PAIRS = 12_000
FIRST_DAY, DAYS = date(1990, 1, 1), 20_000
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "PLN", "CZK", "INR")
LANGUAGES = ("ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hi", "hu", "it", "ja", "ko", "nl", "pl", "pt",
             "ru", "sv", "tr", "uk", "zh")  # fmt: skip
#: the sentences around what is written differently in each language: a date, an amount, a span, a language
PATTERNS = {
    "date": (
        ("Heute ist {}.", "Today is {}."),
        ("Das Museum ist am {} geschlossen.", "The museum is closed on {}."),
        ("Wir treffen uns am {}.", "We will meet on {}."),
    ),
    "amount": (
        ("Das kostet {}.", "That costs {}."),
        ("Sie hat {} gespart.", "She has saved {}."),
    ),
    "span": (
        ("Der Zug fährt {}.", "The train leaves {}."),
        ("Wir sehen uns {}.", "We will see each other {}."),
    ),
    "language": (
        ("Er lernt {}.", "He is learning {}."),
        ("Meine Nachbarin spricht {}.", "My neighbour speaks {}."),
    ),
}


def write_pairs(folder: Path) -> Sources:
    """Write pairs of sentences.

    Raises:
        MissingDependencyError: Babel is not installed.
    """
    try:
        from babel import Locale, dates, numbers
    except ImportError as error:
        raise MissingDependencyError("babel", "gallery", "the gallery's translator") from error
    draw = random.Random(0)
    german, english = Locale("de"), Locale("en")

    def drawn(kind: str) -> Callable[[Locale], str]:
        """Draw something, and return what names it in any language."""
        if kind == "date":
            day, form = FIRST_DAY + timedelta(draw.randrange(DAYS)), draw.choice(("full", "long"))
            return lambda locale: str(dates.format_date(day, form, locale=locale))
        if kind == "amount":
            value, currency = draw.randrange(2, 4000) / draw.choice((1, 4)), draw.choice(CURRENCIES)
            return lambda locale: str(numbers.format_currency(value, currency, locale=locale, format_type="name"))
        if kind == "span":
            span = timedelta(minutes=draw.choice((1, 60, 24 * 60)) * draw.randrange(2, 60))
            return lambda locale: str(dates.format_timedelta(span, add_direction=True, locale=locale))
        spoken = draw.choice(LANGUAGES)
        return lambda locale: str(locale.languages[spoken])

    rows = set()
    for _ in range(PAIRS):
        kind = draw.choice(tuple(PATTERNS))
        (source, target), name = draw.choice(PATTERNS[kind]), drawn(kind)
        rows.add((source.format(name(german)), target.format(name(english))))
    return Sources((write_rows(folder / "pairs.tsv", [("de", "en"), *sorted(rows)]),))


DEMONSTRATIONS = (
    Demonstration(
        name="german-english",
        origin="made",
        about="sentences with dates, amounts, spans of time and languages, as the Unicode CLDR (in Babel) names them.",
        write=write_pairs,
        share=1.5,
        options={"source": "de", "target": "en"},
    ),
)
