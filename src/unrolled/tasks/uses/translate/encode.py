"""A sentence that is read, and the one in another language that is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.parallel.read import SOURCE_NAMES
from unrolled.data.text.labelled import TEXT_NAMES
from unrolled.data.text.sentences import decode_sentence, encode_sentence
from unrolled.errors import ArgumentError
from unrolled.metrics.translation import translation_scores
from unrolled.settings import Settings
from unrolled.storage import has_part, write_whole
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.values import Progress
from unrolled.tasks.inputs.text.tokens import TokenInput
from unrolled.tasks.outputs.text.attention.encode import AttentionOutput, likelihood
from unrolled.tasks.outputs.text.attention.network import over_memory
from unrolled.tasks.outputs.text.attention.results import Written
from unrolled.tasks.outputs.text.attention.scoring import judge, unsigned_scores
from unrolled.tasks.uses.translate.baseline import fit_dictionary, translate_words
from unrolled.tasks.uses.translate.plan import TranslateEvaluation, TranslateNetwork
from unrolled.types import Json

DICTIONARY = "dictionary.json"
#: what is written about a blank sentence
NOTHING: Json = {
    "text": "",
    "log_prob": 0.0,
    "score": 0.0,
    **dict.fromkeys(("candidates", "source_tokens", "target_tokens", "attention"), ()),
}
#: pairs that are shown while training
SAMPLES = 3
#: a pair whose sides differ by this factor, beyond how they differ in most, and has so many characters, is odd
ODD_RATIO, ODD_LENGTH = 3.0, 20


class SourceSentence(TokenInput):
    """A sentence, without white space at its ends; its end is a token of its own. A blank one has none."""

    file: ClassVar[str] = "tokenizer-source.json"
    role: ClassVar[str] = "source"
    column_names: ClassVar[tuple[str, ...]] = (*SOURCE_NAMES, *TEXT_NAMES)

    def encode(self, given: str, options: Settings | None = None) -> Arrays:
        """Return the ids `source` (T,), the end last."""
        text = given.strip()
        return {"source": encode_sentence(text, self.tokenizer) if text else np.empty(0, dtype=np.int32)}

    def lengths(self, store: ExampleStore) -> NDArray[np.int64]:
        """Return the lengths of the targets: the decoder and its softmax cost most."""
        return store.sizes("target")


class Translation(Written):
    """A sentence and its translation."""


class TargetSentence(AttentionOutput):
    """The translation of a sentence, beside a translation word by word and the sentence itself."""

    Network: ClassVar[type[Settings]] = TranslateNetwork
    Result: ClassVar[type[results.Result]] = Translation
    baseline_files: ClassVar[tuple[str, ...]] = (DICTIONARY,)
    # with no penalty, a smoothed model finds the shortest translations the most probable
    penalties: ClassVar[tuple[float, ...]] = (0.5, 1.0, 1.5, 2.0)

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Look for sources that were left as they are, and for sides that can't be of one sentence."""
        usual = median(len(pair.target) / len(pair.given) for pair in train) if train else 1.0
        for pair in (*train, *dev):
            place = pair.path or None, pair.line
            if pair.given == pair.target:
                findings.warning("copy", "the target is the source: not translated?", *place)
            ratio = len(pair.target) / len(pair.given) / usual
            if not 1 / ODD_RATIO <= ratio <= ODD_RATIO and max(len(pair.given), len(pair.target)) >= ODD_LENGTH:
                sizes = f"{len(pair.given)} characters of source, {len(pair.target)} of target"
                findings.warning("length ratio", f"{sizes}: hardly of one sentence; misaligned?", *place)

    def network(self, source: Any, network: Mapping[str, Any]) -> nn.Module:
        """Return encoder, attention and decoder; of a joint vocabulary both sides share their vectors.

        Raises:
            ArgumentError: the settings were made for other vocabularies.
        """
        chosen = TranslateNetwork.picked(network)
        sizes = source.tokenizer.vocabulary_size, self.tokenizer.vocabulary_size
        is_joint = source.tokenizer is self.tokenizer
        if (chosen.source_size, chosen.target_size, chosen.joint) != (*sizes, is_joint):
            raise ArgumentError(
                f"its vocabularies have {chosen.source_size}, {chosen.target_size} tokens, "
                f"the tokenisers {sizes[0]}, {sizes[1]}"
            )
        inputs = source.layer(network)
        shared = inputs.weight if is_joint else None
        smoothed = chosen.model_copy(update={"smoothing": chosen.label_smoothing})
        return over_memory(inputs, smoothed, self.tokenizer.vocabulary_size, shared=shared)

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Leave the output layer as it was drawn, its bias at zero."""
        return

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return three sentences, each with the translation that was asked for and the model's."""
        read = [decode_sentence(dev[n]["source"], model.input.tokenizer) for n in range(min(SAMPLES, len(dev)))]
        lines = []
        for source, text, others in zip(read, *self.written(model, dev, self.quick, SAMPLES), strict=True):
            lines += [f"> {source}", f"= {self.decode(others[0])}", f"< {self.decode(text)}"]
        return "\n".join(lines)

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Fit a dictionary, to translate word by word with."""
        progress("fitting the word-by-word baseline", 0, None)
        write_json(folder / DICTIONARY, fit_dictionary([p.given for p in train], [p.target for p in train]))

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return BLEU and chrF of translations as written, beside word-by-word translation and the source itself.

        Raises:
            MissingDependencyError: sacrebleu is not installed.
        """
        chosen = TranslateEvaluation.of(options)
        judged = judge(model, examples, self.search(model, chosen))
        texts = list(map(self.decode, judged.written))
        sources = [pair.given for pair in judged.examples]
        references = [pair.target for pair in judged.examples]
        metrics: Json = {"pairs": len(texts), **likelihood(judged.loss), **translation_scores(texts, references)}
        if chosen.write is not None:
            lines = "".join(" ".join(text.splitlines()) + "\n" for text in texts)
            write_whole(chosen.write, lines.encode())
        beside: Json = {}
        if model.folder is not None and has_part(model.folder / DICTIONARY):
            dictionary = read_json(model.folder / DICTIONARY)
            by_word = [translate_words(source, dictionary) for source in sources]
            beside = {"model": "word by word (IBM Model 1)", **unsigned_scores(by_word, references)}
        return metrics, {**beside, "copy": unsigned_scores(sources, references)}

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[results.Result]:
        """Yield the translation of each sentence; of a blank one a blank one, for nothing is read into it."""
        full = [n for n, arrays in enumerate(inputs) if len(arrays["source"])]
        translations = super().predict(model, [inputs[n] for n in full], [shown[n] for n in full], options)
        kind: Any = results.result_type(model.input.Shown, self.Result)
        for given, arrays in zip(shown, inputs, strict=True):
            yield next(translations) if len(arrays["source"]) else kind(**dict(given), **NOTHING)
