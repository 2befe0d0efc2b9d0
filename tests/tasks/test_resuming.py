"""A run that is resumed: what it is told when the data named differ, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.strangers import without_digests

from unrolled.decoding import SamplingOptions
from unrolled.errors import DataError, ModelError
from unrolled.tasks import Model, load
from unrolled.training import QuietReporter

from .conftest import learn


class Listening(QuietReporter):
    """Keeps what the user is warned of."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_other_data_than_a_run_was_begun_with_are_noticed(corpus: Path, tmp_path: Path) -> None:
    learn(corpus / "train.txt", tmp_path / "m", steps=2)
    same, other = Listening(), Listening()
    learn(corpus / "train.txt", tmp_path / "m", steps=3, resume=True, reporter=same)
    learn(corpus / "dev.txt", tmp_path / "m", steps=4, resume=True, reporter=other)
    assert same.notices == []
    assert len(other.notices) == 1
    assert "continues with the data of the first run" in other.notices[0]


def test_a_damaged_corpus_is_not_trained_on(corpus: Path, tmp_path: Path) -> None:
    learn(corpus / "train.txt", tmp_path / "m", steps=2)
    path = tmp_path / "m" / "data" / "train.tokens"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.tokens: damaged: .*--overwrite"):
        learn(corpus / "train.txt", tmp_path / "m", steps=3, resume=True)


@pytest.mark.parametrize("fitted", [{"threshold": "high"}, {"threshold": 0.5}, {"max_words": "x"}, {"max_words": 0}])
def test_fitted_values_of_a_stranger_are_checked(corpus: Path, tmp_path: Path, fitted: dict[str, object]) -> None:
    learn(corpus / "train.txt", tmp_path / "m", steps=2)
    path = without_digests(tmp_path / "m") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fitted": fitted}))
    with pytest.raises(ModelError, match=f"corrupt, {next(iter(fitted))}"):
        load(tmp_path / "m")


def test_penalties_on_repetition_look_at_the_prompt(corpus: Path, tmp_path: Path) -> None:
    model: Model = learn(corpus / "train.txt", tmp_path / "m", steps=2)
    # so strong a penalty that no character of the prompt can come again
    options = SamplingOptions(temperature=0.5, presence_penalty=1000.0)
    session = model.stream().push("Please see")
    written = "".join(session.generate(8, options=options))
    assert written
    assert not set(written) & set("Please see")
    session.save(tmp_path / "state")
    assert "".join(model.stream().load(tmp_path / "state").generate(8, options=options)) == written
