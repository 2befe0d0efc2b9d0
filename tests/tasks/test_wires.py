"""How each use is spoken to over HTTP: what its inputs and predictions look like, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from unrolled.errors import ArgumentError, DataError, ShapeError
from unrolled.tasks import Model, task_names
from unrolled.tasks.core.api import Bounds, TooLarge, api_of, served_options
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.payloads import decoded_base64, matrix

from . import forecast_data
from .wire_models import BOUNDS, KINDS, answered, answers, b64, features, image, inputs, sound, video

Wired = Callable[[str], Model]

OPTIONS: dict[str, dict[str, Any]] = {
    "classify": {"words": True},
    "classify-causal": {"words": True},
    "tag": {"n_best": 2},
    "translate": {"n_best": 3},
    "caption": {"n": 2},
    "transcribe": {"n_best": 2},
    "forecast-sampled": {"samples": 5},
    "forecast-known-sampled": {"samples": 5, "horizon": 3},
}


def test_every_use_can_be_served() -> None:
    assert all(issubclass(api_of(task_named(name)).Input, BaseModel) for name in task_names())


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_is_what_its_schema_says(wired: Wired, kind: str) -> None:
    model = wired(kind)
    wire = api_of(model.task)
    options = served_options(model.task)(**OPTIONS.get(kind, {})).model_dump()
    found = answers(model, inputs(kind), **options)
    for one in found:
        # as JSON, as it is sent: nothing is NaN, nothing is left out, nothing is of another type
        text = json.dumps(one, allow_nan=False)
        wire.Output.model_validate_json(text, strict=True, extra="forbid")
    assert len(found) >= len(inputs(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_does_not_depend_on_its_neighbours(wired: Wired, kind: str) -> None:
    model, given = wired(kind), inputs(kind)
    options = OPTIONS.get(kind, {})
    alone = [answer for one in given for answer in answers(model, [one], **options)]
    beside = answers(model, [*given[::-1], *given], **options)
    assert beside[-len(alone) :] == alone


@pytest.mark.parametrize("name", [name for name in task_names() if name != "generate"])
def test_examples_are_what_may_be_sent(name: str) -> None:
    task = task_named(name)
    wire = api_of(task)
    for one in wire.example["inputs"]:
        wire.Input.model_validate(one)
    served_options(task)(**wire.example.get("options", {}))
    assert (wire.Push is None) == (wire.Pushed is None)
    if wire.Push is not None:
        wire.Push.model_validate(wire.push_example)


@pytest.mark.parametrize("kind", KINDS)
def test_examples_can_be_read(wired: Wired, kind: str) -> None:
    model = wired(kind)
    wire = api_of(model.task)
    example = wire.example_of(model)
    if kind == "caption-features":
        with pytest.raises(ArgumentError, match="features"):
            answers(model, example["inputs"])
        return
    assert answers(model, example["inputs"], **example.get("options", {}))
    try:
        stream = wire.open(model) if wire.Push is not None else None
    except ArgumentError:
        return
    if stream is not None:
        [found] = wire.push(model, [(stream, wire.Push.model_validate(wire.push_example_of(model)))])
        assert not isinstance(found, Exception), found


LABELS = {
    "classify": ["neg", "pos"],
    "tag": ["LOC", "ORG", "PER"],
    "recognize": ["down", "left", "up"],
    "label": ["rest", "work"],
    "forecast": [],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_all_that_there_may_be(wired: Wired, kind: str) -> None:
    model = wired(kind)
    assert sorted(api_of(model.task).labels(model)) == LABELS[kind]


RAW: dict[str, tuple[str, bytes, Any]] = {
    "classify": ("text/plain", "Größe: great".encode(), "Größe: great"),
    "tag": ("text/plain", b"Anna lives in New York .", "Anna lives in New York ."),
    "translate": ("text/plain", b"ein Hund rennt.", "ein Hund rennt."),
    "recognize": ("image/png", image(1), {"image": b64(image(1))}),
    "caption": ("image/png", image(1), {"image": b64(image(1))}),
    "transcribe": ("audio/wav", sound(["do"]), {"sound": b64(sound(["do"]))}),
    "forecast": ("text/csv", forecast_data.wide(40).encode(), {"table": forecast_data.wide(40)}),
}


@pytest.mark.parametrize("kind", [*RAW, "label-frames"])
def test_a_body_as_it_is_says_the_same(wired: Wired, kind: str) -> None:
    model = wired(kind)
    wire = api_of(model.task)
    media, body, given = RAW[kind] if kind in RAW else ("video/webm", video(), {"clip": b64(video())})
    assert media in wire.media
    assert answered(wire, model, [wire.raw(model, body, media, BOUNDS)]) == answers(model, [given])


def test_it_says_what_the_library_says(wired: Wired) -> None:
    [found] = answers(wired("recognize"), [{"image": b64(image(3, 10, 1))}])
    assert found == wired("recognize").predict(image(3, 10, 1)).as_json()
    model = wired("transcribe")
    [found] = answers(model, [{"sound": b64(sound(["do", "re"], 16_000, 2))}])
    assert found["notes"] == ["2 channels were mixed into one", "resampled from 16000 to 8000 Hz"]
    [found] = answers(wired("label"), [{"features": features(9)}])
    assert found == wired("label").predict(np.array(features(9))).as_json()
    [found] = answers(wired("caption"), [{"image": b64(image(1))}], n=2)
    shape = np.shape(found["captions"][0]["attention"])
    assert tuple(found["grid"]) == shape[1:]
    # the rate of a clip is its own
    [found] = answers(wired("label-frames"), [{"clip": b64(video(10))}])
    assert (len(found["labels"]), found["rate"], found["segments"][-1]["end_seconds"]) == (10, 25.0, 0.4)


def test_words_say_where_they_stand(wired: Wired) -> None:
    text = "A great film,\nquite."
    [found] = answers(wired("classify"), [text], words=True)
    assert [word["word"] for word in found["words"]] == [text[w["start"] : w["end"]] for w in found["words"]]
    [found] = answers(wired("tag"), ["Anna lives in New York ."])
    assert [token["text"] for token in found["tokens"]] == ["Anna", "lives", "in", "New", "York", "."]


def test_words_of_a_long_text_are_some_of_them(wired: Wired) -> None:
    text = " ".join(["a", "great", "film"] * 100)
    options = served_options(task_named("classify"))(words=True).model_dump()
    assert options == {"words": True, "most_words": 200}
    [found] = answers(wired("classify"), [text], **options)
    assert len(found["words"]) == 200
    assert found["words"][-1]["end"] == len(text)
    [whole] = answers(wired("classify"), [text], words=True)
    assert len(whole["words"]) == 300
    assert found["words"][1] == {
        **whole["words"][2],
        "probabilities": pytest.approx(whole["words"][2]["probabilities"], rel=1e-5),
    }
    # one that reads in passing tells of all
    [found] = answers(wired("classify-causal"), [text], **options)
    assert len(found["words"]) == 300


# What belongs beside a forecast


def test_a_forecast_has_its_past_and_what_would_have_been_forecast(wired: Wired) -> None:
    model = wired("forecast")
    rows = forecast_data.wide(110).splitlines()
    found = answers(model, [{"table": "\n".join(rows), "backtest": 3}])
    assert [one["series"] for one in found] == ["a", "b"]
    for one, column in zip(found, (1, 2), strict=True):
        cells = [row.split(",") for row in rows[1:]]
        assert one["times"][0] == "2020-01-05 14:00"
        # the context of 12 is less than three horizons of 6
        assert one["history"]["times"] == [row[0] for row in cells[-18:]]
        assert one["history"]["values"] == [float(row[column]) for row in cells[-18:]]
        for n, past in enumerate(one["backtest"], 1):
            end = len(cells) - 6 * n
            assert past["times"] == [row[0] for row in cells[end : end + 6]]
            assert past["actual"] == [float(row[column]) for row in cells[end : end + 6]]
            # made from what came before alone: the same as if nothing else were known
            text = "\n".join([rows[0], *rows[1 : end + 1]])
            alone = next(a for a in answers(model, [{"table": text}]) if a["series"] == one["series"])
            assert past["point"] == alone["point"]
            assert past["quantiles"] == alone["quantiles"]
        # training and development data were the first 96
        assert [past["in_training"] for past in one["backtest"]] == [False, False, True]


def test_a_backtest_is_as_long_as_the_series_allows(wired: Wired) -> None:
    [found] = answers(wired("forecast"), [{"values": [1.0, 2.0] * 10, "backtest": 5}])
    assert len(found["backtest"]) == 1
    assert found["backtest"][0]["actual"] == [1.0, 2.0] * 3
    assert found["backtest"][0]["in_training"] is False


@pytest.mark.parametrize("kind", ["forecast-known", "forecast-known-sampled"])
def test_covariates_go_with_values(wired: Wired, kind: str) -> None:
    model = wired(kind)
    [given] = inputs(kind)
    [found] = answers(model, [given])
    assert found["history"]["values"][-2:] == [None, 21.5]
    assert found["times"] == ["2020-04-10", "2020-04-11", "2020-04-12", "2020-04-13"]
    assert [past["times"][0] for past in found["backtest"]] == ["2020-04-06", "2020-04-02", "2020-03-29"]
    assert found["backtest"][0]["actual"][-2:] == [None, 21.5]
    with pytest.raises(ArgumentError, match="known: row 1 has 2 numbers, the first 1"):
        answers(model, [{**given, "known": [[0.0], [0.0, 1.0]]}])
    with pytest.raises(ArgumentError, match="start: the model reads the calendar"):
        answers(model, [{k: v for k, v in given.items() if k != "start"}])


# What is refused


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("classify", 3, "valid string"),
        ("recognize", {"image": "aa", "path": "/etc/passwd"}, "Extra inputs"),
        ("caption", {}, "expected either image or features"),
        ("caption", {"image": "aa", "features": [[1.0]]}, "expected either image or features"),
        ("label", {"features": [[float("nan")]]}, "finite number"),
        ("label", {"features": [[1e400]]}, "finite number"),
        ("label", {"features": [1.0]}, "valid list"),
        ("forecast", {"values": [1.0], "table": "a"}, "expected either table or values"),
        ("forecast", {"table": "a", "start": "2020-01-01"}, "start goes with values"),
        ("forecast", {"values": [1.0], "backtest": 21}, "less than or equal to 20"),
        ("forecast", {"values": [float("inf")]}, "finite number"),
    ],
)
def test_inputs_of_another_shape(name: str, given: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        api_of(task_named(name)).Input.model_validate(given)


def test_no_option_names_a_file_and_none_is_beyond_its_ceiling() -> None:
    fields = {name: set(served_options(task_named(name)).model_fields) for name in ("transcribe", "forecast")}
    assert not fields["transcribe"] & {"language_model", "lexicon"}
    assert not fields["forecast"] & {"start"}
    with pytest.raises(ArgumentError, match="--samples: 1001 is not possible"):
        served_options(task_named("forecast"))(samples=1001)


TIGHT = Bounds(characters=10, pixels=120, seconds=0.1, frames=5, rows=20)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("classify", "eleven char", "input: 11 characters, and at most 10 are read in one"),
        ("tag", "eleven char", "11 characters"),
        ("translate", "eleven char", "11 characters"),
        ("recognize", {"image": b64(image(1))}, "image: 12 × 12 pixels, and at most 120 are decoded; make it smaller"),
        ("caption", {"image": b64(image(1))}, "12 × 12 pixels"),
        ("caption-features", {"features": [[0.0, 0.0, 0.0]] * 21}, "features: 21 rows, and at most 20"),
        ("transcribe", {"sound": b64(sound(["do"]))}, r"sound: 0\.\d s, and at most 0\.1 s are heard in one"),
        ("label", {"features": features(21)}, "features: 21 rows, and at most 20 are read in one"),
        ("forecast", {"values": [1.0] * 21}, "values: 21, and at most 20 are read in one"),
        ("forecast", {"table": "a\n" * 20}, "table: 21 rows, and at most 20 are read in one"),
        ("forecast", {"table": "a," * 300}, "table: about 301 cells, and at most 200 are read in one"),
    ],
)
def test_bounds(wired: Wired, kind: str, given: Any, says: str) -> None:
    with pytest.raises(TooLarge, match=says):
        answers(wired(kind), [given], TIGHT)


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (Bounds(pixels=100), "clip: 16 × 12 pixels, and no more than 100 are decoded"),
        (Bounds(seconds=0.2), r"clip: 0\.4 seconds, and no more than 0\.2 seconds are read"),
        (Bounds(frames=5), "clip: more than 5 frames; cut the video"),
    ],
)
def test_bounds_of_clips(wired: Wired, bounds: Bounds, says: str) -> None:
    with pytest.raises(TooLarge, match=says):
        answers(wired("label-frames"), [{"clip": b64(video())}], bounds)


def test_all_frames_of_a_clip_together_are_bounded(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.tasks.inputs.frames import api as clips

    monkeypatch.setattr(clips, "IMAGES", 2)
    with pytest.raises(TooLarge, match="clip: more than 400 pixels in 2 frames; make it smaller, or cut it"):
        answers(wired("label-frames"), [{"clip": b64(video())}], Bounds(pixels=200))
    monkeypatch.undo()
    monkeypatch.setattr(clips, "MOST_BYTES", 3 * 12 * 16)
    with pytest.raises(TooLarge, match="clip: more than 3 frames"):
        answers(wired("label-frames"), [{"clip": b64(video())}])


def test_a_sentence_has_a_bound_of_its_own(wired: Wired) -> None:
    with pytest.raises(TooLarge, match="1,001 characters, and at most 1,000"):
        answers(wired("translate"), ["a" * 1001])


def test_tables_of_many_series_or_with_long_gaps(wired: Wired) -> None:
    times = forecast_data.hours(20)
    wide = "time," + ",".join(f"s{n}" for n in range(51)) + "\n"
    wide += "".join(f"{time}," + ",".join(["1"] * 51) + "\n" for time in times)
    with pytest.raises(TooLarge, match="table: 51 series, and at most 50 are forecast in one"):
        answers(wired("forecast"), [{"table": wide}])
    # 40 rows over 900 days: they would become a row for every day
    gappy = "date,v,p\n" + "".join(f"{np.datetime64('2020-01-01') + 23 * n},1,0\n" for n in range(40))
    with pytest.raises(TooLarge, match=r"table.csv:2: series 'v': 898 steps with its gaps, and at most 500 are read"):
        answers(wired("forecast-known"), [{"table": gappy}], Bounds(rows=50))


def test_arrays_that_are_none(wired: Wired) -> None:
    model = wired("label")
    with pytest.raises(ArgumentError, match="features: row 1 has 1 numbers, the first 2"):
        answers(model, [{"features": [[1.0, 2.0], [1.0]]}])
    with pytest.raises(ShapeError, match=r"features: expected shape \(T, F=2\): on, off, found \(1, 3\)"):
        answers(model, [{"features": [[1.0, 2.0, 3.0]]}])
    with pytest.raises(ArgumentError, match=r"features\[0, 1\]: numbers are to be from −1e\+30 to 1e\+30"):
        answers(model, [{"features": [[1.0, 1e31]]}])
    with pytest.raises(ArgumentError, match="features: no row in it"):
        answers(model, [{"features": []}])
    with pytest.raises(ArgumentError, match="the model reads features, found frames"):
        answers(model, [{"clip": b64(b"x")}])
    with pytest.raises(ArgumentError, match="the model reads frames, found features"):
        answers(wired("label-frames"), [{"features": [[1.0]]}])
    with pytest.raises(ArgumentError, match="the model reads features, found an image"):
        answers(wired("caption-features"), [{"image": b64(image(1))}])
    with pytest.raises(DataError, match="a series without values"):
        answers(wired("forecast"), [{"values": []}])
    with pytest.raises(ArgumentError, match="table: nothing in it"):
        answers(wired("forecast"), [{"table": " \n"}])
    assert matrix([], "x", BOUNDS).shape == (0, 0)


@pytest.mark.parametrize("text", ["a", "aaaa\n", "aa==aa==", "a-_a", "ä===", "", "aaaa "])
def test_base64_is_strict(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"^x: (not Base64|no bytes in it)"):
        decoded_base64(text, "x")
    assert decoded_base64(base64.b64encode(b"ok").decode(), "x") == b"ok"


def test_half_a_character_is_one_that_can_be_written(wired: Wired) -> None:
    [found] = answers(wired("classify"), ["so \ud83d great"])
    assert found["text"] == "so \ufffd great"
    wire = api_of(wired("classify").task)
    with pytest.raises(ArgumentError, match="input: byte 2 is not UTF-8"):
        wire.raw(wired("classify"), b"ab\xff", "text/plain", BOUNDS)
    with pytest.raises(ArgumentError, match="table: byte 0 is not UTF-8"):
        api_of(wired("forecast").task).raw(wired("forecast"), b"\xff", "text/csv", BOUNDS)
