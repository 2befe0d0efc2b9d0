"""Streams over HTTP: what is pushed in pieces is what the session says, and a text may be edited as it is typed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from unrolled.errors import ArgumentError, ShapeError, StateError
from unrolled.layers import StreamState
from unrolled.tasks import Model
from unrolled.tasks.core.api import Bounds, TooLarge, api_of
from unrolled.tasks.inputs.sound.api import Heard
from unrolled.tasks.inputs.text.editing import Rewritable

from . import forecast_data, speech_data
from .test_wires import TIGHT
from .wire_models import BOUNDS, b64, features, image

Wired = Callable[[str], Model]

WORDS = ["Anna", "lives", "in", "New", "York", "great", "boring", ".", "\n", " ", "so-so", "é", "don't"]


class Stream:
    """One stream of a model, spoken to as the server does."""

    def __init__(self, model: Model, inner: Any = None) -> None:
        self.model, self.wire = model, api_of(model.task)
        self.inner = self.wire.open(model) if inner is None else inner

    def push(self, **given: Any) -> dict[str, Any]:
        push = self.wire.Push.model_validate(given)  # type: ignore[union-attr]
        self.wire.check(push, BOUNDS)
        return self.answer(push)

    def answer(self, push: Any) -> dict[str, Any]:
        [found] = self.wire.push(self.model, [(self.inner, push)])
        if isinstance(found, Exception):
            raise found
        assert self.wire.Pushed is not None
        self.wire.Pushed.model_validate_json(json.dumps(found, allow_nan=False), strict=True, extra="forbid")
        return dict(found)

    def again(self) -> Stream:
        """Another stream, from the saved state of this one."""
        data = self.inner.state.to_bytes()
        saved = StreamState.from_bytes(data, self.model.fingerprint)
        return Stream(self.model, self.wire.open(self.model).resume(saved))


def typed(draw: random.Random, count: int) -> str:
    return "".join(draw.choice(WORDS) + draw.choice([" ", "", " "]) for _ in range(count))


def edited(text: str, draw: random.Random) -> str:
    """Something typed at the end, taken away, put into the middle, or all begun anew."""
    at = draw.randint(0, len(text))
    return draw.choice(
        [
            text + typed(draw, 1),
            text + draw.choice("abc .\n"),
            text[: max(0, len(text) - draw.randint(1, 4))],
            text[:at] + typed(draw, 1) + text[at:],
            text[:at] + text[at + draw.randint(1, 9) :],
            "",
        ]
    )


PARTS = {"classify-causal": "words", "tag-causal": "tokens"}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("seed", range(4))
def test_a_rewritten_text_is_read_as_the_whole(wired: Wired, kind: str, seed: int) -> None:
    draw, part = random.Random(seed), PARTS[kind]
    stream, text = Stream(wired(kind)), ""
    known: list[dict[str, Any]] = []
    for number in range(40):
        text = edited(text, draw)
        found = stream.push(rewrite=text)
        assert found["length"] == len(text)
        # what the client keeps is what comes before `since`
        known = [one for one in known if one["start"] < found["since"]] + found[part]
        if number % 13 == 12:
            stream = stream.again()
        if number % 7 == 0:
            whole = Stream(wired(kind)).push(text=text)
            assert known == whole[part]
            assert found.get("prediction") == whole.get("prediction")


def test_words_and_tokens_are_those_of_predict(wired: Wired) -> None:
    text = "Anna lives in New York . A great film"
    found = Stream(wired("classify-causal")).push(text=text)
    said = wired("classify-causal").predict(text, words=True).as_json()
    assert [w["word"] for w in found["words"]] == [w["word"] for w in said["words"]]
    for own, other in zip(found["words"], said["words"], strict=True):
        assert own["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    assert found["prediction"]["probabilities"] == pytest.approx(said["probabilities"], abs=1e-5)
    found = Stream(wired("tag-causal")).push(text=text)
    said = wired("tag-causal").predict(text).as_json()
    assert [t["label"] for t in found["tokens"]] == [t["label"] for t in said["tokens"]]


@pytest.mark.parametrize("kind", PARTS)
def test_the_last_word_may_still_change(wired: Wired, kind: str) -> None:
    stream, part = Stream(wired(kind)), PARTS[kind]
    key = "word" if part == "words" else "text"
    first, second = stream.push(text="so gre"), stream.push(text="at ")
    assert ([w[key] for w in first[part]], first["since"]) == (["so", "gre"], 0)
    assert ([w[key] for w in second[part]], second["since"], second["length"]) == (["great"], 3, 9)
    assert stream.push(text="")[part] == []
    assert stream.push(rewrite="so")["since"] == 0


def test_an_edit_costs_what_has_changed(wired: Wired) -> None:
    stream = Stream(wired("classify-causal"))
    text = ""
    for number in range(300):
        text += f"word{number} "
        stream.push(text=f"word{number} ")
    inner = stream.inner
    assert isinstance(inner, Rewritable)
    assert inner.snapshots <= 2 * 64 + len(text) // 256 + 1
    assert stream.wire.held(inner) > inner.snapshots * 1024
    # the last word is taken back: only it and what is typed instead are read
    assert inner.fork().rewind(text[:-8] + "other") == "other"
    assert len(inner.fork().rewind(text[:100] + "x")) <= 256 + 101


@pytest.mark.parametrize("kind", PARTS)
def test_a_saved_text_can_be_edited(wired: Wired, kind: str) -> None:
    stream, part = Stream(wired(kind)), PARTS[kind]
    stream.push(text="Anna lives in New Yo")
    other = stream.again()
    assert other.push(text="rk now") == stream.push(text="rk now")
    text = "Anna is in New York"
    found = other.again().push(rewrite=text)
    assert (found["since"], found[part]) == (0, Stream(wired(kind)).push(text=text)[part])
    # the state of a bare session does not say what was typed
    bare = StreamState.from_bytes(wired(kind).stream().state.to_bytes(), wired(kind).fingerprint)
    with pytest.raises(StateError, match="does not say what was typed"):
        stream.wire.open(stream.model).resume(bare)
    assert stream.inner.fork().reset().text == ""


def test_forks_go_their_own_ways(wired: Wired) -> None:
    one = Stream(wired("classify-causal"))
    one.push(text="a great ")
    two = Stream(one.model, one.inner.fork())
    assert one.push(rewrite="a film")["length"] == 6
    assert two.push(text="film")["length"] == 12
    assert two.push(rewrite="a film")["words"] == Stream(one.model).push(text="a film")["words"]


def test_models_that_do_not_stream_say_so(wired: Wired) -> None:
    for kind in ("classify", "tag", "label", "transcribe", "recognize"):
        with pytest.raises(ArgumentError, match=r"train one with .*--no-bidirectional"):
            Stream(wired(kind))
    for kind in ("translate", "caption"):
        assert api_of(wired(kind).task).Push is None


# Frames, rows, sound and values


def test_features_as_they_come(wired: Wired) -> None:
    model, steps = wired("label-causal"), features(12)
    whole = model.stream().push(np.array(steps))
    stream = Stream(model)
    found = [stream.push(features=steps[:5]), stream.again().push(features=steps[5:])]
    assert [one["position"] for one in found] == [5, 12]
    assert tuple(label for one in found for label in one["labels"]) == whole.labels
    assert [score for one in found for score in one["scores"]] == pytest.approx(whole.scores, rel=1e-5)
    with pytest.raises(ShapeError, match=r"features: expected shape \(T, F=2\)"):
        stream.push(features=[[1.0]])
    with pytest.raises(ArgumentError, match="features: row 1 has 1 numbers"):
        stream.push(features=[[1.0, 2.0], [1.0]])
    # what failed left the stream as it was
    assert stream.push(features=steps[5:]) == found[1]


def test_frames_as_they_come(wired: Wired) -> None:
    model = wired("label-frames")
    frames = [image(n, size) for n, size in enumerate((12, 16, 31))]
    stream = Stream(model)
    found = stream.push(frames=[b64(frame) for frame in frames])
    assert (found["position"], len(found["labels"])) == (3, 3)
    assert stream.push(frames=[])["labels"] == []
    one = Stream(model)
    assert [one.push(frames=[b64(frame)])["labels"][0] for frame in frames] == found["labels"]
    with pytest.raises(ArgumentError, match="the model reads frames, found features"):
        stream.push(features=[[1.0]])
    for given, says in (
        ([b64(image(1))] * 6, "frames: 6, and at most 5 are read in one"),
        ([b64(image(1))], r"frames\[0\]: 12 × 12 pixels"),
    ):
        with pytest.raises(TooLarge, match=says):
            stream.wire.check(stream.wire.Push.model_validate({"frames": given}), TIGHT)  # type: ignore[union-attr]


def test_all_frames_of_a_push_are_bounded_together(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.tasks.inputs.frames import api as clips

    monkeypatch.setattr(clips, "IMAGES", 2)
    stream = Stream(wired("label-frames"))
    push = stream.wire.Push.model_validate({"frames": [b64(image(1))] * 3})  # type: ignore[union-attr]
    with pytest.raises(TooLarge, match="frames: more than 288 pixels in 3 frames"):
        stream.wire.check(push, Bounds(pixels=144))


def test_rows_as_they_come(wired: Wired) -> None:
    model = wired("recognize-rows")
    pixels = np.random.default_rng(1).integers(0, 256, (10, 10)).astype(np.uint8)
    stream = Stream(model)
    first = stream.push(rows=pixels[:4].tolist())
    assert first["probabilities"] == model.stream().push(pixels[:4]).probabilities()
    assert first["position"] == 4
    found = stream.again().push(rows=pixels[4:].tolist())
    assert found["position"] == 10
    assert found["probabilities"] == pytest.approx(model.predict(pixels).probabilities, abs=1e-5)
    with pytest.raises(ArgumentError, match="rows: expected rows of one length"):
        stream.push(rows=[[1], [1, 2]])
    with pytest.raises(ShapeError, match="rows: expected shape"):
        stream.push(rows=[[1, 2, 3]])
    with pytest.raises(ValidationError, match="less than or equal to 255"):
        stream.push(rows=[[256]])
    with pytest.raises(TooLarge, match="rows: 21 rows of 21 numbers"):
        stream.wire.check(stream.wire.Push.model_validate({"rows": [[0]] * 21}), TIGHT)  # type: ignore[union-attr]


def test_sound_as_it_comes(wired: Wired) -> None:
    model = wired("transcribe-causal")
    rate = 16_000
    samples = speech_data.spoken(["do", "re", "mi"], np.random.default_rng(3), rate)
    session = model.stream()
    words = [*session.push(samples, rate), *session.finish()]
    assert words
    stream = Stream(model)
    found = []
    for at in range(0, len(samples), 1500):
        piece = samples[at : at + 1500].astype("<f4").tobytes()
        # JSON and binary messages, by turns
        if at % 3000:
            found.append(stream.push(samples=b64(piece), rate=rate))
        else:
            found.append(stream.answer(stream.wire.samples(piece, {"rate": str(rate), "token": "x"}, BOUNDS)))
        stream = stream.again()
    found.append(stream.push(last=True, rate=rate))
    assert [word for one in found for word in one["words"]] == [
        {key: pytest.approx(value) for key, value in word.as_json().items()} for word in words
    ]
    assert found[-1]["seconds"] == pytest.approx(len(samples) / rate)
    assert found[-1]["text"] == " ".join(word.text for word in words)
    assert stream.wire.held(stream.inner) > 0
    with pytest.raises(ArgumentError, match="it was finished"):
        stream.push(samples=b64(b"\0" * 400), rate=rate)


@pytest.mark.parametrize(
    ("data", "query", "says"),
    [
        (b"\0" * 5, {}, "samples: 5 bytes are no whole number of float32"),
        (np.array([1e9], "<f4").tobytes(), {}, "samples: expected numbers from about −1 to 1"),
        (np.array([np.nan], "<f4").tobytes(), {}, "samples: expected numbers from about −1 to 1"),
        (b"\0" * 8, {"rate": "fast"}, "rate: expected samples a second, found 'fast'"),
        (b"\0" * 8, {"rate": "9" * 900}, "rate: expected samples a second, found '9{20}'$"),
        (b"\0" * 8, {"rate": "16001"}, "rate: 16001 Hz; sound is taken at 8000, 11025,"),
        (b"\0" * 4000, {"rate": "8000"}, r"samples: 1,000 of them, and at most 0\.1 s are heard in one"),
    ],
)
def test_messages_that_are_no_sound(wired: Wired, data: bytes, query: dict[str, str], says: str) -> None:
    stream = Stream(wired("transcribe-causal"))
    with pytest.raises(ArgumentError, match=says):
        stream.answer(stream.wire.samples(data, query, TIGHT))
    assert stream.answer(Heard(np.zeros(80, np.float32), None))["seconds"] == 0.01


def test_binary_messages_are_for_sound(wired: Wired) -> None:
    with pytest.raises(ArgumentError, match="this model takes messages of text"):
        api_of(wired("classify").task).samples(b"\0\0\0\0", {}, BOUNDS)
    wire = api_of(wired("transcribe-causal").task)
    push = wire.Push.model_validate({"samples": b64(b"\0" * 4000), "rate": 8000})  # type: ignore[union-attr]
    with pytest.raises(TooLarge, match=r"samples: 1,00\d of them"):
        wire.check(push, TIGHT)


@pytest.mark.parametrize("kind", ["forecast", "forecast-sampled"])
def test_values_as_they_come(wired: Wired, kind: str) -> None:
    model = wired(kind)
    values = forecast_data.wave(30).round(3).tolist()
    stream = Stream(model)
    first = stream.push(values=values[:5], name="a")
    assert first == {"position": 5, "forecast": None}
    second = stream.push(values=values[5:20])
    session = model.stream().reset(series="a").push(values[:20])
    assert second["forecast"] == session.forecast().as_json()
    found = stream.again().push(values=values[20:], horizon=3)
    session.push(values[20:])
    assert found == {"position": 30, "forecast": session.forecast(3).as_json()}
    with pytest.raises(ArgumentError, match="start: goes with the first push, and this stream has 20 values"):
        stream.push(values=[1.0], start="2020-01-01")
    with pytest.raises(TooLarge, match="values: 21, and at most 20"):
        stream.wire.check(stream.wire.Push.model_validate({"values": [1.0] * 21}), TIGHT)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["forecast-known", "forecast-known-sampled"])
def test_values_with_covariates_as_they_come(wired: Wired, kind: str) -> None:
    model = wired(kind)
    values, known = forecast_data.wave(20).round(3).tolist(), [[float(n % 3)] for n in range(24)]
    stream = Stream(model)
    with pytest.raises(ArgumentError, match="start: the model reads the calendar"):
        stream.push(values=values[:1], known=known[:1])
    with pytest.raises(ArgumentError, match="known: the model reads 'p'"):
        stream.push(values=values[:1], start="2020-01-01")
    assert stream.push(values=[*values[:8], None], known=known[:9], start="2020-01-01")["forecast"] is None
    found = stream.push(values=values[9:], known=known[9:])
    session = model.stream().reset(series="v", start="2020-01-01").push([*values[:8], np.nan], known=known[:9])
    session.push(values[9:], known=known[9:20])
    assert found == {"position": 20, "forecast": session.forecast(known=known[20:]).as_json()}
    # as far as is known what comes; and asked without anything new
    again = stream.push(known=known[20:22])
    assert again["forecast"]["times"] == found["forecast"]["times"][:2]


def test_several_streams_at_once(wired: Wired) -> None:
    model = wired("classify-causal")
    wire = api_of(model.task)
    assert wire.Push is not None
    streams = [wire.open(model) for _ in range(3)]
    pushes = [wire.Push.model_validate({"text": text}) for text in ("a great ", "dull ", "so ")]
    found = wire.push(model, list(zip(streams, pushes, strict=True)))
    assert found == [Stream(model).push(text=text) for text in ("a great ", "dull ", "so ")]
    # one of several may fail
    model = wired("label-causal")
    wire = api_of(model.task)
    assert wire.Push is not None
    streams = [wire.open(model) for _ in range(2)]
    pushes = [wire.Push.model_validate({"features": rows}) for rows in ([[1.0]], [[1.0, 0.0]])]
    bad, good = wire.push(model, list(zip(streams, pushes, strict=True)))
    assert isinstance(bad, ShapeError)
    assert (streams[0].position, good["position"]) == (0, 1)
