"""The captions of an image, written and compared by their words. B images, A attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.text.plain_words import WordTokenizer, plain_words, sentence
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.metrics.captions import caption_metrics
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.values import Progress, Scored
from unrolled.tasks.outputs.text.attention.baseline import most_frequent, read_always
from unrolled.tasks.outputs.text.attention.decode import (
    Search,
    attention_weights,
    fed,
    grid_of,
    search_all,
    without_end,
)
from unrolled.tasks.outputs.text.attention.encode import AttentionOutput
from unrolled.tasks.outputs.text.attention.network import forced, over_grid
from unrolled.tasks.outputs.text.attention.scoring import judge
from unrolled.tasks.uses.caption.attributes import AttributeLoss, frequent_words
from unrolled.tasks.uses.caption.plan import CaptionNetwork, CaptionOptions, CaptionPrediction
from unrolled.tasks.uses.caption.results import CaptionedPrediction, WrittenCaption
from unrolled.types import Json

WORDS = "words.json"


class CaptionOutput(AttentionOutput):
    """The captions of an image.

    Args:
        words: one step writes a word.
        attributes: the numbers of those that the network learns to see.
    """

    Network: ClassVar[type[Settings]] = CaptionNetwork
    Result: ClassVar[type[results.Result]] = CaptionedPrediction
    usual: ClassVar[Search] = Search(beam_size=3, length_penalty=0.7, max_tokens=31, may_be_empty=False, exact=True)
    quick: ClassVar[Search] = usual
    penalties: ClassVar[tuple[float, ...]] = (0.0, 0.5, 0.8, 1.1, 1.4)
    beams: ClassVar[tuple[int, ...]] = (5,)
    fitted_on: ClassVar[int | None] = None
    judged_by: ClassVar[str] = "bleu4"

    def __init__(self, words: WordTokenizer, attributes: Sequence[int]) -> None:
        super().__init__(words)
        self.words, self.attributes = words, tuple(attributes)

    def extended(self, other: AttentionOutput) -> CaptionOutput:
        """Add the other's words; what can be seen in an image or not is asked of the older ones alone."""
        words = self.words.extended(other.tokenizer)
        return CaptionOutput(words, self.attributes)

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> CaptionOutput:
        """Number the words, and choose those that can be seen or not.

        Raises:
            DataError: no word is frequent enough.
        """
        chosen, captions = CaptionOptions.of(options), [example.target for example in examples]
        texts = [caption for several in captions for caption in several]
        total = sum(len(plain_words(text)) for text in texts)
        # a word that is seen a few times only is written wrongly more often than rightly
        least = chosen.min_count or (1 if total < 20_000 else 3 if total < 100_000 else 5)
        most = None if chosen.vocabulary_size is None else chosen.vocabulary_size - 2
        words = WordTokenizer.fit(texts, least=least, most=most)
        if not words.words:
            message = f"no word occurs {least} times; give --min-count 1"
            raise DataError(message, examples[0].path, examples[0].line)
        return cls(words, frequent_words(captions, words, chosen.attributes))

    @classmethod
    def load(cls, folder: Path) -> CaptionOutput:
        """Read words.json."""
        raw = read_json(folder / WORDS)
        try:
            words, attributes = WordTokenizer(raw["words"]), raw["attributes"]
            if not all(isinstance(number, int) for number in attributes):
                raise ArgumentError("attributes: expected numbers")
            return cls(words, attributes)
        except (KeyError, TypeError, ArgumentError) as error:
            raise ModelError(f"{folder / WORDS}: corrupt ({error}); restore it from a copy of the model") from error

    def save(self, folder: Path) -> None:
        """Write words.json."""
        write_json(folder / WORDS, {"words": self.words.words, "attributes": self.attributes})

    @classmethod
    def check(cls, train: Sequence[Any], dev: Sequence[Any], options: Settings, findings: Findings) -> None:
        """Look for images with the same caption twice, which counts double."""
        for example in (*train, *dev):
            if len({tuple(plain_words(caption)) for caption in example.target}) < len(example.target):
                message = f"{example.name} has the same caption twice"
                findings.warning("duplicate caption", message, example.path, example.line)

    def encode(self, target: str | Sequence[str]) -> Arrays:
        """Return `words` of all captions (Σ T,), without ends, and the `lengths` of each, int32."""
        captions = [self.words.encode(caption) for caption in target]
        return {"words": np.concatenate(captions), "lengths": np.array(list(map(len, captions)), dtype=np.int32)}

    def references(self, arrays: Arrays) -> list[NDArray[np.int32]]:
        """Return the words of each caption, the end last."""
        captions = np.split(arrays["words"], np.cumsum(arrays["lengths"])[:-1])
        return [np.append(words, np.int32(self.words.end_id)) for words in captions]

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return, besides, `present` (B, A): the share of each image's captions that have an attribute."""
        shares = [[np.isin(self.attributes, words) for words in self.references(example)] for example in examples]
        present = np.stack([np.mean(share, axis=0, dtype=np.float32) for share in shares])
        return {**super().collate(examples), "present": torch.from_numpy(present)}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return attention over the image's grid, a decoder, and a linear map to the attributes.

        Raises:
            ArgumentError: an attribute is no word.
        """
        chosen, size = CaptionNetwork.picked(network), self.words.vocabulary_size
        if any(number >= size for number in chosen.attributes):
            raise ArgumentError(f"attributes: expected words below {size}")
        inputs, count = source.layer(network), len(chosen.attributes)
        built = over_grid(inputs, chosen, size, attributes=count, dropout=chosen.image_dropout)
        built.attribute_loss = AttributeLoss(chosen.attribute_weight)
        return built

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Start from how often words are written, and how often attributes are there."""
        super().initialise(network, store)
        if self.attributes:
            present = np.ones(self.words.vocabulary_size)
            for n in range(len(store)):
                present[np.unique(store[n]["words"])] += 1
            share = present[list(self.attributes)] / (len(store) + 2)
            with torch.no_grad():
                bias = torch.from_numpy(np.log(share / (1 - share))).float()
                network.get_parameter("attributes.bias").copy_(bias)

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the cross entropy of the words, nats a word; while training that of the attributes is added."""
        scored, attributes = forced(network, x, lengths, data)
        if attributes is None or not network.training:
            return scored
        return scored._replace(mean=scored.mean + network.get_submodule("attribute_loss")(attributes, data["present"]))

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count captions and words."""
        captions = [sum(len(example.target) for example in part) for part in (train, dev)]
        words = {"words": len(self.words.words), "attributes": len(self.attributes)}
        return {"train_captions": captions[0], "dev_captions": captions[1], **words}

    def always(self, train: Sequence[Example]) -> Json:
        """Return the most frequent caption as words, and how often it occurs."""
        words, count = most_frequent(tuple(plain_words(caption)) for example in train for caption in example.target)
        return {"caption": words, "count": count}

    def search(self, model: AnyFitted, options: Settings) -> Search:
        """Return how captions are searched for: a beam that nobody names has room for all that are asked for.

        Raises:
            ArgumentError: more captions than the beam holds.
        """
        search = super().search(model, options)
        if not isinstance(options, CaptionPrediction):
            return search
        beam = max(search.beam_size, options.n) if options.beam_size is None else options.beam_size
        if options.n > beam:
            raise ArgumentError(f"n: expected at most the beam's {beam} hypotheses, found {options.n}")
        return replace(search, beam_size=beam, n_best=options.n, max_tokens=options.max_words + 1)

    def compared(
        self, written: Sequence[Sequence[int]], references: Sequence[Sequence[Sequence[int]]]
    ) -> dict[str, float]:
        """Return BLEU-4, CIDEr and the mean length; unknown words are never written, so none of them counts."""
        metrics = caption_metrics(written, references)
        return {name: metrics[name] for name in ("bleu4", "cider", "words")}

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return BLEU-1 to BLEU-4 and CIDEr-D against all captions of each image, beside the most frequent one's."""
        search = self.search(model, options)
        judged = judge(model, examples, search)
        references = [[plain_words(caption) for caption in example.target] for example in judged.examples]
        written = list(map(self.words.words_of, judged.written))
        metrics: Json = {"loss": judged.loss, **caption_metrics(written, references), "images": len(written)}
        metrics |= {"beam_size": search.beam_size, "length_penalty": search.length_penalty}
        if model.folder is None:
            return metrics, {}
        always = read_always(model.folder, "caption", list)
        scores = caption_metrics([always] * len(written), references)
        return metrics, {"model": f"always {sentence(always)!r}", **scores}

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[results.Result]:
        """Yield the captions of each image, with where the network looked."""
        kind: Any = results.result_type(model.input.Shown, self.Result)
        x, _ = fed(model, inputs)
        grid = grid_of(model.network, x)
        found = search_all(model, inputs, self.search(model, options))
        texts = [(n, without_end(h.tokens)) for n, hypotheses in enumerate(found) for h in hypotheses]
        looked = iter(attention_weights(model, [inputs[n] for n, _ in texts], [words for _, words in texts]))
        for given, window, hypotheses in zip(shown, x, found, strict=True):
            fields = dict(given)
            if fields["seen"] is not None:
                fields["seen"] = window.cpu().numpy()
            captions = [
                WrittenCaption(
                    text=self.decode(h.tokens),
                    words=tuple(self.words.words_of(h.tokens)),
                    log_prob=h.log_prob,
                    score=h.score,
                    attention=next(looked).reshape(-1, *grid),
                )
                for h in hypotheses
            ]
            yield kind(**fields, captions=tuple(captions))
