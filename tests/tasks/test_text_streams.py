"""Many texts in progress at once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from unrolled.errors import ArgumentError
from unrolled.tasks import Model
from unrolled.tasks.outputs.next.streams import Searched, push_together, suggest_together

TEXT = "the quick brown fox jumps over the lazy dog. the slow dog sleeps; the fox's friend runs to the old house. "


@pytest.fixture(scope="module", params=["char", "byte", "bpe"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    import unrolled

    folder = tmp_path_factory.mktemp("texts")
    (folder / "text.txt").write_text(TEXT * 30, "utf-8")
    size = {"vocabulary_size": 300} if request.param == "bpe" else {}
    options = {"tokens": request.param, "hidden_size": 24, "num_layers": 2, **size}
    return unrolled.train("generate", folder / "text.txt", out=folder / "model", steps=30, options=options)


def typed(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [TEXT[: draw.randint(0, len(TEXT))] for _ in range(count)]


def test_together_is_alone_bit_for_bit(model: Model) -> None:
    texts = typed(1, 9)
    alone = [model.stream() for _ in texts]
    beside = [model.stream() for _ in texts]
    pieces = [[text[n : n + 3] for n in range(0, len(text), 3)] for text in texts]
    for turn in range(max(map(len, pieces))):
        now = [(k, p[turn]) for k, p in enumerate(pieces) if turn < len(p)]
        for k, piece in now:
            alone[k].push(piece)
        push_together([beside[k] for k, _ in now], [piece for _, piece in now])
    for one, other in zip(alone, beside, strict=True):
        assert one.state.extra == other.state.extra
        assert one.state.position == other.state.position
        assert one.logits.tolist() == other.logits.tolist()
    together = suggest_together(beside, 2, max_words=3)
    # dataclasses compare exactly: texts, probabilities and tokens
    assert together == [session.suggest(2, max_words=3) for session in alone]
    assert any(together)


def test_order_and_number_do_not_matter(model: Model) -> None:
    sessions = [model.stream().push(text) for text in typed(2, 20)]
    whole = suggest_together(sessions)
    assert suggest_together(sessions[::-1]) == whole[::-1]
    assert [suggest_together([session])[0] for session in sessions] == whole
    assert suggest_together([]) == []


def test_what_can_not_go_together(model: Model, tmp_path: Path) -> None:
    session = model.stream()
    with pytest.raises(ArgumentError, match="expected each once"):
        push_together([session, session], ["a", "b"])
    model.save(tmp_path / "copy")
    import unrolled

    with pytest.raises(ArgumentError, match="several models"):
        suggest_together([session, unrolled.load(tmp_path / "copy").stream()])


def test_what_was_searched_before_changes_nothing(model: Model) -> None:
    sessions = [model.stream() for _ in range(5)]
    last, small = Searched(model), Searched(model, 200_000)
    for turn in range(0, 24, 2):
        push_together(sessions, [TEXT[turn * k : turn * k + 1 + turn % 3] for k in range(5)])
        plain = suggest_together(sessions, 2)
        assert suggest_together(sessions, 2, last=last) == plain
        assert suggest_together(sessions, 2, last=last) == plain
        assert suggest_together(sessions[:1], 2, last=small) == plain[:1]
        # a copy, and what it does, is no matter to the one that it is of
        twin = sessions[0].fork().push("the s")
        assert suggest_together([twin], 2, last=last) == [twin.suggest(2)]
    memory = last._memory
    assert memory is not None
    before = memory.has_read
    suggest_together(sessions, 2, last=last)
    assert memory.has_read == before
