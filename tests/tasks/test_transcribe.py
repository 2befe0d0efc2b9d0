"""`transcribe` from manifests to transcripts: words are tones here, so that a tiny network learns them in seconds."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from unrolled.data import Findings
from unrolled.data.sound import Sound, read_sound
from unrolled.errors import ArgumentError, DataError, ModelError, StateError, StorageError
from unrolled.tasks import Model, Sources, load, task_named, train
from unrolled.tasks.transcribe_encoders import SpeechEncoders, speech_spans
from unrolled.tasks.transcribe_predictions import Transcript

TONES = {"do": 400.0, "re": 800.0, "mi": 1500.0}
RATE = 8000
TINY: dict[str, Any] = {"hidden_size": 24, "num_layers": 1, "bands": 16, "batch_size": 4, "dropout": 0.0}
FAST: dict[str, Any] = {"lr": 0.02, "log_every": 1, "evaluate_every": 100, "sample_every": 0, "averaging": "none"}
MILD: dict[str, Any] = {"input_dropout": 0.175, "speed": 0.05, "noise": 0.0, "hide_time": 0.0, "hide_bands": 0.0}


def spoken(words: list[str], draw: np.random.Generator, rate: int = RATE) -> np.ndarray:
    parts = [np.zeros(rate // 20)]
    for word in words:
        t = np.arange(round(rate * draw.uniform(0.11, 0.15))) / rate
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * t), np.zeros(rate // 20)]
    whole = np.concatenate(parts)
    return np.asarray(whole + draw.normal(size=len(whole)) * 0.003, np.float32)


def save(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    stereo = samples if samples.ndim == 2 else samples[:, None]
    with wave.open(str(path), "wb") as file:
        file.setparams((stereo.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes((stereo * 32767).round().astype("<i2").tobytes())


def manifest(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"audio": a, "text": t}) + "\n" for a, t in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.jsonl and dev.jsonl beside their sound."""
    folder, draw = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for part, count in (("train", 30), ("dev", 6)):
        rows = []
        for n in range(count):
            words = [str(w) for w in draw.choice(list(TONES), size=int(draw.integers(1, 4)))]
            save(folder / f"{part}{n}.wav", spoken(words, draw))
            rows.append((f"{part}{n}.wav", " ".join(words)))
        manifest(folder / f"{part}.jsonl", rows)
    return folder


def learn(corpus: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    chosen = {**TINY, **MILD, **(options or {})}
    dev = given.pop("dev", corpus / "dev.jsonl")
    path = given.pop("path", corpus / "train.jsonl")
    return train("transcribe", path, out, dev=dev, options=chosen, **{**FAST, "steps": 3, "seed": 5, **given})


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Models loaded from their folders, trained when first asked for. Not to be changed."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {"words": {}, "causal": {"bidirectional": False, "units": "characters", "hidden_size": 32}}

    def model(kind: str) -> Model:
        if not (folder / kind).exists():
            learn(corpus, folder / kind, options=kinds[kind], steps=160 if kind == "words" else 260)
        return load(folder / kind)

    return model


def losses(folder: Path, split: str = "train") -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == split]


# From files to transcripts


def test_it_learns_what_it_hears(trained: Callable[[str], Model], corpus: Path) -> None:
    model = trained("words")
    encoders: SpeechEncoders = model.encoders
    assert (encoders.units, encoders.vocabulary, encoders.mel.rate) == ("words", ("", "do", "mi", "re"), RATE)
    found = json.loads(json.dumps(model.evaluate(corpus / "dev.jsonl").as_json()))
    assert found["metrics"]["wer"] == found["metrics"]["cer"] == 0
    assert found["metrics"]["texts"] == 6
    assert found["baseline"]["model"] == "most frequent transcript"
    assert found["baseline"]["wer"] > 0.3


def test_a_transcript(trained: Callable[[str], Model]) -> None:
    model = trained("words")
    samples = spoken(["mi", "do", "re"], np.random.default_rng(9))
    found = model.predict((samples, RATE), n_best=3)
    assert isinstance(found, Transcript)
    assert str(found) == found.text == "mi do re"
    assert [w.text for w in found.words] == ["mi", "do", "re"]
    begins = [w.begin for w in found.words]
    assert begins == sorted(begins)
    # a tone lasts 0.13 s or so, a pause 0.05: the middle of each word lies in or near its tone
    for n, word in enumerate(found.words):
        assert 0 <= word.begin < word.end <= found.seconds + 0.03
        assert abs((word.begin + word.end) / 2 - (0.115 + 0.18 * n)) < 0.12
        assert 0.5 < word.confidence <= 1
    assert found.alternatives[0].text == "mi do re"
    assert len({a.text for a in found.alternatives}) == 3
    scores = [a.score for a in found.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([a.log_prob for a in found.alternatives])
    assert found.score == scores[0] < 0
    said = json.loads(json.dumps(found.as_json()))
    assert set(said) == {"text", "words", "log_prob", "score", "alternatives", "seconds", "notes"}
    assert said["words"][0]["text"] == "mi"
    assert "<span title=" in found._repr_html_()


def test_what_can_be_transcribed(trained: Callable[[str], Model], corpus: Path, tmp_path: Path) -> None:
    model = trained("words")
    path = corpus / "dev0.wav"
    sound = read_sound(path)
    one = model.predict(path)
    for given in (str(path), sound, (sound.samples, RATE), (sound.samples.astype(np.float64), np.int64(RATE))):
        assert model.predict(given) == one
    assert model.predict([path, sound], beam_size=1)[1].text == one.text
    save(tmp_path / "stereo.wav", np.stack([sound.samples, sound.samples], 1))
    stereo = model.predict(tmp_path / "stereo.wav")
    assert (stereo.text, stereo.notes) == (one.text, ("2 channels were mixed into one",))
    high = spoken(one.text.split(), np.random.default_rng(3), 22050)
    assert model.predict((high, 22050)).text == one.text
    assert model.predict((high, 22050)).notes == ("resampled from 22050 to 8000 Hz",)
    silent = model.predict((np.zeros(4000), RATE))
    assert (silent.text, silent.words, silent.notes) == ("", (), ("silent throughout",))


def test_what_can_not(trained: Callable[[str], Model], tmp_path: Path) -> None:
    model = trained("words")
    save(tmp_path / "short.wav", np.zeros(10))
    with pytest.raises(DataError, match=r"short\.wav: sound: .* ms are too short"):
        model.predict(tmp_path / "short.wav")
    with pytest.raises(ArgumentError, match="12 ms are too short, a frame covers 25 ms"):
        model.predict((np.zeros(100), RATE))
    with pytest.raises(
        ArgumentError, match=r"expected the path of a sound file, a Sound, or \(samples, rate\), found dict"
    ):
        model.predict([{}])
    with pytest.raises(StorageError, match="no such file"):
        model.predict(tmp_path / "none.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFFnothing of the kind")
    with pytest.raises(DataError, match=r"bad\.wav: "):
        model.predict(tmp_path / "bad.wav")
    with pytest.raises(ArgumentError, match="--beam-size"):
        model.predict(tmp_path / "none.wav", beam_size=0)
    with pytest.raises(ArgumentError, match="both directions; train one with --no-bidirectional"):
        model.stream()


@pytest.mark.parametrize("kind", ["words", "causal"])
def test_neighbours_and_padding_change_nothing(trained: Callable[[str], Model], corpus: Path, kind: str) -> None:
    from unrolled.tasks.transcribe_decoding import log_probabilities

    model = trained(kind)
    frames = [model.encoders.frames(read_sound(corpus / f"dev{n}.wav")) for n in range(6)]
    assert len({len(f) for f in frames}) > 2
    for together, one in zip(log_probabilities(model, frames), frames, strict=True):
        np.testing.assert_allclose(together, log_probabilities(model, [one])[0], atol=1e-4)


def test_a_language_model_and_a_lexicon(trained: Callable[[str], Model], tmp_path: Path) -> None:
    model = trained("words")
    # here "do" is always followed by "re"
    (tmp_path / "lines.txt").write_text("do re\nmi\ndo re mi\nmi do re\n" * 40)
    options = {"hidden_size": 24, "num_layers": 1, "embedding_size": 8, "batch_size": 4, "window": 24, "dropout": 0.0}
    train(
        "generate", tmp_path / "lines.txt", tmp_path / "lm", dev=tmp_path / "lines.txt", steps=150, lr=0.02,
        evaluate_every=0, sample_every=0, options={"tokens": "char", "coverage": 0.3, **options},
    )  # fmt: skip
    samples = spoken(["do", "mi"], np.random.default_rng(4))
    alone = model.predict((samples, RATE), n_best=4)
    assert alone.text == "do mi"
    swayed = model.predict((samples, RATE), language_model=tmp_path / "lm", weight=20.0, beam_size=16, n_best=4)
    assert swayed.text != "do mi"
    by_text = {a.text: a for a in swayed.alternatives}
    for a in alone.alternatives:
        if a.text in by_text:
            assert by_text[a.text].log_prob == pytest.approx(a.log_prob, abs=1e-6)
    light = model.predict((samples, RATE), language_model=tmp_path / "lm", weight=0.0)
    assert light.text == "do mi"
    (tmp_path / "words.txt").write_text("Do\nre\n")
    limited = model.predict((samples, RATE), lexicon=tmp_path / "words.txt")
    assert "mi" not in limited.text
    letters = trained("causal").predict((samples, RATE), lexicon=tmp_path / "words.txt", beam_size=16)
    assert set(letters.text.split()) <= {"do", "re"}
    with pytest.raises(ArgumentError, match="holds a model of the task 'transcribe', not 'generate'"):
        model.predict((samples, RATE), language_model=model.folder)


# Streams


def test_in_pieces_as_in_one(trained: Callable[[str], Model]) -> None:
    model, draw = trained("causal"), np.random.default_rng(11)
    words = ["re", "do", "mi", "re", "do"]
    for rate in (RATE, 11025):
        samples = spoken(words, draw, rate)
        whole = model.predict((samples, rate), beam_size=1)
        assert whole.text.replace(" ", "") == "".join(words)
        session, found, at = model.stream(), [], 0
        while at < len(samples):
            size = int(draw.integers(1, 900))
            found += session.push(samples[at : at + size], rate)
            at += size
        early = len(found)
        found += session.finish()
        assert tuple(found) == session.words
        assert [(w.text, w.begin, w.end) for w in found] == [(w.text, w.begin, w.end) for w in whole.words]
        assert [w.confidence for w in found] == pytest.approx([w.confidence for w in whole.words], abs=1e-3)
        assert early >= 1
        assert session.seconds == pytest.approx(len(samples) / rate)


def test_sessions_fork_save_and_begin_again(trained: Callable[[str], Model], tmp_path: Path) -> None:
    model = trained("causal")
    samples = spoken(["re", "do", "mi"], np.random.default_rng(12), 11025)
    session = model.stream()
    session.push(samples[:2500], 11025)
    fork = session.fork()
    session.save(tmp_path / "state")
    session.push(samples[2500:], 11025)
    assert session.transcript().text == model.predict((samples, 11025), beam_size=1).text
    assert session.transcript().text.replace(" ", "") == "redomi"
    assert session.transcript().as_json()["log_prob"] is None
    assert len(fork.words) < 3
    loaded = model.stream().load(tmp_path / "state")
    for other in (fork, loaded):
        other.push(samples[2500:], 11025)
        other.finish()
        assert other.transcript() == session.transcript()
    with pytest.raises(ArgumentError, match="it was finished"):
        fork.push(samples, 11025)
    assert fork.finish() == []
    assert fork.reset().words == ()
    begun = model.stream()
    begun.push(samples, 11025)
    with pytest.raises(ArgumentError, match="the stream began with 11025 Hz, found 8000"):
        begun.push(samples)
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-9])
    with pytest.raises(StateError):
        model.stream().load(tmp_path / "state")
    empty = model.stream()
    assert empty.finish() == []
    assert empty.transcript().text == ""


# The course of training


def test_speech_is_found_between_silences() -> None:
    frames = torch.full((12, 2, 3), -8.0)
    frames[3:7, 0] = 1.0
    frames[7, 0] = -6.0
    # beyond the end of the second there is only padding
    frames[1:5, 1] = 0.0
    frames[5:, 1] = float("nan")
    assert speech_spans(frames, torch.tensor([12, 5])).tolist() == [[3, 6], [1, 4]]
    # of silence, everything
    assert speech_spans(torch.zeros(4, 1, 3), torch.tensor([4])).tolist() == [[0, 3]]


def test_a_flat_start_lasts_as_long_as_was_planned(corpus: Path, tmp_path: Path) -> None:
    plain = learn(corpus, tmp_path / "none", options={"flat_start": 0}, steps=4, schedule="constant")
    flat = learn(corpus, tmp_path / "two", options={"flat_start": 2}, steps=4, schedule="constant")
    usual = learn(corpus, tmp_path / "usual", steps=30)
    found = [int(model.config.batching["flat_start"]) for model in (plain, flat, usual)]
    assert found == [0, 2, 3]
    # the even alignment is worth less than ln K + smoothing a step, CTC's first losses are more than that a unit
    first, second = losses(tmp_path / "none"), losses(tmp_path / "two")
    assert max(second[:2]) < 2.5 < min(first[:2])
    assert min(second[2:]) > 2.5


def test_a_flat_start_leaves_time_for_ctc(corpus: Path, tmp_path: Path) -> None:
    model = learn(corpus, tmp_path / "m", minutes=0.04, steps=None)
    assert model.config.batching["flat_start"] == 1


def test_overfits_a_tiny_batch(corpus: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()][:3]
    path = manifest(tmp_path / "three.jsonl", [(str(corpus / row["audio"]), row["text"]) for row in rows])
    learn(corpus, tmp_path / "m", path=path, dev=path, steps=90, options={"augment": False, "units": "characters"})
    found = losses(tmp_path / "m")
    assert found[0] > 2
    assert found[-1] < 0.05


def test_the_first_ten_steps_are_as_they_were(corpus: Path, tmp_path: Path) -> None:
    learn(corpus, tmp_path / "m", options={"flat_start": 0}, steps=10, schedule="constant", lr=0.005)
    assert losses(tmp_path / "m") == pytest.approx(GOLDEN, rel=5e-3)


GOLDEN = [4.3148, 4.8707, 4.4516, 2.8299, 1.7861, 1.5642, 1.5335, 1.4304, 1.4365, 1.4418]


def test_resumed_equals_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    # stopped in the middle of the flat start
    options = {"dropout": 0.2, "noise": 0.5, "hide_time": 0.2, "hide_bands": 0.2, "flat_start": 7}
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "averaging": "ema", "options": options}
    learn(corpus, tmp_path / "whole", steps=10, **given)
    learn(corpus, tmp_path / "parts", steps=5, **given)
    learn(corpus, tmp_path / "parts", steps=10, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_model_saved_elsewhere_is_the_same(trained: Callable[[str], Model], corpus: Path, tmp_path: Path) -> None:
    model = trained("words")
    model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    path = corpus / "dev1.wav"
    assert copy.predict(path) == model.predict(path)
    assert copy.evaluate(corpus / "dev.jsonl").baseline == model.evaluate(corpus / "dev.jsonl").baseline
    labels = tmp_path / "copy" / "labels.json"
    whole = json.loads(labels.read_text())
    for change in ({"vocabulary": ["", "do", "do"]}, {"stride": "3"}, {"units": "syllables"}, {"mel": {"rate": 8000}}):
        labels.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ModelError, match=r"labels\.json: corrupt"):
            load(tmp_path / "copy")
    labels.write_text(json.dumps({**whole, "stride": 2}))
    with pytest.raises(ModelError, match="made for other classes, bands and stride"):
        load(tmp_path / "copy")


# What may be wrong with the data


def check(train_path: Path, dev: Path | None = None, **options: Any) -> tuple[list[tuple[str, str]], list[str]]:
    task = task_named("transcribe")
    findings = Findings(strict=False)
    sources = Sources((train_path,), () if dev is None else (dev,))
    task.check(sources, task.options(**options), findings, lambda *told: None)
    return [(item.severity, item.kind) for item in findings.items], [str(item) for item in findings.items]


def test_the_check_finds_it_and_training_names_or_skips_it(corpus: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    good = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()][:8]
    rows = [(str(corpus / row["audio"]), row["text"]) for row in good]
    save(tmp_path / "stereo.wav", np.stack([spoken(["do"], draw)] * 2, 1))
    save(tmp_path / "fast.wav", spoken(["do"], draw, 16000), 16000)
    save(tmp_path / "silent.wav", np.zeros(4000))
    save(tmp_path / "short.wav", np.zeros(100))
    save(tmp_path / "full.wav", spoken(["re"], draw))
    (tmp_path / "torn.wav").write_bytes((corpus / "train0.wav").read_bytes()[:300])
    rows += [("stereo.wav", "do"), ("fast.wav", "do"), ("silent.wav", "do"), ("short.wav", "re")]
    rows += [("torn.wav", "re"), ("full.wav", "do re mi do re mi " * 20), ("silent.wav", "")]
    path = manifest(tmp_path / "m.jsonl", rows)
    dev = manifest(tmp_path / "dev.jsonl", [("full.wav", "fa"), (str(corpus / "dev0.wav"), "do")])
    found, texts = check(path, dev, units="words")
    assert sorted(found) == sorted(
        [
            ("error", "unreadable sound"),
            ("error", "unusable sound"),
            ("error", "unusable sound"),
            ("warning", "empty"),
            ("warning", "leak"),
            ("warning", "several channels"),
            ("warning", "another rate"),
            ("warning", "silent"),
            ("warning", "silent"),
            ("warning", "unseen unit"),
        ]
    )
    joined = "\n".join(texts)
    assert f"{path}:13: error: {tmp_path / 'torn.wav'}: cut short" in joined
    assert f"{path}:12: error: {tmp_path / 'short.wav'}: sound: 12 ms are too short" in joined
    assert f"{path}:14: error: " in joined
    assert "120 words need 120 steps of CTC, and 0.2" in joined
    assert f"{dev}:1: warning: 'fa' never occurs" in joined
    with pytest.raises(DataError, match=r"m\.jsonl:13: .*torn\.wav: cut short"):
        learn(corpus, tmp_path / "m", path=path)
    assert not (tmp_path / "m").exists()
    model = learn(corpus, tmp_path / "m", path=path, options={"skip_bad": True, "units": "words"})
    assert model.config.data["train_examples"] == 12
    with pytest.raises(DataError, match=r"torn\.wav"):
        model.evaluate(path, skip_bad=False)
    # a text too long to be spelled counts as errors
    assert model.evaluate(path).metrics["texts"] == 13


def test_a_text_longer_than_its_sound_ends_training(corpus: Path, tmp_path: Path) -> None:
    path = manifest(
        tmp_path / "m.jsonl", [(str(corpus / "train0.wav"), "do re " * 99), (str(corpus / "train1.wav"), "do")]
    )
    with pytest.raises(DataError, match=r"m\.jsonl:1: 198 words need 198 steps of CTC"):
        learn(corpus, tmp_path / "m", path=path, options={"units": "words"})


@pytest.mark.parametrize(
    "rows, says",
    [
        ([], "empty"),
        ([("train0.wav", ""), ("train1.wav", "…")], "no text in any of the training data's transcripts"),
        ([("train0.wav", "do")], "1 example of one input"),
    ],
)
def test_too_little(corpus: Path, tmp_path: Path, rows: list[tuple[str, str]], says: str) -> None:
    path = manifest(tmp_path / "m.jsonl", [(str(corpus / a), t) for a, t in rows])
    with pytest.raises(DataError, match=says):
        learn(corpus, tmp_path / "m", path=path, dev=())
    assert not (tmp_path / "m").exists()


def test_evaluation_of_nothing(trained: Callable[[str], Model], corpus: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.jsonl", [(str(corpus / "dev0.wav"), "...")])
    with pytest.raises(DataError, match="no word in any transcript"):
        trained("words").evaluate(path)
    with pytest.raises(StorageError, match="no such file"):
        trained("words").evaluate(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    "options, names",
    [
        ({"units": "syllables"}, "--units"),
        ({"stride": 0}, "--stride"),
        ({"rate": 100}, "--rate"),
        ({"bands": 200, "rate": 8000}, "bands: 200"),
        ({"speed": 2.0}, "--speed"),
        ({"dropout": 1.0}, "--dropout"),
    ],
)
def test_options_out_of_range(corpus: Path, tmp_path: Path, options: dict[str, Any], names: str) -> None:
    with pytest.raises(ArgumentError, match=names):
        learn(corpus, tmp_path / "m", options=options)
    assert not (tmp_path / "m").exists()


def test_units_and_stride_are_chosen_by_the_data(corpus: Path, tmp_path: Path) -> None:
    task = task_named("transcribe")
    read = task.read((corpus / "train.jsonl",), task.options(), Findings())  # type: ignore[attr-defined]
    fit = task.fit  # type: ignore[attr-defined]
    assert (fit(read, task.options(), None).units, fit(read, task.options(), None).stride) == ("words", 3)
    few = fit(read[:3], task.options(), None)
    assert few.units == "characters"
    long = manifest(tmp_path / "long.jsonl", [(str(corpus / f"train{n}.wav"), "abcdefghijk" * 2) for n in range(4)])
    dense = fit(task.read((long,), task.options(), Findings()), task.options(), None)  # type: ignore[attr-defined]
    assert dense.stride < 3


def test_per_utterance_features(corpus: Path, tmp_path: Path) -> None:
    model = learn(corpus, tmp_path / "m", options={"per_utterance": True, "bidirectional": False})
    quiet = read_sound(corpus / "dev0.wav")
    frames = [model.encoders.frames(Sound(quiet.samples * scale, RATE)) for scale in (1.0, 0.5)]
    np.testing.assert_allclose(frames[0].mean(axis=0), 0, atol=1e-4)
    assert np.abs(frames[0] - frames[1]).max() < 0.6
    with pytest.raises(ArgumentError, match="standardises whole utterances; train one with --no-per-utterance"):
        model.stream()


def test_a_probe_says_what_each_step_is(trained: Callable[[str], Model], corpus: Path) -> None:
    model = trained("words")
    probe = model.probe(corpus / "dev0.wav")
    assert probe.logits().shape == (len(probe.steps), 4)
    assert len(probe.vectors()) == len(probe.steps)
    said = [probe.classes(int(k)) for k in probe.targets]
    assert model.predict(corpus / "dev0.wav").words[0].text in said
    assert "(blank)" in said
