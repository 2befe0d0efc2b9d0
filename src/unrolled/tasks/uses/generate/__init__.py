"""`generate`: learn to write from text, write on from a prompt, and complete what somebody is typing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from unrolled.data import Findings
from unrolled.data.core.folders import Place
from unrolled.settings import Settings
from unrolled.tasks.core.contract import Use
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.plan import measured_speed
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Evaluation, Plan, Progress, Sources
from unrolled.tasks.inputs.text.tokens import TokenInput
from unrolled.tasks.outputs.next.completion import fit_suggestions
from unrolled.tasks.outputs.next.decode import predictions
from unrolled.tasks.outputs.next.encode import NextToken, probe_text
from unrolled.tasks.outputs.next.options import Asking, Suggesting, Writing
from unrolled.tasks.outputs.next.predictor import asked_with
from unrolled.tasks.outputs.next.scoring import evaluate_text
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.uses.generate.check import check_text
from unrolled.tasks.uses.generate.encode import Corpus
from unrolled.tasks.uses.generate.examples import written_example
from unrolled.tasks.uses.generate.options import GenerateEvaluation, GenerateOptions
from unrolled.tasks.uses.generate.personal import load_personal, personalise, save_personal
from unrolled.tasks.uses.generate.plan import SPACE, CorpusSize, plan_language_model
from unrolled.training import Batches, Learner, TrainingSettings
from unrolled.types import Json

Model = Fitted[TokenInput, NextToken]


class Generate(Use[TokenInput, NextToken, Corpus]):
    """Text in, text out: a language model."""

    name: ClassVar[str] = "generate"
    summary: ClassVar[str] = "learn to write from text or mail; write on from a prompt, complete what is typed"
    shape: ClassVar[str] = "synced many-to-many, shifted by one"
    input, output = TokenInput, NextToken
    options: ClassVar[type[Settings]] = GenerateOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = GenerateEvaluation
    predict_options: ClassVar[type[Settings]] = Suggesting
    writing_options: ClassVar[type[Settings] | None] = Writing
    asking_options: ClassVar[type[Settings]] = Asking

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> Json:
        """Look for repeated documents, documents in both parts, and characters that training never sees."""
        dev = options.read(sources.dev) if sources.dev else None
        return check_text(options.read(sources.train), dev, findings, progress)

    def prepare(self, sources: Sources, options: Any, folder: Path, progress: Progress) -> Corpus:
        """Choose a tokeniser, encode the text once, count the n-gram."""
        return Corpus.prepare(sources, options, folder, progress)

    def reopen(self, options: Any, folder: Path) -> Corpus:
        """Map the files that `prepare` wrote."""
        return Corpus.reopen(folder)

    def plan(self, material: Corpus, options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many tokens there are, how long they may be trained on, and how fast this machine is."""

        def measure(plan: Plan, candidates: int) -> float:
            return measured_speed(self, material, options, plan, candidates)

        text = CorpusSize(material.tokenizer, len(material.train), len(material.dev))
        return plan_language_model(text, options, training, measure)

    def describe(self, material: Corpus) -> Json:
        """Return counts, and fingerprints that bind checkpoints to this text."""
        return material.describe()

    def parts(self, material: Corpus) -> Parts[TokenInput, NextToken]:
        """Return the tokens that are read and answered."""
        return material.parts

    def save_extras(self, model: Model, folder: Path) -> None:
        """Write the n-gram that the model is judged by, and what is mixed in of a writer it was adapted to."""
        super().save_extras(model, folder)
        save_personal(model.cache, folder)

    def load_cache(self, folder: Path, parts: Parts[TokenInput, NextToken]) -> Any:
        """Read a writer's n-gram."""
        return load_personal(folder, parts.input.tokenizer.vocabulary_size, parts.input.tokenizer.fingerprint)

    def personalise(self, model: Model, paths: tuple[Place, ...], progress: Progress, **options: Any) -> Model:
        """Adapt the model to a writer; options are `PersonalOptions`."""
        return personalise(model, paths, progress, **options)

    def initialise(self, network: nn.Module, material: Corpus) -> None:
        """Start from the tokens' frequencies."""
        material.initialise(network)

    def learner(self, model: Model, material: Corpus, training: TrainingSettings) -> Learner:
        """Return truncated BPTT over windows of text."""
        return material.learner(model, GenerateOptions.of(model.options), training.seed)

    def batches(self, model: Model, material: Corpus, training: TrainingSettings) -> Batches:
        """Return lanes of the corpus, window after window."""
        return material.batches(model.config.batching, training.seed)

    def finish(self, model: Model, material: Corpus, progress: Progress) -> None:
        """Fit the n-gram's weights, and the threshold above which suggestions are shown, on development text."""
        options = GenerateOptions.of(model.options)
        if options.ngram != 0 and model.folder is not None:
            progress("weighing the n-gram", 0, None)
            model.output.mixture = material.mixture(model, model.folder)
        fit_suggestions(model, options, material.dev, progress)

    def examples(self, model: Model, material: Corpus) -> list[Json | str] | None:
        """Return what the model writes."""
        prompt = GenerateOptions.of(model.options).prompt
        text = written_example(model, prompt, int(model.config.training["seed"]), (material.train, material.dev))
        return [text] if text else []

    def evaluate(self, model: Model, paths: tuple[Place, ...], progress: Progress, **options: Any) -> Evaluation:
        """Return nats per character, of the network alone too, and how good completion is, beside the n-gram's."""
        started = time.perf_counter()
        chosen = GenerateEvaluation(**options)
        reading = chosen.over(GenerateOptions.of(model.options))
        metrics, beside = evaluate_text(model, reading.read(paths), str(paths[0]), chosen, progress)
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def predict(self, model: Model, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Yield for each text what completes it, or with `generate=True` texts written on from it."""
        return predictions(model, inputs, **options)

    def probe(self, model: Model, given: object, limit: int) -> Probe:
        """Lay out a text by its tokens, asked at each about the next one."""
        return probe_text(model, model.input.given(given), limit)

    def asked(self, model: Model, **options: Any) -> Model:
        """Return the model with its n-gram or without, and with streams that learn or don't."""
        chosen = Asking(**options)
        return asked_with(model, chosen.ngram, chosen.adapt)

    def stream(self, model: Model) -> TextSession:
        """Return a text in progress."""
        return TextSession(model)
