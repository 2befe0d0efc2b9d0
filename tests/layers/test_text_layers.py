"""Words, their parts and published vectors, added up by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs.texts import TextBatch, TextInputs, WordVotes


def batch(words: list[list[int]], parts: list[list[list[int]]], vectors: list[list[int]] | None = None) -> TextBatch:
    flat = [n for row in parts for one in row for n in one]
    counts = [len(one) for row in parts for one in row]
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows = vectors or [[0] * len(row) for row in words]
    pairs = [[(7 * n + t) % 9 for n in row] for t, row in enumerate(words)]
    tables = [torch.tensor(table) for table in (words, rows, pairs)]
    return TextBatch(tables[0], torch.tensor(flat), torch.from_numpy(begins), tables[1], tables[2])


def test_the_parts_are_added_up() -> None:
    table = np.array([[0, 0], [1, 2]], dtype=np.float32)
    layer = TextInputs(5, 3, buckets=7, vectors=table).eval()
    x = layer(batch([[1, 2], [4, 0]], [[[3, 6], [0]], [[1, 1, 1], []]], [[1, 0], [0, 1]]))
    words, parts = layer.words.weight, layer.parts.weight  # type: ignore[union-attr]
    fixed = layer.linear(torch.tensor([1.0, 2.0]))  # type: ignore[misc]
    assert torch.allclose(x[0, 0], words[1] + (parts[3] + parts[6]) / 2 + fixed)
    assert torch.allclose(x[0, 1], words[2] + parts[0])
    assert torch.allclose(x[1, 0], words[4] + parts[1])
    assert torch.allclose(x[1, 1], words[0] + fixed)
    assert "vectors" not in layer.state_dict()


def test_one_step_is_a_row_of_the_whole() -> None:
    layer = TextInputs(5, 3, buckets=7).eval()
    x = layer(batch([[1, 2]], [[[3, 6], [0]]]))
    one = batch([[1, 2]], [[[3, 6], [0]]])
    assert torch.equal(layer(one._replace(words=one.words[0], vectors=one.vectors[0])), x[0])


def test_words_are_left_out_whole() -> None:
    torch.manual_seed(0)
    layer = TextInputs(5, 4, word_dropout=0.4).train()
    with torch.no_grad():
        layer.words.weight.fill_(1.0)
    x = layer(TextBatch(torch.zeros(50, 20, dtype=torch.int64), torch.empty(0, dtype=torch.int64),
                        torch.zeros(1000, dtype=torch.int64), *torch.zeros(2, 50, 20, dtype=torch.int64)))  # fmt: skip
    assert set(x.sum(-1).unique().tolist()) == {0.0, 4.0}
    assert (x == 0).float().mean().item() == pytest.approx(0.4, abs=0.05)
    assert layer.eval()(batch([[1]], [[[]]])).tolist() == [[[1.0] * 4]]


def test_what_does_not_fit() -> None:
    layer = TextInputs(5, 3, buckets=7)
    wrong = batch([[1, 2]], [[[3]]])
    with pytest.raises(ShapeError, match=r"begins: expected shape \(2,\), one per word, found \(1,\)"):
        layer(wrong)
    with pytest.raises(ArgumentError, match="word_dropout: expected a probability"):
        TextInputs(5, 3, word_dropout=1.0)


def test_every_word_votes() -> None:
    torch.manual_seed(0)
    layer = WordVotes(5, 2, buckets=7, pairs=9).eval()
    assert layer(batch([[1]], [[[3]]]), torch.tensor([1])).tolist() == [[0.0, 0.0]]
    with torch.no_grad():
        for parameter in (layer.words, layer.parts, layer.pairs):
            parameter.normal_()  # type: ignore[union-attr]
        for idf in (layer.idf_words, layer.idf_pairs, layer.idf_parts):
            idf.uniform_(1, 3)
    given = batch([[1, 2], [4, 0], [3, 3]], [[[3, 6], [0]], [[1, 1], []], [[2], [5]]])
    lengths = torch.tensor([2, 3])
    features = [(layer.words, layer.idf_words, 1), (layer.pairs, layer.idf_pairs, 7), (layer.parts, layer.idf_parts, 3),
                (layer.parts, layer.idf_parts, 6), (layer.words, layer.idf_words, 4),
                (layer.pairs, layer.idf_pairs, (7 * 4 + 1) % 9), *[(layer.parts, layer.idf_parts, 1)] * 2]  # fmt: skip
    total = sum(idf[n] * weight[n] for weight, idf, n in features)  # type: ignore[index]
    expected = 3.0 * total / sum(idf[n] ** 2 for _, idf, n in features) ** 0.5
    found = layer(given, lengths)
    assert torch.allclose(found[0], expected, atol=1e-5)
    assert torch.allclose(layer.running(given)[1, 0], expected, atol=1e-5)
    state = layer.start(2)
    for t in range(3):
        begins = given.begins[2 * t : 2 * t + 2]
        one = TextBatch(given.words[t], given.parts[begins[0] : [3, 5, 7][t]], begins - begins[0],
                        given.vectors[t], given.pairs[t])  # fmt: skip
        logits, state = layer.step(one, state)
        assert torch.allclose(logits, layer.running(given)[t], atol=1e-5)
    assert layer(given, torch.tensor([0, 3]))[0].tolist() == [0.0, 0.0]
