"""Messages of a translated program, to learn from what language a text is in."""

from __future__ import annotations

import gettext
from pathlib import Path

from unrolled.errors import MissingDependencyError
from unrolled.tasks.core.contract.demonstration import Demonstration, write_rows
from unrolled.tasks.core.values import Sources

LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hu": "Hungarian",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "sv": "Swedish",
    "tr": "Turkish",
}
#: words of a message, at least: a word alone may be of several languages
LEAST_WORDS = 3
#: marks of messages with places for values, or with markup
_MARKS = set("%{<")


def write_messages(folder: Path) -> Sources:
    """Write the messages of Django in some languages, a row for each.

    Raises:
        MissingDependencyError: Django is not installed.
    """
    try:
        import django
    except ImportError as error:
        raise MissingDependencyError("django", "gallery", "the gallery's classifier") from error
    home = Path(django.__file__).parent
    texts = {("English", text) for text in _messages(home, "de", translated=False)}
    texts |= {(name, text) for code, name in LANGUAGES.items() for text in _messages(home, code)}
    seen = [text for _, text in texts]
    rows = sorted(row for row in texts if seen.count(row[1]) == 1)
    return Sources((write_rows(folder / "messages.tsv", [("label", "text"), *rows]),))


def _messages(home: Path, code: str, translated: bool = True) -> set[str]:
    """Return the messages of a few words of one language, from the compiled catalogues; or what they translate."""
    texts: set[str] = set()
    for path in sorted(home.rglob(f"locale/{code}/LC_MESSAGES/*.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)
        # a message with a plural is kept under a pair
        pairs = {key: value for key, value in vars(catalogue)["_catalog"].items() if isinstance(key, str)}
        texts |= {" ".join(value.split()) if translated else " ".join(key.split()) for key, value in pairs.items()}
    return {text for text in texts if len(text.split()) >= LEAST_WORDS and not _MARKS & set(text)}


DEMONSTRATIONS = (
    Demonstration(
        name="languages",
        origin="public",
        about="messages of the web framework Django in 13 languages, by its translators; the label is the language.",
        write=write_messages,
        share=0.6,
    ),
)
