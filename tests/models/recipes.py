"""The stored models: the data, options and steps each is trained with, and the questions it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import data

Question = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a stored model is made.

    Attributes:
        task: its task.
        data: writes the data into a folder.
        train, dev: names in that folder to learn from, and to choose by.
        options: of the task.
        training: of the training.
        predictions: `inputs` and `options` of `Model.predict`.
        calls: of a session, none for a model that can't be streamed.
        saved_after: the number of calls after which the session's state is saved.
        evaluated: names in the data folder to evaluate on, which are kept beside the model.
        needed: names that these need, which are kept too.
        evaluation: options of `Model.evaluate`.
        personal: options of `Model.personalise` and the file to adapt to, under `path`.
    """

    task: str
    data: Callable[[Path], None]
    train: Sequence[str]
    dev: Sequence[str]
    options: Mapping[str, Any]
    predictions: Sequence[Question]
    evaluated: Sequence[str]
    training: Mapping[str, Any] = field(default_factory=dict)
    calls: Sequence[Question] = ()
    saved_after: int = 0
    needed: Sequence[str] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[str, Any] = field(default_factory=dict)


def form(name: str, *given: Any) -> dict[str, Any]:
    """Write an array of `forms` as JSON."""
    return {"form": name, "with": list(given)}


def steps(begin: int, end: int, name: str, *given: Any) -> dict[str, Any]:
    """Write some steps of an array of `forms` as JSON."""
    return {**form(name, *given), "steps": [begin, end]}


def ask(*inputs: Any, **options: Any) -> Question:
    """Write a question to `Model.predict`."""
    return {"inputs": list(inputs), "options": options}


def do(name: str, *args: Any, **options: Any) -> Question:
    """Write a call of a session."""
    return {"name": name, "args": list(args), "options": options}


CALM: dict[str, Any] = {"dropout": 0.0, "input_dropout": 0.0}
STEPS: dict[str, Any] = {"lr": 0.03, "log_every": 50, "evaluate_every": 40, "sample_every": 0, "seed": 7}
STEPS |= {"averaging": "none", "steps": 40}


def writer(tokens: str, **more: Any) -> Recipe:
    """Return the recipe of a language model."""
    options = {"tokens": tokens, "hidden_size": 12, "num_layers": 1, "embedding_size": 6, "batch_size": 6}
    options |= {"window": 16, "dropout": 0.0, **({"vocabulary_size": 280} if tokens == "bpe" else {})}
    written = {"generate": True, "max_tokens": 30, "temperature": 0.7, "seed": 3}
    return Recipe(
        task="generate",
        data=data.letters,
        train=["train.txt"],
        dev=["dev.txt"],
        options=options,
        training={**STEPS, "steps": 400, "evaluate_every": 200, "log_every": 200},
        predictions=[
            ask("Tea i", "See you at n", n=2),
            ask("I ", "", **written),
            ask("See", generate=True, samples=2, max_tokens=12, temperature=0.0),
        ],
        calls=[
            do("push", "Tea is at"),
            do("suggest", 2),
            do("generate", 20, seed=5),
            do("push", " noon.\nI a"),
            do("pending"),
            do("suggestion", -3.0),
            do("generate", 20, seed=6),
        ],
        saved_after=1,
        evaluated=["new.txt"],
        evaluation={"positions": 60},
        **more,
    )


def critic(bidirectional: bool, **options: Any) -> Recipe:
    """Return the recipe of a classifier of texts."""
    reading = {"hidden_size": 5, "embedding_size": 3, "batch_size": 8, "bidirectional": bidirectional}
    calls = [
        do("push", "The film was gr"),
        do("push", "eat ! quite"),
        do("prediction"),
        do("settled"),
        do("finish"),
        do("prediction"),
    ]
    return Recipe(
        task="classify",
        data=data.reviews,
        train=["train.tsv"],
        dev=["dev.tsv"],
        options={**reading, **CALM, "word_dropout": 0.0, **options},
        training=STEPS,
        predictions=[
            ask("a great film", "The story was dull !", "", "unseen words"),
            ask("the café was poor", words=True),
        ],
        calls=[] if bidirectional else calls,
        saved_after=0 if bidirectional else 1,
        evaluated=["dev.tsv"],
    )


def tagger(write: Callable[[Path], None], sentence: str, best: int, **options: Any) -> Recipe:
    """Return the recipe of a tagger; one of a direction is streamed."""
    sizes = {"hidden_size": 6, "embedding_size": 4, "character_size": 3, "spelling_size": 3, "shape_size": 2}
    streams = not options.get("bidirectional", True)
    calls = [do("push", sentence[:9]), do("push", sentence[9:]), do("settled"), do("finish"), do("push", ["Bob", "."])]
    return Recipe(
        task="tag",
        data=write,
        train=["train.txt"],
        dev=["dev.txt"],
        options={**sizes, **CALM, "word_dropout": 0.0, "rare_dropout": 0.0, "batch_size": 8, **options},
        training=STEPS,
        predictions=[ask(sentence, ["Ann", "Lee", "runs"]), ask(sentence, n_best=best)],
        calls=calls if streams else [],
        saved_after=1 if streams else 0,
        evaluated=["dev.txt"],
    )


def translator(**options: Any) -> Recipe:
    """Return the recipe of a translator."""
    sizes = {"embedding_size": 5, "hidden_size": 8, "batch_size": 8, "label_smoothing": 0.0, **CALM}
    return Recipe(
        task="translate",
        data=data.pairs,
        train=["train.de", "train.en"],
        dev=["dev.de", "dev.en"],
        options={**sizes, "vocabulary_size": 270, **options},
        training={**STEPS, "steps": 300, "evaluate_every": 100},
        predictions=[
            ask("der rote Hund rennt.", "", "der Mann schläft."),
            ask("der Bär rennt.", n_best=3, beam_size=4, length_penalty=0.5, coverage_penalty=0.2),
        ],
        evaluated=["dev.de", "dev.en"],
    )


def recognizer(**options: Any) -> Recipe:
    """Return the recipe of a recogniser of images; one that reads rows is streamed."""
    calls = [
        do("push", steps(0, 4, "bar", "up", 50)),
        do("probabilities"),
        do("push", steps(4, 9, "bar", "up", 50)),
        do("position"),
        do("probabilities"),
    ]
    by_rows = options.get("reading") == "rows"
    return Recipe(
        task="recognize",
        data=data.bars,
        train=["train.npz"],
        dev=["dev.npz"],
        options={"batch_size": 8, "dropout": 0.0, "augment": False, **options},
        training=STEPS,
        predictions=[ask(form("bar", "up", 40), form("bar", "down", 41)), ask(form("bar", "up", 42, 14), place=True)],
        calls=calls if by_rows else [],
        saved_after=2 if by_rows else 0,
        evaluated=["dev.npz"],
    )


def captioner() -> Recipe:
    """Return the recipe of a model that writes about images."""
    options = {"images": "images", "image_size": 12, "margin": 1.0, "mirror": False, "widths": (3, 4), "batch_size": 8}
    options |= {"hidden_size": 8, "embedding_size": 5, "dropout": 0.0, "image_dropout": 0.0, "smoothing": 0.0}
    return Recipe(
        task="caption",
        data=data.scenes,
        train=["train.txt"],
        dev=["dev.txt"],
        options=options,
        training={**STEPS, "steps": 60, "save_every": 1000},
        predictions=[
            ask(form("box", "red", "left", 40), form("box", "blue", "right", 41)),
            ask(form("box", "green", "left", 42), n=2, beam_size=4, max_words=6, no_repeat_ngram=2),
        ],
        evaluated=["dev.txt"],
        needed=["dev-images"],
        evaluation={"images": "dev-images"},
    )


def labeller(kind: str, **options: Any) -> Recipe:
    """Return the recipe of a model that labels steps, of tables or clips; one of a direction is streamed."""
    array = ("features", 50) if kind == "tables" else ("clip", 50)
    calls = [
        do("push", steps(0, 7, *array)),
        do("push", steps(7, 12, *array)),
        do("position"),
        do("push", steps(12, 16, *array)),
    ]
    streams = not options.get("bidirectional", True)
    form_of_data: dict[str, Any] = {"time_column": "seconds"}
    if kind == "strips":
        form_of_data = {"frame_height": 8, "rate": 25.0, "widths": (3, 4), "input_size": 5}
    sizes = {"hidden_size": 5, "num_layers": 1, "batch_size": 4, "augment": 0.0, "comparison_epochs": 2.0, **CALM}
    return Recipe(
        task="label",
        data=data.tables if kind == "tables" else data.strips,
        train=["train"],
        dev=["dev"],
        options={**sizes, **form_of_data, **options},
        training=STEPS,
        predictions=[ask(form(*array)), ask(steps(0, 9, *array), transition_weight=0.5)],
        calls=calls if streams else [],
        saved_after=1 if streams else 0,
        evaluated=["dev"],
    )


def transcriber(**options: Any) -> Recipe:
    """Return the recipe of a model that writes down sound; one of a direction is streamed."""
    array = ("samples", ["re", "do"], 9)
    calls = [
        do("push", steps(0, 900, *array)),
        do("push", steps(900, 1500, *array)),
        do("transcript"),
        do("seconds"),
        do("finish"),
        do("words"),
    ]
    streams = not options.get("bidirectional", True)
    sizes = {"hidden_size": 8, "num_layers": 1, "bands": 8, "batch_size": 3, "flat_start": 20, "augment": False, **CALM}
    return Recipe(
        task="transcribe",
        data=data.speech,
        train=["train.jsonl"],
        dev=["dev.jsonl"],
        options={**sizes, **options},
        training={**STEPS, "steps": 400, "evaluate_every": 100, "log_every": 100, "lr": 0.02},
        predictions=[
            ask(form("sound", ["do", "mi"], 3), form("sound", ["re"], 4)),
            ask(form("sound", ["mi", "re"], 5), beam_size=4, n_best=3),
            ask(form("sound", ["mi"], 6), beam_size=1),
        ],
        calls=calls if streams else [],
        saved_after=1 if streams else 0,
        evaluated=["dev.jsonl"],
        needed=["dev0.wav", "dev1.wav"],
    )


FORECASTER: dict[str, Any] = {
    "horizon": 4,
    "context": 8,
    "hidden_size": 6,
    "num_layers": 1,
    "batch_size": 16,
    "dropout": 0.0,
}


def hourly(method: str, **options: Any) -> Recipe:
    """Return the recipe of a forecaster of two hourly series."""
    wave, shown = form("series", 20, 1.5), {"samples": 20, "seed": 4}
    if method == "direct":
        shown = {}
    return Recipe(
        task="forecast",
        data=data.hours,
        train=["train.csv"],
        dev=[],
        options={**FORECASTER, "season": 6, "calendar": False, "method": method, **options},
        training=STEPS,
        predictions=[
            ask(wave, {"values": wave, "name": "b", "start": "2020-02-01 00:00"}, **shown),
            ask({"values": wave, "name": "a", "start": "2020-02-01 00:00"}, horizon=2, **shown),
        ],
        calls=[
            do("reset", series="a", start="2020-03-01 00:00"),
            do("push", steps(0, 11, "series", 20, 2.0)),
            do("forecast", 3, **shown),
            do("push", steps(11, 20, "series", 20, 2.0)),
            do("position"),
            do("forecast", **shown),
        ],
        saved_after=2,
        evaluated=["all.csv"],
        evaluation={"samples": 10} if method == "autoregressive" else {},
    )


def daily() -> Recipe:
    """Return the recipe of a forecaster that reads the calendar, a covariate, and series with gaps."""
    ahead = [[float(k % 3)] for k in range(24)]
    asked = {"values": form("series", 20, 1.0), "start": "2020-03-01", "known": ahead}
    return Recipe(
        task="forecast",
        data=data.days,
        train=["train.csv"],
        dev=[],
        options={**FORECASTER, "season": 3, "known": ["p"], "calendar": True, "gaps": "mask", "method": "direct"},
        training=STEPS,
        predictions=[ask(asked)],
        calls=[
            do("reset", series="v", start="2020-03-01"),
            do("push", steps(0, 11, "series", 20, 2.0), known=ahead[:11]),
            do("push", steps(11, 20, "series", 20, 2.0), known=ahead[11:20]),
            do("forecast", known=ahead[20:]),
        ],
        saved_after=2,
        evaluated=["all.csv"],
    )


NEW_YORK = "Ann Lee lives in New York ."
RECIPES: dict[str, Recipe] = {
    "generate-characters": writer("char"),
    "generate-byte-pairs": writer("bpe"),
    "generate-personal": writer("char", personal={"path": "own.txt", "method": "both", "epochs": 2}),
    "classify": critic(True, votes=False, parts=False, pooling="attention+max"),
    "classify-causal": critic(False, cell="gru"),
    "tag-entities": tagger(data.entities, NEW_YORK, 3, context=20),
    "tag-labels": tagger(
        data.word_classes, "the dogs sleep .", 1, bidirectional=False, output="softmax", spelling="cnn"
    ),
    "translate": translator(),
    "translate-joint": translator(joint=True, cell="lstm", attention="additive", input_feeding=True),
    "recognize-image": recognizer(widths=(3, 4)),
    "recognize-rows": recognizer(reading="rows", hidden_size=5, bidirectional=False),
    "caption": captioner(),
    "label-features": labeller("tables", bidirectional=False, differences=True),
    "label-both-ways": labeller("tables", cell="gru", standardise="recording"),
    "label-frames": labeller("strips", bidirectional=False),
    "transcribe": transcriber(units="words"),
    "transcribe-causal": transcriber(units="characters", bidirectional=False),
    "forecast-direct": hourly("direct"),
    "forecast-autoregressive": hourly("autoregressive", likelihood="student-t", lags=[6]),
    "forecast-known": daily(),
}
