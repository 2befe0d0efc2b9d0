"""The label of a text: judged beside TF-IDF with logistic regression, and shown word by word."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.data.text.words import split_words
from unrolled.errors import MissingDependencyError, ModelError
from unrolled.layers import CrossEntropy, Session
from unrolled.metrics.classification import classification_metrics
from unrolled.settings import Settings
from unrolled.storage import has_part
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.results import Shown
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import Progress
from unrolled.tasks.inputs.text.encode import TextInput
from unrolled.tasks.outputs.label import scoring
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.outputs.label.results import Classification
from unrolled.tasks.uses.classify.baseline import TfidfRegression, majority
from unrolled.tasks.uses.classify.plan import ClassifyPrediction
from unrolled.tasks.uses.classify.results import TextClassification
from unrolled.tasks.uses.classify.session import ClassifySession
from unrolled.tasks.uses.classify.words import word_by_word
from unrolled.types import Json

log = logging.getLogger("unrolled.tasks")

MAJORITY, TFIDF = "majority.json", "tfidf.safetensors"


class TextLabel(LabelOutput):
    """The label of a text."""

    Result: ClassVar[type[Classification]] = TextClassification
    baseline_files: ClassVar[tuple[str, ...]] = (MAJORITY, TFIDF)
    forget_bias: ClassVar[float | None] = None

    def fit_baseline(
        self,
        source: Any,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Count labels; and fit logistic regression on TF-IDF, where scikit-learn is installed."""
        counts = Counter(text.target for text in train)
        write_json(folder / MAJORITY, [counts[label] for label in self.labels])
        progress("fitting TF-IDF and logistic regression", 0, None)
        words = [[words_for_baseline(source, text.given) for text in part] for part in (train, dev)]
        gold = [[self._gold(text) for text in part] for part in (train, dev)]
        try:
            regression = TfidfRegression.fit(words[0], gold[0], len(self.labels), words[1], gold[1])
        except MissingDependencyError as error:
            log.warning("evaluations will stand beside the most frequent label alone: %s", error)
            return
        regression.save(folder / TFIDF)

    def has_regression(self, model: AnyFitted) -> bool:
        """Return False: its baseline reads words, not features."""
        return False

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return accuracy, macro F1, calibration and confusion, beside TF-IDF's and the majority's."""
        metrics, _, texts = scoring.evaluate(model, examples, progress)
        return metrics, self._beside(model, texts)

    def _beside(self, model: AnyFitted, texts: Sequence[Example]) -> Json:
        """Return the baselines' metrics on the same texts: the best there is, and the majority's accuracy."""
        folder = model.folder
        if folder is None or not has_part(folder / MAJORITY):
            return {}
        counts = read_json(folder / MAJORITY)
        is_whole = isinstance(counts, list) and all(isinstance(n, int) and n >= 0 for n in counts) and any(counts)
        if not is_whole or len(counts) != len(self.labels):
            path = folder / MAJORITY
            raise ModelError(f"{path}: corrupt, expected a count for each label; restore it from a copy of the model")
        gold = [self._gold(text) for text in texts]
        simplest = classification_metrics(np.tile(majority(counts), (len(texts), 1)), gold, self.labels)
        if not has_part(folder / TFIDF):
            return {"model": "the most frequent label", **simplest}
        regression = TfidfRegression.load(folder / TFIDF, len(self.labels))
        log_probs = regression.log_probabilities(words_for_baseline(model.input, text.given) for text in texts)
        return {
            "model": "TF-IDF and logistic regression",
            **classification_metrics(log_probs, gold, self.labels),
            "majority_accuracy": simplest["accuracy"],
            "majority_macro_f1": simplest["macro_f1"],
        }

    def _gold(self, text: Example) -> int:
        number = self.number_of(text.target)
        return CrossEntropy().ignored if number is None else number

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[Classification]:
        """Yield the label of each text, and what the model thinks after each word if that was asked for."""
        chosen = ClassifyPrediction.of(options)
        for prediction in super().predict(model, inputs, shown, options):
            if chosen.words:
                words = word_by_word(model, getattr(prediction, "text", ""), chosen.most_words)
                prediction = prediction.model_copy(update={"words": words})
            yield prediction

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return a session that says what it thinks after each word."""
        return ClassifySession(model, steps)


def words_for_baseline(source: TextInput, text: str) -> list[str]:
    """Return all words of a text, in the form that the network's vocabulary has."""
    return [source.form(word.text) for word in split_words(text)]
