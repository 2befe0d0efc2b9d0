"""`transcribe` from manifests to transcripts: words are tones here, so that a tiny network learns them in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.sound.files import read_sound
from unrolled.errors import ArgumentError, DataError, StateError, StorageError
from unrolled.tasks import Model, train
from unrolled.tasks.outputs.text.ctc.decode import log_probabilities
from unrolled.tasks.outputs.text.ctc.results import Transcript

from .speech_data import RATE, make_corpus, make_trained, save, spoken


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    return make_trained(corpus, tmp_path_factory.mktemp("models"))


# From files to transcripts


def test_it_learns_what_it_hears(trained: Callable[[str], Model], corpus: Path) -> None:
    model = trained("words")
    spelling = model.output.spelling
    assert (spelling.units, spelling.vocabulary) == ("words", ("", "do", "mi", "re"))
    assert model.input.format.mel.rate == RATE
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
        ArgumentError, match=r"expected the path of a sound file, a Sound, or \(samples, rate\), found int"
    ):
        model.predict([3])
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
    model = trained(kind)
    encoded = [model.input.encode(read_sound(corpus / f"dev{n}.wav")) for n in range(6)]
    assert len({len(one["frames"]) for one in encoded}) > 2
    for together, one in zip(log_probabilities(model, encoded), encoded, strict=True):
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
