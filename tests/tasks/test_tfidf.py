"""The TF-IDF baseline: predictions from what is kept are scikit-learn's own."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import MissingDependencyError, ModelError
from unrolled.tasks.uses.classify.baseline import TfidfRegression, features_of, majority

pytest.importorskip("sklearn")


def texts(count: int, classes: int, seed: int) -> tuple[list[list[str]], list[int]]:
    draw = random.Random(seed)
    gold = [draw.randrange(classes) for _ in range(count)]
    words = [[draw.choice("abcdefghij") + str(y * draw.randrange(2)) for _ in range(draw.randint(1, 12))] for y in gold]
    return words, gold


@pytest.mark.parametrize("classes", [2, 4])
def test_as_scikit_learn_predicts(classes: int, tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train, gold = texts(120, classes, 0)
    test, _ = texts(40, classes, 1)
    test += [["never", "seen"], []]
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), sublinear_tf=True)
    x = vectorizer.fit_transform([" ".join(words) for words in train])
    fitted = LogisticRegression(C=10.0, max_iter=1000).fit(x, gold)
    expected = fitted.predict_proba(vectorizer.transform([" ".join(words) for words in test]))
    mine = TfidfRegression.fit(train, gold, classes)
    assert np.exp(mine.log_probabilities(test)) == pytest.approx(expected, abs=1e-9)
    mine.save(tmp_path / "t")
    again = TfidfRegression.load(tmp_path / "t", classes)
    assert np.array_equal(again.log_probabilities(test), mine.log_probabilities(test))
    assert mine.log_probabilities([]).shape == (0, classes)
    with pytest.raises(ModelError, match="its arrays don't fit each other"):
        TfidfRegression.load(tmp_path / "t", classes + 1)
    (tmp_path / "t").write_bytes(b"{}")
    with pytest.raises(ModelError, match="corrupt or cut short"):
        TfidfRegression.load(tmp_path / "t", classes)


def test_the_strength_is_chosen_by_development_data() -> None:
    train, gold = texts(60, 3, 0)
    dev, dev_gold = texts(60, 3, 1)
    best = TfidfRegression.fit(train, gold, 3, [*dev, ["x"]], [*dev_gold, -100])
    accuracy = (best.log_probabilities(dev).argmax(1) == np.array(dev_gold)).mean()
    plain = TfidfRegression.fit(train, gold, 3)
    assert accuracy >= (plain.log_probabilities(dev).argmax(1) == np.array(dev_gold)).mean()


def test_features_and_majority() -> None:
    assert features_of([]) == []
    assert features_of(["a"]) == ["a"]
    assert features_of(["a", "b", "a"]) == ["a", "b", "a", "a b", "b a"]
    assert np.exp(majority([3, 1])).tolist() == [0.75, 0.25]


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingDependencyError, match=r"the TF-IDF baseline needs scikit-learn.*unrolled\[metrics\]"):
        TfidfRegression.fit([["a"], ["b"]], [0, 1], 2)
