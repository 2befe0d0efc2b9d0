"""`tag`: learn to label tokens, such as the names in a text, from text in columns or with spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unrolled.data import Arrays, Findings
from unrolled.data.core.folders import Place
from unrolled.data.tagged.read import TaggedText, in_context, read_tagged
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.words.collate import sentences_alone
from unrolled.tasks.inputs.words.encode import ENCODERS, WordsInput, is_list, not_whole
from unrolled.tasks.uses.tag.encode import TokenLabels
from unrolled.tasks.uses.tag.options import TagEvaluation, TagOptions, TagPrediction
from unrolled.tasks.uses.tag.plan import CONTEXT, SPACE, context_of, plan_tagger


class Tag(ExampleUse[WordsInput, TokenLabels]):
    """Text in, a label for each token out."""

    name: ClassVar[str] = "tag"
    summary: ClassVar[str] = "learn to find names in text, or to label tokens in any other way"
    shape: ClassVar[str] = "synced many-to-many"
    input, output = WordsInput, TokenLabels
    options: ClassVar[type[Settings]] = TagOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = TagEvaluation
    predict_options: ClassVar[type[Settings]] = TagPrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> list[TaggedText]:
        """Read sentences, or stretches of documents where sentences are read in context."""
        texts = read_tagged(
            paths,
            findings,
            format=options.format,
            token_column=options.token_column,
            label_column=options.label_column,
            separator=options.separator,
            scheme=options.scheme,
            encoding=options.encoding,
            errors=options.errors,
        )
        context = options.context
        if context is None:
            context = CONTEXT if any(text.document for text in texts) else 0
        return in_context(texts, context) if context else texts

    def counted(self, examples: Sequence[TaggedText]) -> int:
        """Return the number of sentences: several may be read in one piece."""
        return sum(len(text.ends) for text in examples)

    def varied(
        self, model: Fitted[WordsInput, TokenLabels], examples: Sequence[Arrays], draw: np.random.Generator
    ) -> Sequence[Arrays]:
        """Read some texts without the context of their sentences."""
        return sentences_alone(examples, draw, float(model.config.batching.get("alone", 0.0)))

    def evaluated_with(self, model: Fitted[WordsInput, TokenLabels], chosen: Settings) -> Settings:
        """Read sentences alone for a model that never saw a border between sentences."""
        reading = super().evaluated_with(model, chosen)
        return reading if context_of(model) else reading.model_copy(update={"context": 0})

    def plan(self, material: Material[WordsInput, TokenLabels], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many tokens there are."""
        return plan_tagger(material, options, training)

    def save_parts(self, parts: Parts[WordsInput, TokenLabels], folder: Path) -> None:
        """Write words and labels into one encoders.json, and the vectors."""
        own = {"kind": parts.output.kind, "labels": list(parts.output.labels)}
        write_json(folder / ENCODERS, {**own, **parts.input.as_json(folder)})

    def load_parts(self, folder: Path) -> Parts[WordsInput, TokenLabels]:
        """Read what `save_parts` wrote."""
        content = read_json(folder / ENCODERS)
        words = WordsInput.from_json(content, folder)
        if content.get("kind") not in ("entities", "labels") or not is_list(content.get("labels"), str):
            raise not_whole(folder / ENCODERS)
        return Parts(words, TokenLabels(content["kind"], content["labels"]))
