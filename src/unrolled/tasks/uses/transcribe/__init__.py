"""`transcribe`: what is said in sound, spelled by a recurrent network with connectionist temporal classification."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleStore, Findings, lengths_of, padded, sorted_batches
from unrolled.data.sound.files import Sound, read_sound
from unrolled.data.sound.spectrograms import Variation, varied
from unrolled.data.sound.transcripts import Utterance, read_transcripts
from unrolled.decoding.ctc import finish_greedily, read_greedily
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import CTC, FlatStart, StackedFrames
from unrolled.metrics.speech import error_rates, speech_metrics
from unrolled.networks import SyncedNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import (
    ExampleTask,
    Material,
    Scored,
    check_common,
    on_device,
    read_json,
    write_json,
)
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import Evaluation, Plan, Progress, Sources
from unrolled.tasks.inputs.sound.encode import (
    SpeechEncoders,
    encode_utterance,
    fit_encoders,
    frames_of,
    read_frames,
    speech_spans,
    steps_needed,
)
from unrolled.tasks.outputs.text.ctc_decode import SIDE_BY_SIDE, Decoder, log_probabilities
from unrolled.tasks.outputs.text.ctc_results import Transcript
from unrolled.tasks.uses.transcribe.plan import (
    DecodingOptions,
    TranscribeEvaluation,
    TranscribeOptions,
    build_transcriber,
    plan_transcriber,
)

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

BASELINE = "baseline.json"
#: utterances shown while it learns
SHOWN = 5
#: longer sound is seldom one utterance, seconds
LONG = 60.0


class Transcribe(ExampleTask):
    """Sound in, text out."""

    name: ClassVar[str] = "transcribe"
    summary: ClassVar[str] = "write down what is said in sound, with the time of each word"
    shape: ClassVar[str] = "synced many-to-many, unaligned"
    options: ClassVar[type[Settings]] = TranscribeOptions
    evaluate_options: ClassVar[type[Settings]] = TranscribeEvaluation
    predict_options: ClassVar[type[Settings]] = DecodingOptions
    reads: ClassVar[Literal["text", "path"]] = "path"
    length_of: ClassVar[str | None] = "frames"
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def read(self, paths: tuple[Path, ...], options: TranscribeOptions, findings: Findings) -> list[Utterance]:
        """LJSpeech, LibriSpeech, Kaldi, JSON lines and tables."""
        return read_transcripts(
            paths,
            findings,
            audio_key=options.audio_key,
            text_key=options.text_key,
            folder=options.audio_folder,
            encoding=options.encoding,
        )

    def check(
        self, sources: Sources, options: TranscribeOptions, findings: Findings, progress: Progress
    ) -> dict[str, Any]:
        """As for every task, and everything is decoded, to find what is damaged, silent, or too short for its text."""
        progress("reading", 0, None)
        parts = [self.read(paths, options, findings) if paths else [] for paths in (sources.train, sources.dev)]
        train, dev = parts
        check_common(train, dev, findings)
        self.check_examples(train, dev, options, findings, progress)
        if any(not utterance.is_empty for utterance in train):
            encoders = self.fit(train, options, progress)
            for name, part in zip(("train", "dev"), parts, strict=True):
                for n, utterance in enumerate(part):
                    progress(f"listening to the {name} data", n, len(part))
                    try:
                        encode_utterance(utterance, encoders)
                        if utterance.sound().is_silent:
                            message = f"{utterance.audio} is silent throughout"
                            findings.warning("silent", message, utterance.path, utterance.line)
                    except DataError as error:
                        findings.caught(error, "unusable sound")
        return {"train": len(train), "dev": len(dev)}

    def check_examples(
        self,
        train: Sequence[Any],
        dev: Sequence[Any],
        options: TranscribeOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Stereo, mixed rates, very long sound, and characters or words that training never saw."""
        everything = [*train, *dev]
        rates = Counter(utterance.header.rate for utterance in everything)
        usual = rates.most_common(1)[0][0] if rates else 0
        for utterance in everything:
            place = (utterance.path, utterance.line)
            if utterance.header.channels > 1:
                message = f"{utterance.audio} has {utterance.header.channels} channels, which are mixed into one"
                findings.warning("several channels", message, *place)
            if utterance.header.rate != usual:
                message = f"{utterance.audio} has {utterance.header.rate} Hz, most have {usual}; it is resampled"
                findings.warning("another rate", message, *place)
            if utterance.seconds > LONG:
                message = f"{utterance.seconds:.0f} s in one piece take much memory; cut it at pauses"
                findings.warning("long sound", message, *place)
        if train and dev and any(not utterance.is_empty for utterance in train):
            encoders = self.fit(train, options, progress)
            for utterance in dev:
                unseen = list(dict.fromkeys(encoders.units_of(encoders.normalised(utterance.text))[1]))
                if unseen:
                    shown = ", ".join(map(repr, unseen[:5]))
                    message = f"{shown} never occurs in the training data's transcripts, and will never be written"
                    findings.warning("unseen unit", message, utterance.path, utterance.line)

    def fit(self, train: Sequence[Any], options: TranscribeOptions, progress: Progress) -> SpeechEncoders:
        """The rate that sound is heard at, and the vocabulary."""
        return fit_encoders(
            train,
            units=options.units,
            text=options.text,
            rate=options.rate,
            bands=options.bands,
            stride=options.stride,
            per_utterance=options.per_utterance,
        )

    def save_encoders(self, encoders: SpeechEncoders, folder: Path) -> None:
        """labels.json."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> SpeechEncoders:
        """labels.json."""
        return SpeechEncoders.load(folder)

    def encode(self, example: Utterance, encoders: SpeechEncoders) -> Arrays:
        """frames (T, F); units (U,); the text as bytes."""
        return encode_utterance(example, encoders)

    def fit_baseline(
        self, train: Sequence[Any], dev: Sequence[Any], encoders: SpeechEncoders, folder: Path, progress: Progress
    ) -> None:
        """The most frequent transcript."""
        counts = Counter(encoders.normalised(utterance.text) for utterance in train)
        write_json(folder / BASELINE, {"text": counts.most_common(1)[0][0]})

    def count(self, train: Sequence[Any], dev: Sequence[Any], encoders: SpeechEncoders) -> dict[str, Any]:
        """How much sound there is, and how it is heard and spelled."""
        return {
            "train_hours": round(sum(utterance.seconds for utterance in train) / 3600, 4),
            "dev_hours": round(sum(utterance.seconds for utterance in dev) / 3600, 4),
            "rate": encoders.mel.rate,
            "units": encoders.units,
            "vocabulary": len(encoders.vocabulary) - 1,
        }

    def plan(self, material: Material, options: TranscribeOptions, training: Mapping[str, Any]) -> Plan:
        """By how much sound there is."""
        return plan_transcriber(material, options, training)

    def build_network(self, network: Mapping[str, Any], encoders: SpeechEncoders) -> nn.Module:
        """Stacked frames, recurrent layers, a class or blank at each step."""
        return build_transcriber(network, encoders)

    def initialise(self, network: nn.Module, material: Material) -> None:
        """Standardise frames by the mean and spread of the training data."""
        store = material.train
        width = store[0]["frames"].shape[1]
        count, total, squares = 0, np.zeros(width), np.zeros(width)
        for n in range(len(store)):
            frames = store[n]["frames"].astype(np.float64)
            count, total, squares = count + len(frames), total + frames.sum(0), squares + (frames**2).sum(0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        _inputs(network).standardise(torch.from_numpy(mean).float(), torch.from_numpy(std).float())

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """frames (T, B, F) and their lengths, units (U, B) and theirs; varied while training."""
        frames = [example["frames"] for example in examples]
        options = cast(TranscribeOptions, self.options(**model.config.options))
        if draw is not None and options.augment:
            encoders: SpeechEncoders = model.encoders
            how = Variation(options.speed, options.gain, options.noise, options.hide_time, options.hide_bands)
            blank = _inputs(model.network).frames.mean.cpu().numpy()
            # the last step may be of a single frame
            least = [(steps_needed(example["units"]) - 1) * encoders.stride + 1 for example in examples]
            frames = [varied(f, encoders.mel, how, draw, blank, n) for f, n in zip(frames, least, strict=True)]
        units = [example["units"] for example in examples]
        return {
            "frames": padded(frames),
            "lengths": lengths_of(frames),
            "units": padded(units).long(),
            "unit_lengths": lengths_of(units),
        }

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """CTC, nats a unit."""
        logits, _ = network(data["frames"], None, data["lengths"])
        steps = _inputs(network).output_lengths(data["lengths"])
        return Scored(*CTC()(logits, steps, data["units"], data["unit_lengths"]))

    def score_to_learn(self, model: Fitted, data: dict[str, Tensor], number: int) -> Scored:
        """CTC; before it, for as long as was planned, each unit at its even share of the speech."""
        if number >= int(model.config.batching.get("flat_start", 0)):
            return self.score(model.network, data)
        logits, _ = model.network(data["frames"], None, data["lengths"])
        steps = _inputs(model.network).output_lengths(data["lengths"])
        spans = speech_spans(data["frames"], data["lengths"]) // model.encoders.stride
        spans[:, 1] += 1
        return Scored(*FlatStart()(logits, steps, data["units"], data["unit_lengths"], spans))

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Loss, and the error rates of greedy reading."""
        total, count = 0.0, 0
        references, hypotheses = [], []
        for chosen in sorted_batches(dev.sizes("frames"), SIDE_BY_SIDE):
            examples = [dev[int(n)] for n in chosen]
            scored = self.score(model.network, on_device(model.network, self.collate(model, examples, None)))
            total, count = total + float(scored.total), count + scored.count
            references += [bytes(example["text"]).decode() for example in examples]
            hypotheses += _greedy_texts(model, examples)
        return {"loss": total / count, **error_rates(references, hypotheses)}

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """What was said, and what was heard."""
        examples = [dev[n] for n in range(min(SHOWN, len(dev)))]
        pairs = zip(examples, _greedy_texts(model, examples), strict=True)
        return "\n".join(f"said:  {bytes(e['text']).decode()}\nheard: {heard}" for e, heard in pairs)

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """WER and CER beside always saying the most frequent transcript.

        Args:
            model: the model.
            paths: manifests as `train` reads them.
            progress: told how far it has come.
            options: the fields of `TranscribeEvaluation`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: a manifest or sound file can't be used, naming it.
            MissingDependencyError: jiwer is not installed.
        """
        started = time.perf_counter()
        chosen = TranscribeEvaluation(**options)
        reading = {name: getattr(chosen, name) for name in TranscribeEvaluation.model_fields}
        searching = {name: reading.pop(name) for name in DecodingOptions.model_fields}
        decoder = Decoder(model.encoders, DecodingOptions(**searching))
        examples = self.read_for_evaluation(model, paths, progress, **reading)
        trained = cast(TranscribeOptions, self.options(**model.config.options))
        findings = Findings(strict=not (trained.skip_bad if chosen.skip_bad is None else chosen.skip_bad))
        references: list[str] = []
        hypotheses: list[str] = []
        seconds = 0.0
        order = sorted_batches([round(utterance.seconds * 1000) for utterance in examples], SIDE_BY_SIDE)
        for some in order:
            progress("listening", len(references), len(examples))
            frames, heard = [], []
            for utterance in (examples[int(n)] for n in some):
                try:
                    frames.append(read_frames(utterance, model.encoders))
                    heard.append(utterance)
                except DataError as error:
                    findings.caught(error, "unusable sound")
            for utterance, log_probs in zip(heard, log_probabilities(model, frames) if frames else [], strict=True):
                references.append(model.encoders.normalised(utterance.text))
                hypotheses.append(decoder(log_probs, utterance.seconds).text)
                seconds += utterance.seconds
        findings.log("unrolled data check transcribe DATA shows all")
        if not references:
            raise DataError("no sound that can be used", paths[0])
        if not any(references):
            raise DataError("no word in any transcript, and an error rate is errors per word", paths[0])
        took = time.perf_counter() - started
        metrics = {**speech_metrics(references, hypotheses), "sound_seconds": seconds, "real_time": took / seconds}
        beside: dict[str, Any] = {}
        if model.folder is not None:
            usual = str(read_json(model.folder / BASELINE).get("text", ""))
            beside = {"model": "most frequent transcript", **speech_metrics(references, [usual] * len(references))}
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, took)

    def predict(self, model: Fitted, inputs: Iterable[Any], **options: Any) -> Iterator[Transcript]:
        """The transcript of each sound.

        Args:
            model: the model.
            inputs: paths of sound files, `Sound` objects, or pairs of samples and rate.
            options: the fields of `DecodingOptions`.

        Raises:
            ArgumentError: an option out of range, an input of another kind, or one too short for a frame.
            StorageError, DataError: a file that can't be read or is damaged.
        """
        decoder = Decoder(model.encoders, DecodingOptions(**options))
        for given in inputs:
            sound, notes = heard_sound(given, model.encoders.mel.rate)
            try:
                frames = frames_of(sound, model.encoders)
            except ArgumentError as error:
                raise (DataError(str(error), Path(given)) if isinstance(given, (str, Path)) else error) from None
            log_probs = log_probabilities(model, [frames])[0]
            yield decoder(log_probs, sound.seconds, notes)

    def is_one_input(self, given: Any) -> bool:
        """A pair of samples and their rate is one sound."""
        return _is_pair(given) or super().is_one_input(given)

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """Sound by the steps of the network, each asked about what it says."""
        sound, _ = heard_sound(given, model.encoders.mel.rate)
        encoders: SpeechEncoders = model.encoders
        frames = frames_of(sound, encoders)
        dropped = max(0, encoders.steps(len(frames)) - limit)
        x = torch.from_numpy(frames[dropped * encoders.stride :]).unsqueeze(1)
        x = x.to(next(model.network.parameters()).device)

        def run() -> Tensor:
            logits: Tensor = model.network(x)[0]
            return logits[:, 0]

        with torch.no_grad():
            targets = run().argmax(-1)
        times = tuple(f"{(dropped + s) * encoders.step_seconds:.2f} s" for s in range(len(targets)))
        return Probe(
            network=model.network,
            input_layer=_inputs(model.network),
            steps=times,
            run=run,
            outputs=times,
            classes=lambda k: encoders.vocabulary[k] or "(blank)",
            targets=targets,
            note=f"the first {dropped} steps are left out" if dropped else "",
            synced=True,
        )

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.transcribe.api import TranscribeWire

        return TranscribeWire()

    def stream(self, model: Fitted) -> Any:
        """Sound as it comes, for a model of one direction."""
        from unrolled.tasks.uses.transcribe.session import TranscriptSession

        return TranscriptSession(model)


def heard_sound(given: Any, rate: int) -> tuple[Sound, tuple[str, ...]]:
    """What a caller of `predict` names as sound, and what is to be said about it.

    Args:
        given: a path, a `Sound`, or samples and their rate.
        rate: the model's, Hz.
    """
    notes = []
    if isinstance(given, (str, Path)):
        sound = read_sound(given)
    elif isinstance(given, Sound):
        sound = given
    elif _is_pair(given):
        sound = Sound(given[0], given[1])
    else:
        raise ArgumentError(
            f"input: expected the path of a sound file, a Sound, or (samples, rate), found {type(given).__name__}"
        )
    if sound.channels > 1:
        notes.append(f"{sound.channels} channels were mixed into one")
    if sound.rate != rate:
        notes.append(f"resampled from {sound.rate} to {rate} Hz")
    if sound.is_silent:
        notes.append("silent throughout")
    return sound, tuple(notes)


def _is_pair(given: Any) -> bool:
    """Whether this is (samples, rate)."""
    return isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[1], (int, np.integer))


def _greedy_texts(model: Fitted, examples: Sequence[Arrays]) -> list[str]:
    texts = []
    for log_probs in log_probabilities(model, [example["frames"] for example in examples]):
        emissions, state = read_greedily(log_probs)
        texts.append(model.encoders.spelled([e.unit for e in (*emissions, *finish_greedily(state))]))
    return texts


def _inputs(network: nn.Module) -> StackedFrames:
    """The input layer of a network that `build` made."""
    inputs = network.inputs if isinstance(network, SyncedNetwork) else None
    if not isinstance(inputs, StackedFrames):
        raise ArgumentError("network: its input layer stacks no frames")
    return inputs
