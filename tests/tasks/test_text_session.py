"""A text in progress: pieces equal the whole, forks are independent, states are kept, and any prompt is taken."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unrolled.decoding import SamplingOptions, Suggestion, complete_batch
from unrolled.errors import ArgumentError, StateError, StorageError
from unrolled.tasks import Model
from unrolled.tasks.outputs.next.session import TextSession, phrase_tools, side_by_side

KINDS = ["char", "byte", "bpe"]
TEXT = "Thank you for your help. I will see you at the café in the morn"
Trained = Callable[[str], Model]


def tensors(session: TextSession) -> list[Tensor]:
    h, c = session._state
    return [h, c, session.logits]


def shown(suggestions: list[Suggestion]) -> list[tuple[str, float]]:
    return [(s.text, round(s.log_prob, 4)) for s in suggestions]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_equal_the_whole(trained: Trained, kind: str) -> None:
    model, draw = trained(kind), random.Random(3)
    whole = model.stream().push(TEXT)
    for pieces in (1, 2, 5, len(TEXT)):
        cuts = sorted(draw.sample(range(1, len(TEXT)), pieces - 1))
        session = model.stream()
        for first, last in zip([0, *cuts], [*cuts, len(TEXT)], strict=True):
            session.push(TEXT[first:last])
        assert session._pending == whole._pending
        for ours, theirs in zip(tensors(session), tensors(whole), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        assert shown(session.suggest()) == shown(whole.suggest())


def test_pushing_nothing_changes_nothing(trained: Trained) -> None:
    session = trained("char").stream()
    before = tensors(session)
    session.push("")
    assert all(a is b for a, b in zip(tensors(session)[:2], before[:2], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_forks_are_independent(trained: Trained, kind: str) -> None:
    session = trained(kind).stream().push("Thank you for ")
    expected = shown(session.suggest())
    fork = session.fork()
    fork.push("your help. The meeting is on ")
    assert shown(session.suggest()) == expected
    assert shown(fork.suggest()) != expected
    list(fork.generate(30))
    session.push("your help. The meeting is on ")
    assert shown(session.suggest()) == shown(fork.suggest())


def test_reset_begins_again(trained: Trained) -> None:
    model = trained("bpe")
    session = model.stream().push("Where is the ca")
    assert shown(session.reset().suggest()) == shown(model.stream().suggest())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_goes_on_where_it_was(trained: Trained, kind: str, tmp_path: Path) -> None:
    model = trained(kind)
    session = model.stream().push("Thank you for your he")
    session.save(tmp_path / "state")
    loaded = model.stream().load(tmp_path / "state")
    assert loaded.state.position == session.state.position
    assert shown(loaded.suggest()) == shown(session.suggest())
    options = SamplingOptions()
    assert "".join(loaded.generate(40, options=options)) == "".join(session.generate(40, options=options))


def test_states_of_other_models_and_torn_ones_are_refused(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "state"
    trained("char").stream().push("Thank").save(path)
    with pytest.raises(StateError, match="another model"):
        trained("byte").stream().load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StateError, match="torn"):
        trained("char").stream().load(path)
    with pytest.raises(StorageError, match="no such file"):
        trained("char").stream().load(tmp_path / "missing")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        "\n",
        "\n\n",
        "Hello.",
        "Hello. ",
        "Hello.\n",
        "What?!",
        "we don'",
        "we do",
        "   ",
        "\t",
        "x" * 500,
        "日本語のみ",
        "\ud800",
    ],
)
def test_any_prompt_is_taken(trained: Trained, kind: str, prompt: str) -> None:
    session = trained(kind).stream().push(prompt)
    for suggestion in session.suggest():
        assert suggestion.text
        assert suggestion.log_prob <= 1e-6
        assert "�" not in suggestion.text
    assert "�" not in "".join(session.generate(10, options=SamplingOptions(temperature=0.5))) or kind != "char"


def test_characters_never_seen_are_the_unknown_one(trained: Trained) -> None:
    model = trained("char")
    some, others = model.stream().push("日本語"), model.stream().push("漢字仮")
    assert shown(some.suggest()) == shown(others.suggest())
    texts = ["".join(some.generate(300, options=SamplingOptions(temperature=2.0), seed=seed)) for seed in range(3)]
    # a text may end before that
    text = "".join(texts)
    assert len(text) > 100
    assert set(text) <= set(model.input.tokenizer.characters)


def test_a_prompt_of_a_megabyte(trained: Trained) -> None:
    model = trained("bpe")
    end = "Please let me know if you have any quest"
    prompt = "I will see you tomorrow in the morning. " * 26_000 + end
    assert len(prompt) > 1_000_000
    session = model.stream().push(prompt)
    assert session.suggest()[0].text.startswith("ions")


def test_completion_ends_the_word(trained: Trained) -> None:
    for kind in KINDS:
        session = trained(kind).stream().push("Please let me know if you have any quest")
        best = session.suggest()[0]
        assert best.text in ("ions", "ions.")
        chosen = session.suggestion()
        assert chosen is not None
        assert chosen.text.startswith("ions")


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_suggestions_do_not_depend_on_the_batch(trained: Trained, kind: str) -> None:
    model = trained(kind)
    texts = ["Thank you for ", "Where is the ca", "I w"]
    sessions = [model.stream().push(text) for text in texts]
    rule, _ = phrase_tools(model, 3)
    stepper, state = side_by_side(sessions, len(sessions))
    logits = torch.cat([s.logits for s in sessions])
    together = complete_batch(stepper, state, logits, rule=rule, max_tokens=20, min_log_prob=-12.0)
    for session, found in zip(sessions, together, strict=True):
        alone = session.suggest(max_words=3, max_tokens=20, min_log_prob=-12.0)
        assert [s.text for s in alone] == [s.text for s in found]
        assert [s.log_prob for s in alone] == pytest.approx([s.log_prob for s in found], abs=1e-4)


def test_threshold_decides_what_is_shown(trained: Trained) -> None:
    session = trained("char").stream().push("Thank you f")
    assert session.suggestion(threshold=0.0) is None
    lenient = session.suggestion(threshold=-100.0)
    assert lenient is not None
    assert lenient.words == max(s.words for s in session.suggest())
    assert session.suggestion() == session.suggestion(threshold=trained("char").fitted["threshold"])


def test_without_a_fitted_threshold_one_must_be_named(trained: Trained) -> None:
    model = trained("char")
    model.fitted["threshold"] = None
    with pytest.raises(ArgumentError, match="threshold: none was fitted"):
        model.stream().push("Thank").suggestion()


def test_temperature_zero_is_greedy_whatever_the_seed(trained: Trained) -> None:
    model = trained("char")
    options = SamplingOptions(temperature=0.0)
    session = model.stream().push("The meet")
    text = "".join(session.generate(25, options=options, seed=1))
    assert text == "".join(session.generate(25, options=options, seed=2))
    greedy = model.stream().push("The meet")
    for character in text:
        likeliest = greedy.logits.clone()
        likeliest[:, model.input.tokenizer.unknown_id] = -torch.inf
        assert model.input.tokenizer.token_text(int(likeliest.argmax())) == character
        greedy.push(character)


def test_text_k_is_the_same_however_many_are_written(trained: Trained) -> None:
    session = trained("char").stream().push("I will ")
    hot = SamplingOptions(temperature=1.5)
    three = ["".join(text) for text in session.generate_many(3, 30, options=hot, seed=5)]
    assert len(set(three)) == 3
    assert "".join(session.generate_many(1, 30, options=hot, seed=5)[0]) == three[0]
    assert ["".join(session.generate(30, options=hot, seed=5 + k)) for k in range(3)] == three
    # read in turns, they are the same
    streams = session.generate_many(3, 30, options=hot, seed=5)
    turns = [list(islice(stream, 2)) for stream in streams]
    assert ["".join(start) + "".join(rest) for start, rest in zip(turns, streams, strict=True)] == three


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [("you",), (" in the",), ("\n", "."), ("zzz",), ("café", "help")])
def test_stop_strings_end_the_text_before_themselves(trained: Trained, kind: str, stop: tuple[str, ...]) -> None:
    session = trained(kind).stream().push("Thank ")
    free = "".join(session.generate(80, seed=4))
    places = [free.find(s) for s in stop if s in free]
    assert "".join(session.generate(80, seed=4, stop=stop)) == (free[: min(places)] if places else free)


@pytest.mark.parametrize(
    "options, names",
    [
        ({"n": 0}, "n_best"),
        ({"max_words": 0}, "max_words"),
        ({"beam_size": 0}, "beam_size"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"min_log_prob": 1.0}, "min_log_prob"),
    ],
)
def test_suggest_refuses_options_out_of_range(trained: Trained, options: dict[str, float], names: str) -> None:
    with pytest.raises(ArgumentError, match=names):
        trained("char").stream().push("Thank").suggest(**options)  # type: ignore[arg-type]


def test_generate_refuses_options_out_of_range(trained: Trained) -> None:
    session = trained("char").stream()
    with pytest.raises(ArgumentError, match="max_tokens"):
        session.generate(-1)
    with pytest.raises(ArgumentError, match="n: expected at least 1"):
        session.generate_many(0)
    with pytest.raises(ArgumentError, match="stop: an empty string"):
        session.generate(5, stop=("",))
    with pytest.raises(ArgumentError, match="seed"):
        session.generate(5, seed=-1)
    with pytest.raises(ArgumentError, match="temperature"):
        session.generate(5, options=SamplingOptions(temperature=-1.0))
    assert list(session.generate(0)) == []
