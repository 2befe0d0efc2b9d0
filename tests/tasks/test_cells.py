"""Every recurrence, chosen by `--cell`, in uses of different shapes: trained, saved, loaded, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from unrolled.errors import UnrolledError
from unrolled.layers import STACKS
from unrolled.tasks import load, train
from unrolled.tasks.core.recurrent import Cell

from .conftest import learn

CELLS = get_args(Cell)


def test_every_recurrent_layer_can_be_chosen() -> None:
    assert set(CELLS) == set(STACKS)


@pytest.mark.parametrize("cell", CELLS)
def test_a_writer_of_every_cell_streams_what_it_reads_whole(cell: str, tmp_path: Path, corpus: Path) -> None:
    learn(corpus / "train.txt", tmp_path / "m", options={"cell": cell, "num_layers": 2, "dropout": 0.1, "ngram": 0})
    model = load(tmp_path / "m")
    text = (corpus / "dev.txt").read_text()[:40]
    pieces, whole = model.stream(), model.stream().push(text)
    for piece in (text[:1], text[1:17], text[17:]):
        pieces.push(piece)
    torch.testing.assert_close(pieces.logits, whole.logits, rtol=1e-4, atol=1e-5)
    assert cell in (tmp_path / "m" / "config.json").read_text()


@pytest.mark.parametrize("cell", ["mingru", "lru", "slstm", "mogrifier"])
def test_taggers_and_classifiers_of_other_cells(cell: str, tmp_path: Path) -> None:
    rows = [f"{word} film {n}\t{label}" for n in range(12) for word, label in (("good", "pos"), ("bad", "neg"))]
    (tmp_path / "a.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    model = train("classify", tmp_path / "a.tsv", tmp_path / "m", options={"cell": cell}, steps=2)
    (prediction,) = load(tmp_path / "m").predictions(["good film"])
    assert prediction.as_json() == next(iter(model.predictions(["good film"]))).as_json()


def test_an_option_that_a_cell_lacks_is_named(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UnrolledError, match="layer_norm"):
        learn(corpus / "train.txt", tmp_path / "m", options={"cell": "mingru", "layer_norm": True})
