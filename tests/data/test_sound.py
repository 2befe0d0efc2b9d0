"""Sound files, resampling and log-mel frames: against other libraries, by hand, and whole against in pieces."""

from __future__ import annotations

import cmath
import io
import math
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.sound import files as sound_module
from unrolled.data.sound.files import Sound, as_samples, read_header, read_sound
from unrolled.data.sound.resampling import Resampler, resampled
from unrolled.data.sound.spectrograms import FLOOR, LogMel, Variation, varied
from unrolled.errors import ArgumentError, DataError, MissingDependencyError, ShapeError, StorageError

soundfile = pytest.importorskip("soundfile")


def tone(frequency: float, rate: int, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate).astype(np.float32) * np.float32(0.5)


@pytest.fixture
def without_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)


# Files


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_is_read_alike_with_and_without_soundfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: str, channels: int
) -> None:
    draw = np.random.default_rng(1)
    samples = draw.uniform(-1, 1, (400, channels))
    path = tmp_path / "a.wav"
    # plain format tags, as the standard library reads them
    soundfile.write(path, samples, 11025, subtype=subtype, format="WAV")
    ours = read_sound(path)
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert ours.rate == rate == 11025
    np.testing.assert_allclose(ours.samples, expected.mean(axis=1), atol=1e-7)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    plain = read_sound(path)
    np.testing.assert_array_equal(plain.samples, ours.samples)
    assert read_header(path) == (11025, channels, 400)


def test_flac_and_parts(tmp_path: Path) -> None:
    samples = tone(300, 16000, 0.5)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    whole = read_sound(tmp_path / "a.flac")
    np.testing.assert_allclose(whole.samples, samples, atol=2 / 32768)
    part = read_sound(tmp_path / "a.flac", begin=0.1, end=0.25)
    np.testing.assert_array_equal(part.samples, whole.samples[1600:4000])
    assert len(read_sound(tmp_path / "a.flac", begin=0.4, end=9).samples) == 1600
    with pytest.raises(DataError, match=r"no sound from 0\.6 to 0\.5 s; it lasts 0\.5 s"):
        read_sound(tmp_path / "a.flac", begin=0.6)
    assert whole.seconds == 0.5
    assert read_sound(io.BytesIO((tmp_path / "a.flac").read_bytes()), "memory").rate == 16000


@pytest.mark.usefixtures("without_soundfile")
def test_what_needs_soundfile_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(MissingDependencyError, match=r"soundfile.*unrolled\[sound\]"):
        read_sound(tmp_path / "a.flac")
    # format 3: floating point
    (tmp_path / "f.wav").write_bytes(wav_bytes(np.zeros(8, np.float32).tobytes(), format=3, bits=32))
    with pytest.raises(MissingDependencyError, match=r"soundfile"):
        read_sound(tmp_path / "f.wav")


def wav_bytes(data: bytes, *, format: int = 1, bits: int = 16, rate: int = 8000, channels: int = 1) -> bytes:
    width = bits // 8 * channels
    head = format.to_bytes(2, "little") + channels.to_bytes(2, "little") + rate.to_bytes(4, "little")
    head += (rate * width).to_bytes(4, "little") + width.to_bytes(2, "little") + bits.to_bytes(2, "little")
    body = b"WAVEfmt " + len(head).to_bytes(4, "little") + head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("has_library", [True, False])
@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "the file is empty"),
        (wav_bytes(b""), "no sample in it"),
        (wav_bytes(bytes(2000))[:-500], r"cut short: 1544 of 2044 bytes"),
        (wav_bytes(bytes(2000), rate=7), "7 Hz make no sense|damaged|not a"),
        (b"RIFF\x10\0\0\0WAVEjunk" + bytes(8), "damaged|not a"),
    ],
)
def test_what_is_no_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str, has_library: bool
) -> None:
    if not has_library:
        monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_sound(tmp_path / "a.wav")
    assert str(caught.value).startswith(str(tmp_path / "a.wav"))


def test_more_that_is_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("this is no sound at all, is it?")
    with pytest.raises(DataError, match="not a sound file"):
        read_sound(tmp_path / "a.txt")
    with pytest.raises(StorageError, match=r"missing\.wav: no such file"):
        read_sound(tmp_path / "missing.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan, 1.0]), 8000, subtype="FLOAT")
    with pytest.raises(DataError, match="sample 1 is NaN"):
        read_sound(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "long.flac", np.zeros(9000), 8000)
    monkeypatch.setattr(sound_module, "MOST_SAMPLES", 8000)
    with pytest.raises(DataError, match="no more than 8,000 samples are decoded"):
        read_sound(tmp_path / "long.flac")
    flac = (tmp_path / "long.flac").read_bytes()
    draw = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.flac", draw.uniform(-1, 1, 8000), 8000)
    flac = (tmp_path / "noise.flac").read_bytes()
    (tmp_path / "noise.flac").write_bytes(flac[: len(flac) // 2])
    with pytest.raises(DataError, match=r"damaged|cut short|not a sound file"):
        read_sound(tmp_path / "noise.flac")


def test_samples_of_other_kinds() -> None:
    assert as_samples(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]
    assert as_samples(np.array([[0.5, -0.5], [1.0, 0.0]])).tolist() == [0.0, 0.5]
    assert Sound([0.25, 0.25], 8000).is_silent
    assert not Sound([0.25, 0.5], 8000).is_silent
    with pytest.raises(ShapeError, match=r"samples: expected shape \(N,\) or \(N, C ≤ 32\), found \(1, 1, 1\)"):
        as_samples(np.zeros((1, 1, 1)))
    with pytest.raises(ArgumentError, match="floating point or signed integers, found uint8"):
        as_samples(np.zeros(4, np.uint8))
    with pytest.raises(ArgumentError, match="sample 1 is NaN or infinite"):
        as_samples([0.0, np.inf])
    for rate in (0, 100, 10**7, 8000.5, True, "8000"):
        with pytest.raises(ArgumentError, match="rate: expected"):
            Sound([0.0], rate)  # type: ignore[arg-type]


# Rates


def test_a_sound_says_how_many_channels_it_had() -> None:
    assert Sound(np.zeros((8, 3)), 8000).channels == 3
    assert Sound(np.zeros(8), 8000).channels == 1


@pytest.mark.parametrize("rate, to", [(44100, 16000), (8000, 16000), (48000, 16000), (22050, 16000), (16000, 44100)])
def test_a_tone_stays_the_same_tone(rate: int, to: int) -> None:
    found = Resampler(rate, to)(tone(440, rate, 0.2))
    expected = tone(440, to, 0.2)
    assert len(found) == len(expected)
    # within 0.02 s of the ends there is silence beside it
    margin = to // 50
    np.testing.assert_allclose(found[margin:-margin], expected[margin:-margin], atol=2e-5)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    found = Resampler(44100, 16000)(tone(9000, 44100, 0.2))
    assert np.abs(found[300:-300]).max() < 1e-5
    # just below half the rate it stays
    assert np.abs(Resampler(44100, 16000)(tone(7000, 44100, 0.2))[300:-300]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate, to", [(44100, 16000), (8000, 16000), (16000, 16000), (11025, 8000)])
def test_resampling_in_pieces_gives_the_same_bits(rate: int, to: int) -> None:
    draw = np.random.default_rng(3)
    samples = draw.normal(size=5000).astype(np.float32)
    resampler = Resampler(rate, to)
    pieces, state, at = [], resampler.start(), 0
    while at < len(samples):
        size = int(draw.integers(0, 700))
        piece, state = resampler.push(samples[at : at + size], state)
        pieces.append(piece)
        at += size
    pieces.append(resampler.finish(state))
    np.testing.assert_array_equal(np.concatenate(pieces), resampler(samples))
    assert len(resampler(samples[:1])) == -(-to // rate)
    assert len(resampler(samples[:0])) == 0


def test_a_sound_of_the_right_rate_is_left_alone() -> None:
    sound = Sound([0.0, 0.5], 8000)
    assert resampled(sound, 8000) is sound
    assert resampled(sound, 16000).rate == 16000


# Frames


def test_a_frame_by_hand() -> None:
    mel = LogMel(1000, 3, window=0.006, hop=0.003, low=0.0, preemphasis=0.9)
    assert (mel.width, mel.step, mel.points) == (6, 3, 8)
    samples = [0.1, -0.2, 0.3, 0.0, 0.5, -0.1, 0.2, 0.4, -0.3]
    rows = []
    for start in (0, 3):
        x = samples[start : start + 6]
        mean = sum(x) / 6
        x = [v - mean for v in x]
        x = [x[n] - 0.9 * x[max(0, n - 1)] for n in range(6)]
        x = [v * (0.5 - 0.5 * math.cos(2 * math.pi * n / 6)) for n, v in enumerate(x)]
        power = [abs(sum(v * cmath.exp(-2j * math.pi * k * n / 8) for n, v in enumerate(x))) ** 2 for k in range(5)]

        def to_mel(f: float) -> float:
            return 2595 * math.log10(1 + f / 700)

        width = to_mel(500) / 4
        energies = [
            sum(p * max(0, 1 - abs(to_mel(125 * k) - (band + 1) * width) / width) for k, p in enumerate(power))
            for band in range(3)
        ]
        rows.append([math.log(e + FLOOR) for e in energies])
    np.testing.assert_allclose(mel(np.array(samples, np.float32)), rows, rtol=1e-5)


def test_a_tone_is_loudest_in_its_band() -> None:
    mel = LogMel(16000, 40)
    edges = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), 42)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    for frequency in (300.0, 1000.0, 5000.0):
        loudest = mel(tone(frequency, 16000, 0.1)).mean(axis=0).argmax()
        assert loudest == np.abs(centres - frequency).argmin()


def test_silence_is_even_and_loudness_is_a_shift() -> None:
    mel = LogMel(8000, 20)
    np.testing.assert_allclose(mel(np.zeros(1000, np.float32)), math.log(FLOOR), rtol=1e-6)
    loud = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    np.testing.assert_allclose(mel(loud) - mel(loud / 10), math.log(100), atol=2e-2)


@pytest.mark.parametrize("samples, frames", [(0, 0), (199, 0), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_how_many_frames(samples: int, frames: int) -> None:
    mel = LogMel(8000, 20)
    assert mel.count(samples) == frames
    assert mel(np.zeros(samples, np.float32)).shape == (frames, 20)


def test_frames_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    samples = draw.normal(size=9000).astype(np.float32)
    mel = LogMel(8000, 24)
    whole = mel(samples)
    pieces, tail, at = [], None, 0
    while at < len(samples):
        size = int(draw.integers(0, 500))
        frames, tail = mel.push(samples[at : at + size], tail)
        pieces.append(frames)
        at += size
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr("unrolled.data.sound.spectrograms.BLOCK", 7)
    np.testing.assert_allclose(mel(samples), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"bands": 200}, "bands: 200 between 20 and 4000 Hz are too many"),
        ({"high": 5000}, "low, high: expected"),
        ({"low": -1}, "low, high: expected"),
        ({"hop": 0.5}, "window, hop: expected"),
        ({"preemphasis": 1.0}, "preemphasis: expected"),
    ],
)
def test_spectrograms_that_make_no_sense(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        LogMel(**{"rate": 8000, "bands": 20, **settings})


# Variation


def test_variation_is_drawn_and_bounded() -> None:
    mel = LogMel(8000, 20)
    frames = mel(tone(500, 8000, 1.0) + np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.01)
    before, blank = frames.copy(), np.full(20, 7.0, np.float32)
    how = Variation(noise=0.5)
    one, two, again = (varied(frames, mel, how, np.random.default_rng(s), blank) for s in (1, 2, 1))
    np.testing.assert_array_equal(one, again)
    assert one.shape != two.shape or not np.array_equal(one, two)
    np.testing.assert_array_equal(frames, before)
    for seed in range(30):
        found = varied(frames, mel, how, np.random.default_rng(seed), blank, least=95)
        assert 95 <= len(found) <= round(98 * 1.1)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        hidden = found == 7
        assert hidden.all(axis=0).sum() <= 8
        assert hidden.all(axis=1).sum() <= 0.2 * len(found) + 1
    still = Variation(speed=0, gain=0, noise=0, time=0, band=0)
    np.testing.assert_allclose(varied(frames, mel, still, np.random.default_rng(0), blank), frames, rtol=1e-5)


def test_faster_is_higher() -> None:
    mel = LogMel(8000, 40)
    low, high = mel(tone(1000, 8000, 0.5)).mean(0).argmax(), mel(tone(1200, 8000, 0.5)).mean(0).argmax()
    # what comes into the band of 1200 Hz when all is 1.2 times as fast
    assert mel.bands_at(1.2)[high] == pytest.approx(low, abs=0.6)
    np.testing.assert_allclose(mel.bands_at(1.0), np.arange(40), atol=1e-9)


def test_real_recordings(real_data: Path) -> None:
    if not (real_data / "grid_s1" / "audio_16k.zip").is_file():
        pytest.skip("no GRID here")
    with zipfile.ZipFile(real_data / "grid_s1" / "audio_16k.zip") as packed:
        name = sorted(n for n in packed.namelist() if n.endswith(".wav"))[0]
        found = read_sound(io.BytesIO(packed.read(name)), name)
    assert (found.rate, found.is_silent) == (16000, False)
    frames = LogMel(16000, 64)(found.samples)
    assert frames.shape == (1 + (len(found.samples) - 400) // 160, 64)
    assert frames.std() > 1


def test_ragged_samples_are_refused() -> None:
    with pytest.raises(ArgumentError, match="samples: expected an array of numbers, found rows of several lengths"):
        as_samples([[0.0, 0.1], [0.2]])
