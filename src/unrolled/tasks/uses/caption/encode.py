"""What `caption` fits on its training data: words, those that can be seen in images, and how a network reads images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data.images.captions import UNKNOWN, Vocabulary, caption_words
from unrolled.data.images.format import ImageFormat
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.tasks.core.example_task import read_json, write_json

if TYPE_CHECKING:
    from unrolled.tasks.uses.caption.options import CaptionOptions

FORMAT, WORDS = "images.json", "words.json"
#: words that are in more than this share of the images say little about any of them
TOO_FREQUENT = 0.5


@dataclass(frozen=True)
class CaptionEncoders:
    """What turns images into arrays, and words into numbers and back.

    Attributes:
        vocabulary: the words.
        attributes: the numbers of those that the network learns to see.
        format: of the stored images; None for features.
        mean, std: of each feature, (F,); empty for images.
        positions: vectors of each image's features; 0 for images.
    """

    vocabulary: Vocabulary
    attributes: tuple[int, ...]
    format: ImageFormat | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    positions: int = 0

    def save(self, folder: Path) -> None:
        """Write images.json and words.json."""
        if self.format is not None:
            write_json(folder / FORMAT, {"images": self.format.as_json()})
        else:
            features = {"mean": self.mean, "std": self.std, "positions": self.positions}
            write_json(folder / FORMAT, {"features": features})
        write_json(folder / WORDS, {"words": self.vocabulary.words, "attributes": self.attributes})

    @classmethod
    def load(cls, folder: Path) -> CaptionEncoders:
        """Read what `save` wrote.

        Raises:
            ModelError: naming the file.
        """
        try:
            raw = read_json(folder / WORDS)
            words, attributes = raw["words"], raw["attributes"]
            if not all(isinstance(word, str) for word in words) or not all(isinstance(n, int) for n in attributes):
                raise ArgumentError("expected words and numbers")
            vocabulary = Vocabulary(words)
        except (KeyError, TypeError, ArgumentError) as error:
            raise ModelError(f"{folder / WORDS}: corrupt ({error}); restore it from a copy of the model") from error
        try:
            seen = read_json(folder / FORMAT)
            if "images" in seen:
                return cls(vocabulary, tuple(attributes), ImageFormat.from_json(seen["images"]))
            features = seen["features"]
            mean, std = (tuple(float(x) for x in features[name]) for name in ("mean", "std"))
            if len(mean) != len(std) or not mean:
                raise ArgumentError("mean and std differ in length")
            return cls(vocabulary, tuple(attributes), None, mean, std, int(features["positions"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder / FORMAT}: corrupt ({error}); restore it from a copy of the model") from error


def fit_encoders(train: Sequence[Any], options: CaptionOptions) -> CaptionEncoders:
    """Words, attributes, and size and statistics of the images.

    Args:
        train: images with captions.
        options: the task's.

    Raises:
        DataError: no word is frequent enough, or images are given in several ways.
    """
    captions = [[caption_words(caption) for caption in example.captions] for example in train]
    total = sum(len(words) for several in captions for words in several)
    # a word that is seen a few times only is written wrongly more often than rightly
    least = options.min_count or (1 if total < 20_000 else 3 if total < 100_000 else 5)
    most = None if options.vocabulary_size is None else options.vocabulary_size - 2
    vocabulary = Vocabulary.fit((words for several in captions for words in several), least=least, most=most)
    if not vocabulary.words:
        raise DataError(f"no word occurs {least} times; give --min-count 1", train[0].path, train[0].line)
    attributes = frequent_words(captions, vocabulary, options.attributes)
    kinds = {example.features is None for example in train}
    if len(kinds) > 1:
        raise DataError("some images are given as features and some as images; give all the same way", train[0].path)
    if train[0].features is None:
        channels = {"auto": None, "grey": 1, "colour": 3}[options.colour]
        pictures = [example.picture for example in train]
        found = ImageFormat.fitted(pictures, size=options.image_size, channels=channels, fit=options.fit)
        return CaptionEncoders(vocabulary, attributes, found)
    shapes = {example.features.shape for example in train}
    if len(shapes) > 1:
        raise DataError(f"features of different shapes: {sorted(shapes)[:3]}", train[0].path)
    rows = np.concatenate([example.features for example in train]).astype(np.float64)
    positions = train[0].features.shape[0]
    mean, std = tuple(rows.mean(0).tolist()), tuple(rows.std(0).tolist())
    return CaptionEncoders(vocabulary, attributes, None, mean, std, positions)


def frequent_words(captions: Sequence[Sequence[Sequence[str]]], vocabulary: Vocabulary, most: int) -> tuple[int, ...]:
    """The words that occur with most images, those with too many of them left out: what can be seen or not.

    Args:
        captions: words of each caption of each image.
        vocabulary: numbers them.
        most: how many at most.
    """
    counts: Counter[int] = Counter()
    for several in captions:
        counts.update({int(n) for words in several for n in vocabulary.encode(words)} - {UNKNOWN})
    ranked = sorted(counts, key=lambda n: (-counts[n], n))
    return tuple(n for n in ranked if 5 <= counts[n] <= TOO_FREQUENT * len(captions))[:most]
