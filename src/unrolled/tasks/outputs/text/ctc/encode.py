"""A text, spelled step by step: its units, and the losses, metrics and predictions that go with them.

T steps, B batch, U units, K classes of which the first is the blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Findings, lengths_of, padded
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.contract.output import Predictor
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import Probe, asked_itself
from unrolled.tasks.core.results import Result, Shown, result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import InputSteps, Progress, Scored, joined
from unrolled.tasks.outputs.text.ctc import scoring
from unrolled.tasks.outputs.text.ctc.baseline import BASELINE, fit_most_frequent
from unrolled.tasks.outputs.text.ctc.decode import Decoder, log_probabilities
from unrolled.tasks.outputs.text.ctc.network import ctc_network, run, score, score_flat
from unrolled.tasks.outputs.text.ctc.options import CTCEvaluation, CTCNetwork, CTCOptions, CTCPrediction
from unrolled.tasks.outputs.text.ctc.results import Transcript
from unrolled.tasks.outputs.text.ctc.session import CTCSession
from unrolled.tasks.outputs.text.ctc.spelling import UnitSpelling
from unrolled.types import Json

SPELLING = "spelling.json"


class CTCOutput(Output[str, Transcript]):
    """A text, in the order of the input, whose places in it nobody has to mark.

    Args:
        spelling: what it is spelled with.
    """

    name: ClassVar[str] = "transcript"
    options: ClassVar[type[Settings]] = CTCOptions
    evaluate_options: ClassVar[type[Settings]] = CTCEvaluation
    predict_options: ClassVar[type[Settings]] = CTCPrediction
    Network: ClassVar[type[Settings]] = CTCNetwork
    Result: ClassVar[type[Result]] = Transcript
    needs_steps: ClassVar[bool] = True
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def __init__(self, spelling: UnitSpelling) -> None:
        self.spelling = spelling

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> CTCOutput:
        """Collect the units of the training part's texts."""
        spelling = UnitSpelling.fit([example.target for example in examples], CTCOptions.of(options))
        if spelling is None:
            raise DataError("no text in any of the training data's transcripts", examples[0].path or None)
        return cls(spelling)

    def extended(self, other: CTCOutput) -> CTCOutput:
        """Add the other's units, if they are of the same kind."""
        own, new = self.spelling, other.spelling
        if own.units != new.units:
            raise ArgumentError(f"--from: the older model writes {own.units}; give --units {own.units}")
        return CTCOutput(replace(own, vocabulary=tuple(joined(own.vocabulary, new.vocabulary))))

    @property
    def sizes(self) -> dict[str, int]:
        """How many units there are, CTC's blank among them."""
        return {"classes": len(self.spelling.vocabulary)}

    @classmethod
    def load(cls, folder: Path) -> CTCOutput:
        """Read spelling.json."""
        return cls(UnitSpelling.from_json(read_json(folder / SPELLING), folder / SPELLING))

    def save(self, folder: Path) -> None:
        """Write spelling.json."""
        write_json(folder / SPELLING, self.spelling.as_json())

    def encode(self, target: str) -> Arrays:
        """Return `units` (U,), those that are known, and the normalised `text` as bytes of UTF-8."""
        text = self.spelling.normalised(target)
        return {"units": self.spelling.units_of(text)[0], "text": np.frombuffer(text.encode(), np.uint8)}

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return `units` (U, B) and how many of each text are valid, `unit_lengths` (B,)."""
        units = [example["units"] for example in examples]
        return {"units": padded(units).long(), "unit_lengths": lengths_of(units)}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return recurrent layers, and a unit or blank at each step."""
        return ctc_network(source, network, len(self.spelling.vocabulary))

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the loss of CTC, nats a unit."""
        return score(network, x, lengths, data)

    def score_learning(
        self, model: AnyFitted, x: object, lengths: Tensor | None, data: Mapping[str, Tensor], number: int
    ) -> Scored:
        """Return the loss of CTC; before it, for as long as was planned, that of even alignments, nats a step."""
        if number >= int(model.config.batching.get("flat_start", 0)):
            return score(model.network, x, lengths, data)
        return score_flat(model.network, x, lengths, data, model.input.spans(data))

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Point out characters or words that training never saw."""
        spelling = UnitSpelling.fit([example.target for example in train], CTCOptions.of(options))
        if spelling is None:
            return
        for example in dev:
            unseen = list(dict.fromkeys(spelling.units_of(spelling.normalised(example.target))[1]))
            if unseen:
                shown = ", ".join(map(repr, unseen[:5]))
                message = f"{shown} never occurs in the training data's transcripts, and will never be written"
                findings.warning("unseen unit", message, example.path, example.line)

    def least_steps(self, arrays: Arrays) -> int:
        """Return one step for each unit, and one between two equal ones."""
        units = arrays["units"]
        return len(units) + int((units[1:] == units[:-1]).sum())

    def check_pair(self, source: AnyInput, arrays: Arrays) -> None:
        """Check that the input has as many steps as its text needs."""
        needed, there = self.least_steps(arrays), source.count_steps(arrays)
        if needed > there:
            way_out = f"; {source.finer}" if source.finer else ""
            raise DataError(
                f"{len(arrays['units'])} {self.spelling.units} need {needed} steps of CTC, and {source.extent(arrays)} "
                f"make {there}: is it the right transcript?{way_out}"
            )

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return what texts are spelled with."""
        return {"units": self.spelling.units, "vocabulary": len(self.spelling.vocabulary) - 1}

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Find the most frequent transcript."""
        fit_most_frequent((self.spelling.normalised(example.target) for example in train), folder)

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return the loss, and the error rates of greedy reading."""
        return scoring.dev_metrics(model, dev)

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str:
        """Return texts as they are, and as they are read."""
        return scoring.sample(model, dev)

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return WER and CER, beside those of the most frequent transcript."""
        return scoring.evaluate(model, examples, progress, Decoder(self.spelling, CTCPrediction.of(options)))

    def predictor(self, model: AnyFitted, options: Settings) -> Predictor[Transcript]:
        """Return what transcribes by these options; a language model is loaded once, here."""
        decoder = Decoder(self.spelling, CTCPrediction.of(options))
        result: Any = result_type(model.input.Shown, self.Result)

        def predict(inputs: Sequence[Arrays], shown: Sequence[Shown]) -> Iterator[Transcript]:
            for arrays, fields in zip(inputs, shown, strict=True):
                # one by one: beside others the last bits differ
                [log_probs] = log_probabilities(model, [arrays])
                yield result(**dict(fields), **decoder(log_probs, model.input.step_size))

        return predict

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[Transcript]:
        """Yield the transcript of each input."""
        return self.predictor(model, options)(inputs, shown)

    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
        """Ask about the unit, or blank, that the network itself says at each step."""
        network = model.network
        x, lengths = model.input.feed(on_device(network, steps.data))
        return asked_itself(
            network,
            lambda: run(network, x, lengths)[0][:, 0],
            network.get_submodule("inputs"),
            steps,
            steps.names,
            lambda k: self.spelling.vocabulary[k] or "(blank)",
            synced=True,
        )

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return an input in progress."""
        return CTCSession(model, steps)
