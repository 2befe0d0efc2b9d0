"""examples.json: a few inputs that are kept with a model, what may be among them, and what a server makes of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.running import unrolled

from unrolled.data import Example
from unrolled.errors import ModelError
from unrolled.serving import Limits
from unrolled.serving.models import ServedModel
from unrolled.tasks import Model
from unrolled.tasks.core.folder.examples import EXAMPLES, chosen_examples, read_examples, write_examples
from unrolled.tasks.inputs.text.encode import TextInput

from . import test_classify
from .conftest import make_text
from .wire_models import KINDS, answers


@dataclass(frozen=True, kw_only=True)
class Marked(Example):
    given: str
    marks: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.marks


@pytest.mark.parametrize("kind", KINDS)
def test_every_use_keeps_inputs_that_its_model_reads(wired: Callable[[str], Model], kind: str) -> None:
    model = wired(kind)
    assert model.folder is not None
    kept = read_examples(model.folder)
    assert 1 <= len(kept) <= 3
    assert len(answers(model, kept)) >= len(kept)


def test_inputs_with_most_labels_come_first_and_the_longest_of_usual_length() -> None:
    source = TextInput.__new__(TextInput)
    short, usual, long = "a b", "a b c d", "a b c d " * 90
    texts = [(short, "x"), (usual, "x"), (usual + " e", "xy"), (long, "xyz"), (short, "x"), (short, "xy")]
    examples = [Marked(path="t", line=n, given=text, marks=tuple(marks)) for n, (text, marks) in enumerate(texts)]
    assert chosen_examples(source, examples) == [usual + " e", short, usual]


def test_generate_keeps_its_own_writing(trained: Callable[[str], Model], corpus: Path) -> None:
    for kind in ("char", "bpe"):
        model = trained(kind)
        assert model.folder is not None
        [text] = read_examples(model.folder)
        assert isinstance(text, str)
        assert len(text) > 40
        # whatever it learned by heart, the whole stands nowhere in what it learned from
        assert text not in (corpus / "train.txt").read_text("utf-8") + (corpus / "dev.txt").read_text("utf-8")
        # and has a suggestion at its end, to be seen at first sight
        assert model.stream().push(text).suggestion() is not None


def test_no_examples_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(test_classify.reviews(24, 1))
    (tmp_path / "t.txt").write_text(make_text(60, 1), "utf-8")
    for task, file in (("classify", "t.tsv"), ("generate", "t.txt")):
        out = tmp_path / task
        given = ["train", task, tmp_path / file, "--out", out, "--steps", 2, "--hidden-size", 8, "-q"]
        assert unrolled(*given, "--no-examples").code == 0
        assert list(out.glob(EXAMPLES)) == []
        # and those of a run before it go
        assert unrolled(*given, "--overwrite").code == 0
        assert read_examples(out)
        assert unrolled(*given, "--overwrite", "--no-examples").code == 0
        assert list(out.glob(EXAMPLES)) == []


def test_a_server_shows_them_or_its_own_where_they_do_not_fit(
    wired: Callable[[str], Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = wired("label")
    assert model.folder is not None
    shown = described(model)
    assert shown == read_examples(model.folder)
    (tmp_path / "config.json").write_text("{}")
    stranger = Model(model.task, model.config, model.parts, model.network, tmp_path, model.cache)
    own = described(stranger)
    assert own != shown
    write_examples(tmp_path, ["<script>", {"features": "no"}])
    with caplog.at_level(logging.WARNING):
        assert described(stranger) == own
    assert "errors in its examples, which are not shown" in caplog.text
    (tmp_path / EXAMPLES).write_text('{"inputs": 3}')
    assert described(stranger) == own
    (tmp_path / EXAMPLES).write_text("{")
    with pytest.raises(ModelError, match=r"examples\.json"):
        read_examples(tmp_path)


def described(model: Model) -> list[object]:
    served = ServedModel("m", model, Limits())
    try:
        inputs: list[object] = served.describe()["example"]["inputs"]
        return json.loads(json.dumps(inputs))
    finally:
        served.close()
