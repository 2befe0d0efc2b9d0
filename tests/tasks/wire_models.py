"""Tiny models of each kind that wires are tested with, hardly trained, and inputs for them as JSON has them."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.images.files import png
from unrolled.tasks import Model, train
from unrolled.tasks.core.api import Api, Bounds, api_of
from unrolled.tasks.uses.translate import Translate

from . import (
    forecast_data,
    label_data,
    speech_data,
    test_caption,
    test_classify,
    test_recognize,
    test_tag,
    test_translate,
)

BOUNDS = Bounds()
TEXTS = ("A great film, quite.", "boring", "Anna lives in New York .\nBob was there", "", "the story was a superb one")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def classify(folder: Path, **options: Any) -> Model:
    (folder / "t.tsv").write_text(test_classify.reviews(24, 1))
    return test_classify.learn(folder / "t.tsv", folder / "m", options=options)


def tag(folder: Path, **options: Any) -> Model:
    (folder / "t.txt").write_text(test_tag.conll(24, 1))
    return test_tag.learn(folder / "t.txt", folder / "m", options=options, steps=20)


def translated(folder: Path) -> Model:
    for name, seed in (("train", 1), ("dev", 2)):
        test_translate.write(folder, name, test_translate.sentences(20, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Translate.output, "fitted_on", 2)
        return test_translate.learn(folder, folder / "m")


def recognize(folder: Path, reading: str) -> Model:
    for name, count, seed in (("train", 12, 1), ("dev", 6, 2)):
        images, labels = test_recognize.bars(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return test_recognize.learn(folder, folder / "m", reading)


def caption(folder: Path, **options: Any) -> Model:
    data = test_caption.make_scenes(folder / "scenes")
    if options.pop("features", False):
        options["images"] = str(data / "features.npz")
    return test_caption.learn(data, folder / "m", steps=3, options=options)


def label(folder: Path, kind: str, **options: Any) -> Model:
    for part, seeds in (("train", range(3)), ("dev", range(20, 22))):
        (folder / part).mkdir()
        for seed in seeds:
            if kind == "features":
                label_data.write_table(folder / part / f"{seed}.csv", seed, steps=30)
            else:
                label_data.write_strip(folder / part, f"c{seed}", seed)
    chosen = {"time_column": "seconds"} if kind == "features" else label_data.SMALL_FRAMES
    return label_data.learn(
        folder / "train", folder / "m", folder / "dev", options={**chosen, **options}, epochs=1, sample_every=0
    )


def transcribe(folder: Path, **options: Any) -> Model:
    draw = np.random.default_rng(0)
    rows = []
    for n, words in enumerate((["do"], ["re"], ["do", "re"], ["re", "do"])):
        speech_data.save(folder / f"{n}.wav", speech_data.spoken(words, draw))
        rows.append((f"{n}.wav", " ".join(words)))
    for name in ("train", "dev"):
        speech_data.manifest(folder / f"{name}.jsonl", rows)
    return speech_data.learn(folder, folder / "m", options=options, steps=30)


def forecast(folder: Path, method: str) -> Model:
    (folder / "t.csv").write_text(forecast_data.wide())
    options = {"method": method, "test_from": "96", "likelihood": "gaussian"}
    return forecast_data.learn(folder / "t.csv", folder / "m", options=options)


def forecast_known(folder: Path, method: str) -> Model:
    """Of days, with a covariate that is known ahead and the calendar."""
    days = [str(np.datetime64("2020-01-01") + k) for k in range(60)]
    rows = [f"{d},{v:.4f},{k % 3}" for k, (d, v) in enumerate(zip(days, forecast_data.wave(60), strict=True))]
    (folder / "s.csv").write_text("date,v,p\n" + "\n".join(rows))
    options = {"method": method, "horizon": 4, "context": 8, "season": 3, "hidden_size": 12, "known": ["p"]}
    options |= {"calendar": True, "gaps": "mask"}
    return train("forecast", folder / "s.csv", folder / "m", options=options, steps=2, lr=0.01, seed=1)


ONE_WAY = {"bidirectional": False}
KINDS: dict[str, Callable[[Path], Model]] = {
    "classify": classify,
    "classify-causal": lambda folder: classify(folder, **ONE_WAY),
    "tag": tag,
    "tag-causal": lambda folder: tag(folder, **ONE_WAY, output="softmax", context=0),
    "translate": translated,
    "recognize": lambda folder: recognize(folder, "image"),
    "recognize-rows": lambda folder: recognize(folder, "rows"),
    "caption": caption,
    "caption-features": lambda folder: caption(folder, features=True, cell="gru"),
    "transcribe": transcribe,
    "transcribe-causal": lambda folder: transcribe(folder, **ONE_WAY, units="characters"),
    "label": lambda folder: label(folder, "features"),
    "label-causal": lambda folder: label(folder, "features", **ONE_WAY, differences=True),
    "label-frames": lambda folder: label(folder, "frames", **ONE_WAY),
    "forecast": lambda folder: forecast(folder, "direct"),
    "forecast-sampled": lambda folder: forecast(folder, "autoregressive"),
    "forecast-known": lambda folder: forecast_known(folder, "direct"),
    "forecast-known-sampled": lambda folder: forecast_known(folder, "autoregressive"),
}


def image(seed: int, size: int = 12, channels: int = 3) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (size, size, channels)).astype(np.uint8))


def sound(words: list[str], rate: int = speech_data.RATE, channels: int = 1) -> bytes:
    samples = speech_data.spoken(words, np.random.default_rng(len(words)), rate)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat((samples * 32767).round().astype("<i2"), channels).tobytes())
    return stream.getvalue()


def video(frames: int = 10, format: str = "matroska", codec: str = "ffv1", width: int = 16, height: int = 12) -> bytes:
    av = pytest.importorskip("av")
    draw, stream = np.random.default_rng(frames), io.BytesIO()
    with av.open(stream, "w", format=format) as container:
        track = container.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = width, height, "bgr0" if codec == "ffv1" else "yuv420p"
        for _ in range(frames):
            pixels = draw.integers(0, 256, (height, width, 3)).astype(np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(track.encode(None))
    return stream.getvalue()


def features(steps: int, width: int = 2) -> list[list[float]]:
    found: list[list[float]] = np.random.default_rng(steps).normal(size=(steps, width)).round(3).tolist()
    return found


def inputs(kind: str) -> list[Any]:
    """A few inputs of each kind."""
    task = kind.partition("-")[0]
    if task in ("classify", "tag"):
        return list(TEXTS)
    if task == "translate":
        return ["ein Hund rennt.", "", "ein Mann schläft."]
    if kind == "caption-features":
        return [{"features": features(4, 3)}]
    if task in ("recognize", "caption"):
        channels = 1 if task == "recognize" else 3
        return [{"image": b64(image(n, size, channels))} for n, size in enumerate((10, 12, 31))]
    if task == "transcribe":
        return [{"sound": b64(sound(words))} for words in (["do"], ["re", "do"])]
    if kind == "label-frames":
        return [{"clip": b64(video())}, {"clip": b64(video(7, "mp4", "mpeg4"))}]
    if task == "label":
        return [{"features": features(n)} for n in (1, 12)]
    if "known" in kind:
        values = [*forecast_data.wave(38).round(3).tolist(), None, 21.5]
        ahead = [[float(k % 3)] for k in range(44)]
        return [{"values": values, "start": "2020-03-01", "known": ahead, "backtest": 3}]
    wave_of = forecast_data.wave(40).round(3).tolist()
    return [{"table": forecast_data.wide(60), "backtest": 2}, {"values": wave_of, "name": "a"}, {"values": wave_of}]


def answers(model: Model, given: list[Any], bounds: Bounds = BOUNDS, **options: Any) -> list[dict[str, Any]]:
    """As the server makes them."""
    wire = api_of(model.task)
    read = [wire.read(model, wire.Input.model_validate(one), bounds) for one in given]
    return answered(wire, model, read, **options)


def answered(wire: Api, model: Model, read: list[Any], **options: Any) -> list[dict[str, Any]]:
    if wire.together:
        predictions = model.predict(read, **options)
        return [wire.answer(model, p, one) for p, one in zip(predictions, read, strict=True)]
    return [wire.answer(model, p, one) for one in read for p in model.predictions([one], **options)]
