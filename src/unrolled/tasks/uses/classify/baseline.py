"""TF-IDF and logistic regression over words and pairs of words: the linear model that a network on texts must beat.

    tf = 1 + ln count,  idf = 1 + ln((1 + N) / (1 + texts with it)),  x = tf · idf / ‖tf · idf‖,  p = softmax(W x + b)

scikit-learn fits it; what is kept are words, idf, W and b, and predictions are made from these alone. N texts, F
features, K classes. Beside it stands the majority: always the most frequent class, its frequencies as probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import MissingDependencyError, ModelError
from unrolled.tasks.core.folder.files import read_arrays, write_arrays

#: words in a feature, at most
ORDER = 2
#: strengths that are tried where there is development data: the larger, the less regularised
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
#: features are kept in one file, one a line; words hold no space or line end
_BETWEEN = " "

#: the score of a class without an example
NEVER = -30.0


class TfidfRegression:
    """The fitted model.

    Args:
        features: words, and pairs of words with a space between.
        idf: (F,).
        weight: (K, F).
        bias: (K,).
    """

    def __init__(
        self,
        features: Sequence[str],
        idf: NDArray[np.float64],
        weight: NDArray[np.float64],
        bias: NDArray[np.float64],
    ) -> None:
        self.features, self.idf, self.weight, self.bias = list(features), idf, weight, bias
        self._number = {feature: n for n, feature in enumerate(self.features)}

    @classmethod
    def fit(
        cls,
        texts: Sequence[Sequence[str]],
        gold: Sequence[int],
        classes: int,
        dev: Sequence[Sequence[str]] = (),
        dev_gold: Sequence[int] = (),
    ) -> TfidfRegression:
        """Fit to texts; the strength of the regularisation that does best on `dev` is taken, 10 without any.

        Args:
            texts: the words of each.
            gold: the class number of each.
            classes: K.
            dev, dev_gold: development data; classes that are not known may be −100.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
        """
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingDependencyError("scikit-learn", "metrics", "the TF-IDF baseline") from error
        vectorizer = TfidfVectorizer(analyzer=features_of, sublinear_tf=True)
        x = vectorizer.fit_transform(texts)
        held = [(words, y) for words, y in zip(dev, dev_gold, strict=True) if y >= 0]
        best, chosen = -1.0, None
        for strength in STRENGTHS if held else (10.0,):
            fitted = LogisticRegression(C=strength, max_iter=1000).fit(x, list(gold))
            model = cls._of(vectorizer, fitted, classes)
            right = model.log_probabilities([words for words, _ in held]).argmax(1) if held else np.zeros(1)
            accuracy = float(np.mean(right == np.array([y for _, y in held]))) if held else 0.0
            if accuracy > best:
                best, chosen = accuracy, model
        if chosen is None:
            raise ModelError("the TF-IDF baseline can't be fitted to these texts")
        return chosen

    @classmethod
    def _of(cls, vectorizer: object, fitted: object, classes: int) -> TfidfRegression:
        weight, bias = fitted.coef_, fitted.intercept_  # type: ignore[attr-defined]
        occurring = fitted.classes_  # type: ignore[attr-defined]
        if len(occurring) == 2:
            # one row is the second class's score against the first's
            weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        if len(occurring) < classes:
            # labels of an older model that this data does not have
            weights, biases = np.zeros((classes, weight.shape[1])), np.full(classes, NEVER)
            weights[occurring], biases[occurring] = weight, bias
            weight, bias = weights, biases
        names = vectorizer.get_feature_names_out().tolist()  # type: ignore[attr-defined]
        return cls(names, vectorizer.idf_, weight, bias)  # type: ignore[attr-defined]

    def log_probabilities(self, texts: Iterable[Sequence[str]]) -> NDArray[np.float64]:
        """ln p of each class, (N, K)."""
        rows = [self._scores(words) for words in texts]
        scores = np.stack(rows) if rows else np.empty((0, len(self.bias)))
        top = scores.max(1, keepdims=True) if len(scores) else scores[:, :1]
        total: NDArray[np.float64] = scores - top - np.log(np.exp(scores - top).sum(1, keepdims=True))
        return total

    def _scores(self, words: Sequence[str]) -> NDArray[np.float64]:
        counts = Counter(n for n in map(self._number.get, features_of(words)) if n is not None)
        if not counts:
            return self.bias
        numbers = np.fromiter(counts.keys(), dtype=np.int64)
        values = (1 + np.log(np.fromiter(counts.values(), dtype=np.float64))) * self.idf[numbers]
        values /= np.linalg.norm(values)
        scores: NDArray[np.float64] = self.weight[:, numbers] @ values + self.bias
        return scores

    def save(self, path: Path) -> None:
        """Write one safetensors file; features as the bytes of their lines.

        Raises:
            StorageError: it can't be written.
        """
        lines = "\n".join(self.features).encode("utf-8", "surrogatepass")
        arrays = {
            "features": np.frombuffer(lines, dtype=np.uint8),
            "idf": self.idf,
            "weight": self.weight,
            "bias": self.bias,
        }
        write_arrays(path, {name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def load(cls, path: Path, classes: int) -> TfidfRegression:
        """Read what `save` wrote.

        Raises:
            ModelError: it is missing or damaged.
        """
        try:
            arrays = read_arrays(path)
            features = arrays["features"].tobytes().decode("utf-8", "surrogatepass").split("\n")
            found = cls(features, arrays["idf"], arrays["weight"], arrays["bias"])
        except (KeyError, ValueError) as error:
            raise ModelError(f"{path}: damaged ({error}); restore it from a copy of the model") from error
        shapes = ((len(features),), (classes, len(features)), (classes,))
        if (found.idf.shape, found.weight.shape, found.bias.shape) != shapes:
            raise ModelError(f"{path}: its arrays don't fit each other; restore it from a copy of the model")
        return found


def features_of(words: Sequence[str]) -> list[str]:
    """Words, and pairs of neighbours.

    >>> features_of(["not", "so", "bad"])
    ['not', 'so', 'bad', 'not so', 'so bad']
    """
    return [
        _BETWEEN.join(words[at : at + order]) for order in range(1, ORDER + 1) for at in range(len(words) - order + 1)
    ]


def majority(counts: Sequence[int]) -> NDArray[np.float64]:
    """ln of the share of each class, (K,): the best that can be said without reading.

    >>> majority([3, 1]).round(3).tolist()
    [-0.288, -1.386]
    """
    # a label of an older model may occur nowhere in the data of the one that goes on from it
    shares = np.maximum(np.asarray(counts, dtype=np.float64), 1e-3)
    result: NDArray[np.float64] = np.log(shares / shares.sum())
    return result
