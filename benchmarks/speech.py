"""Speech on small published corpora: GRID's commands, FSDD's digits, and yesno.

    python benchmarks/speech.py grid --data DATA/grid_s1 --threads 1
    python benchmarks/speech.py fsdd --data DATA/fsdd
    python benchmarks/speech.py fsdd --data DATA/fsdd --speaker theo
    python benchmarks/speech.py yesno --data DATA/yesno

DATA is the folder of the stored sets. Sound is unpacked into --out with manifests beside it, and a model is trained on
the published training split and reported on --split, by default dev. GRID has the split of clips.tsv; for FSDD a hash
of the file names holds out a tenth of the training part, and for yesno a sixth is held out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.tasks import Model, load, train
from unrolled.tasks.outputs.text.ctc.results import Transcript
from unrolled.training import make_reporter

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")
#: a sound file relative to the manifest, and the text spoken in it
Rows = list[tuple[str, str]]


def unpacked(archive: Path, out: Path) -> list[str]:
    """Unpack the sounds of an archive into a folder without subfolders, and return their names in sorted order."""
    out.mkdir(parents=True, exist_ok=True)
    names = []
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            name = Path(info.filename).name
            if name.endswith(".wav") and not name.startswith("."):
                names.append(name)
                if not (out / name).is_file():
                    (out / name).write_bytes(packed.read(info))
    return sorted(names)


def grid(args: argparse.Namespace, out: Path) -> dict[str, Rows]:
    """Return the split of clips.tsv, 400 / 50 / 50."""
    unpacked(args.data / "audio_16k.zip", out / "audio")
    parts: dict[str, Rows] = {"train": [], "dev": [], "test": []}
    for line in (args.data / "clips.tsv").read_text("utf-8").splitlines()[1:]:
        name, part, _, _, text = line.split("\t")
        parts["dev" if part == "valid" else part].append((f"audio/{name}.wav", text))
    return parts


def fsdd(args: argparse.Namespace, out: Path) -> dict[str, Rows]:
    """Return recordings 0–4 as the test and 5–49 for training; or one speaker as the test and the rest for training."""
    parts: dict[str, Rows] = {"train": [], "dev": [], "test": []}
    for name in unpacked(args.data / "recordings.zip", out / "audio"):
        digit, speaker, number = name.removesuffix(".wav").split("_")
        is_test = int(number) < 5 if args.speaker is None else speaker == args.speaker
        part = "test" if is_test else "dev" if held_out(name) else "train"
        parts[part].append((f"audio/{name}", DIGITS[int(digit)]))
    return parts


def yesno(args: argparse.Namespace, out: Path) -> dict[str, Rows]:
    """Return the first 31 for training, every sixth of them for development, and the last 29 for the test."""
    names = unpacked(args.data / "waves_yesno.zip", out / "audio")
    parts: dict[str, Rows] = {"train": [], "dev": [], "test": []}
    for n, name in enumerate(names):
        words = ["yes" if bit == "1" else "no" for bit in name.removesuffix(".wav").split("_")]
        part = "test" if n >= 31 else "dev" if n % 6 == 5 else "train"
        parts[part].append((f"audio/{name}", " ".join(words)))
    return parts


def held_out(name: str) -> bool:
    """Return whether a name is in the held-out tenth, which does not depend on the other names."""
    return hashlib.sha256(name.encode()).digest()[0] < 26


def written(parts: dict[str, Rows], out: Path) -> dict[str, Path]:
    """Write a manifest for each part, and return the paths."""
    paths = {}
    for part, rows in parts.items():
        paths[part] = out / f"{part}.jsonl"
        paths[part].write_text("".join(json.dumps({"audio": a, "text": t}) + "\n" for a, t in rows), "utf-8")
    return paths


def word_times(model: Model, rows: Rows, out: Path, align: Path) -> dict[str, Any]:
    """Return how far the times of correctly recognised words are from GRID's own alignment, in seconds."""
    begins, ends, inside, count = [], [], 0, 0
    with zipfile.ZipFile(align) as packed:
        members = {Path(n).stem: n for n in packed.namelist() if n.endswith(".align")}
        for audio, text in rows:
            transcript: Transcript = model.predict(out / audio)
            if transcript.text != text:
                continue
            lines = packed.read(members[Path(audio).stem]).decode().splitlines()
            spans = [line.split() for line in lines]
            said = [(int(a) / 25_000, int(b) / 25_000) for a, b, word in spans if word not in ("sil", "sp")]
            for word, (begin, end) in zip(transcript.words, said, strict=True):
                begins.append(abs(word.begin - begin))
                ends.append(abs(word.end - end))
                inside += begin <= (word.begin + word.end) / 2 <= end
                count += 1
    if not count:
        return {"words": 0}
    return {
        "words": count,
        "middle_inside": inside / count,
        "begin_error": float(np.mean(begins)),
        "end_error": float(np.mean(ends)),
    }


SETS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Rows]]] = {"grid": grid, "fsdd": fsdd, "yesno": yesno}
TITLES = {
    "grid": "GRID, one speaker: commands from sound",
    "fsdd": "FSDD: spoken digits",
    "yesno": "yesno: eight words",
}
GOALS = {"grid": "WER ≤ 5 %", "fsdd": "≥ 98.5 % accuracy", "yesno": "reported"}
PUBLISHED = {
    "grid": {"LipNet, whole corpus, from lips": "WER 4.8 % (Assael et al. 2016, from memory of the paper)"},
    "fsdd": {"commonly reported": "97–99 %"},
    "yesno": {"Kaldi's GMM-HMM recipe": "WER 0 %"},
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of these runs."""
    parser.add_argument("set", choices=tuple(SETS))
    parser.add_argument("--speaker", choices=SPEAKERS, default=None, help="speaker of FSDD to hold out as the test")
    parser.add_argument("--name", default=None, help="name of the model's folder")
    parser.add_argument("--evaluate-only", action="store_true", help="use an already trained model")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the task")
    parser.add_argument("--training", action="append", default=[], metavar="NAME=VALUE", help="option of training")
    parser.add_argument("--decoding", action="append", default=[], metavar="NAME=VALUE", help="option of evaluation")


def read_values(pairs: list[str]) -> dict[str, Any]:
    """Parse NAME=VALUE pairs, whose values are JSON or plain text."""
    values = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def main() -> None:
    """Convert, train, evaluate, write the result."""
    parser = arguments(__doc__ or "")
    add_options(parser)
    args = parsed(parser)
    name = args.set if args.speaker is None else f"{args.set}-without-{args.speaker}"
    out = args.out / args.set if args.speaker is None else args.out / name
    parts = SETS[args.set](args, out)
    manifests = written(parts, out)
    folder = out / (args.name or "model")
    if args.evaluate_only:
        model = load(folder)
    else:
        model = train(
            "transcribe",
            manifests["train"],
            folder,
            dev=manifests["dev"],
            resume=args.resume,
            options=read_values(args.option),
            reporter=make_reporter(),
            minutes=args.minutes,
            seed=args.seed,
            **read_values(args.training),
        )
    searching = read_values(args.decoding)
    evaluation = model.evaluate(manifests[args.split], **searching)
    metrics, beside = evaluation.metrics, evaluation.baseline
    counts = " / ".join(str(len(parts[part])) for part in ("train", "dev", "test"))
    if args.set == "fsdd":
        measured = f"**{100 * (1 - metrics['sentence_error']):.1f} %** right, WER {100 * metrics['wer']:.1f} %"
        baseline = f"{100 * (1 - beside['sentence_error']):.1f} % right, always the same digit"
    else:
        measured = f"**{100 * metrics['wer']:.1f} %** WER, CER {100 * metrics['cer']:.1f} %"
        baseline = f"{100 * beside['wer']:.1f} % WER, always the most frequent transcript"
    more = {"times": word_times(model, parts[args.split], out, args.data / "align.zip")} if args.set == "grid" else {}
    held = f", speaker {args.speaker} held out" if args.speaker else ""
    write_result(
        f"speech-{name}",
        args,
        model,
        evaluation,
        title=f"{TITLES[args.set]}{held}",
        data=f"{args.set}, train / dev / test {counts}, splits as `benchmarks/speech.py` says",
        measured=measured,
        beside=baseline,
        goal=GOALS[args.set] if args.speaker is None else "reported",
        published=PUBLISHED[args.set],
        decoding=searching,
        **more,
    )


if __name__ == "__main__":
    main()
