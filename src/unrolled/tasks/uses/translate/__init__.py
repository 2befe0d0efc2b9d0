"""`translate`: a sentence is read, and another one written that says the same in another language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from unrolled.data import Example, Findings, load_tokenizer
from unrolled.data.core.folders import Place
from unrolled.data.parallel.read import read_pairs
from unrolled.data.text.sentences import fit_sentences
from unrolled.errors import ArgumentError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.storage import has_part
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.results import Result
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan, Progress, in_lists
from unrolled.tasks.uses.translate.encode import SourceSentence, TargetSentence
from unrolled.tasks.uses.translate.plan import (
    SPACE,
    TranslateEvaluation,
    TranslateOptions,
    TranslatePrediction,
    plan_translator,
    scale_for,
)

JOINT = "tokenizer.json"

Translator = Fitted[SourceSentence, TargetSentence]


class Translate(ExampleUse[SourceSentence, TargetSentence]):
    """Sentences into another language."""

    name: ClassVar[str] = "translate"
    summary: ClassVar[str] = "translate sentences into another language"
    shape: ClassVar[str] = "many-to-many"
    input, output = SourceSentence, TargetSentence
    options: ClassVar[type[Settings]] = TranslateOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = TranslateEvaluation
    predict_options: ClassVar[type[Settings]] = TranslatePrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read aligned files, tables, JSON lines or TMX."""
        names = ("source", "target", "format", "encoding", "errors")
        return read_pairs(paths, findings, **{name: getattr(options, name) for name in names})

    def fit(self, train: Sequence[Any], options: Any, progress: Progress) -> Parts[SourceSentence, TargetSentence]:
        """Fit a tokeniser for each language, or one for both."""
        progress("fitting the tokenisers", 0, None)
        size = options.vocabulary_size
        if size is None and options.tokens == "bpe":
            size = scale_for(len(train)).vocabulary_size * (2 if options.joint else 1)
        sides = [[pair.given for pair in train], [pair.target for pair in train]]
        if options.joint:
            sides = [[text for pair in train for text in (pair.given, pair.target)]]
        tokenizers = [fit_sentences(options.tokens, texts, size) for texts in sides]
        return Parts(SourceSentence(tokenizers[0]), TargetSentence(tokenizers[-1]))

    def save_parts(self, parts: Parts[SourceSentence, TargetSentence], folder: Path) -> None:
        """Write both tokenisers, or the one."""
        if parts.output.tokenizer is parts.input.tokenizer:
            parts.input.tokenizer.save(folder / JOINT)
        else:
            super().save_parts(parts, folder)

    def load_parts(self, folder: Path) -> Parts[SourceSentence, TargetSentence]:
        """Read what `save_parts` wrote."""
        if not has_part(folder / JOINT):
            return super().load_parts(folder)
        both = load_tokenizer(folder / JOINT)
        return Parts(SourceSentence(both), TargetSentence(both))

    def plan(
        self, material: Material[SourceSentence, TargetSentence], options: Any, training: Mapping[str, Any]
    ) -> Plan:
        """Choose by the number of pairs."""
        return plan_translator(material, options, training)

    def predict(self, model: Translator, inputs: Iterable[Any], **options: object) -> Iterator[Result]:
        """Yield the translation of each sentence; `batch_size` puts those together that come one after the other."""
        size = TranslatePrediction.of(self.predict_options(**options)).batch_size
        for some in [inputs] if size is None else in_lists(inputs, size):
            yield from super().predict(model, some, **options)

    def stream(self, model: Translator) -> Session:
        """Refuse: a translation can't begin before its source has ended."""
        raise ArgumentError(
            "a translator reads the whole sentence before it writes, so it can't be streamed; predict takes one "
            "sentence after the other, and models of 'generate' stream"
        )
