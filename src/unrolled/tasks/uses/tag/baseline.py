"""The baseline of a tagger: the type that a phrase has most often in the training text, or the label of a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from unrolled.errors import ModelError
from unrolled.types import Json


class PhraseLookup:
    """Phrases that are entities in the training text, as what they are most often: the CoNLL shared tasks' baseline.

    Of phrases that overlap the longest is taken, of types that are equally frequent the first by name, and how often a
    phrase is no entity does not count. On the shared tasks' test data this has the F1 that they published, 59.61 for
    English (Tjong Kim Sang & De Meulder 2003) and 35.86 for Spanish (Tjong Kim Sang 2002).

    Args:
        phrases: words, joined by a space, → type.
    """

    name = "phrases of the training text"

    def __init__(self, phrases: dict[str, str]) -> None:
        self.phrases = phrases
        self._longest = max((phrase.count(" ") + 1 for phrase in phrases), default=0)

    @classmethod
    def fit(cls, sentences: Iterable[tuple[Sequence[str], Iterable[tuple[int, int, str]]]]) -> PhraseLookup:
        """Collect the phrases of sentences, each given as its tokens and its entities."""
        counts: dict[str, Counter[str]] = {}
        for tokens, entities in sentences:
            for start, end, label in entities:
                counts.setdefault(_phrase(tokens[start:end]), Counter())[label] += 1
        return cls({phrase: _most(count) for phrase, count in counts.items()})

    def entities(self, tokens: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return the entities of a sentence: from each token on the longest phrase that is known."""
        entities, at = [], 0
        while at < len(tokens):
            for end in range(min(len(tokens), at + self._longest), at, -1):
                label = self.phrases.get(_phrase(tokens[at:end]))
                if label is not None:
                    entities.append((at, end, label))
                    at = end
                    break
            else:
                at += 1
        return entities

    def as_json(self) -> Json:
        """Return what `lookup_from_json` reads."""
        return {"phrases": self.phrases}


class WordLookup:
    """The most frequent label of each word, and of all words for one that is unknown; of equals the first by name.

    Args:
        words: word → label.
        default: for words that are not among them.
    """

    name = "most frequent label of the word"

    def __init__(self, words: dict[str, str], default: str) -> None:
        self.words, self.default = words, default

    @classmethod
    def fit(cls, sentences: Iterable[tuple[Sequence[str], Sequence[str]]]) -> WordLookup:
        """Count the labels of sentences, each given as its tokens and their labels."""
        counts: dict[str, Counter[str]] = {}
        total: Counter[str] = Counter()
        for tokens, labels in sentences:
            total.update(labels)
            for token, label in zip(tokens, labels, strict=True):
                counts.setdefault(token, Counter())[label] += 1
        return cls({token: _most(count) for token, count in counts.items()}, _most(total))

    def labels(self, tokens: Sequence[str]) -> list[str]:
        """Return a label for each token."""
        return [self.words.get(token, self.default) for token in tokens]

    def as_json(self) -> Json:
        """Return what `lookup_from_json` reads."""
        return {"words": self.words, "default": self.default}


def lookup_from_json(content: Any, where: str) -> PhraseLookup | WordLookup:
    """Return the baseline of a model's folder.

    Raises:
        ModelError: it is none.
    """
    if isinstance(content, dict):
        tables = [content.get(name) for name in ("phrases", "words")]
        if _is_table(tables[0]):
            return PhraseLookup(tables[0])  # type: ignore[arg-type]
        if _is_table(tables[1]) and isinstance(content.get("default"), str):
            return WordLookup(tables[1], content["default"])  # type: ignore[arg-type]
    raise ModelError(f"{where}: corrupt, no baseline of a tagger; restore it from a copy of the model")


def _phrase(tokens: Sequence[str]) -> str:
    # a token of a file separated by tabs may hold a space itself
    return " ".join(token.replace(" ", "\u00a0") for token in tokens)


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda label: (-counts[label], label)) if counts else ""


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
