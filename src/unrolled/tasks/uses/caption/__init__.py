"""`caption`: a sentence about an image, written word by word by a network that looks at its parts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.data import Arrays, ExampleStore, Findings
from unrolled.data.images.augmentation import crop
from unrolled.data.images.captions import END, CaptionedImage, caption_words, read_captions
from unrolled.data.images.files import picture_of
from unrolled.errors import ArgumentError, DataError, ModelError, ShapeError
from unrolled.layers import CrossEntropy
from unrolled.layers.outputs.losses import IGNORED
from unrolled.metrics.captions import caption_metrics, corpus_bleu
from unrolled.networks import OneToManyNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleTask, Material, Scored, read_json, write_json
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import probe_caption
from unrolled.tasks.core.values import Evaluation, Plan, Progress, Sources
from unrolled.tasks.inputs.image.decodable import check_decodable, pieces
from unrolled.tasks.uses.caption.decode import (
    Search,
    attention_maps,
    best_captions,
    fit_search,
    search_captions,
    sentence,
    text_of,
    words_of,
)
from unrolled.tasks.uses.caption.encode import CaptionEncoders, fit_encoders
from unrolled.tasks.uses.caption.options import CaptionEvaluation, CaptionOptions, CaptionPrediction
from unrolled.tasks.uses.caption.plan import CaptionNetwork, build_captioner, plan_captioner
from unrolled.tasks.uses.caption.results import CaptionedPrediction, WrittenCaption

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

BASELINE = "baseline.json"
#: images that captions are written about at the same time
SIDE_BY_SIDE = 64
#: images of the development data that captions are written about while it learns
WRITTEN = 1000


class Caption(ExampleTask):
    """Image in, sentence out."""

    name: ClassVar[str] = "caption"
    summary: ClassVar[str] = "write a sentence about an image"
    shape: ClassVar[str] = "one-to-many"
    options: ClassVar[type[Settings]] = CaptionOptions
    evaluate_options: ClassVar[type[Settings]] = CaptionEvaluation
    predict_options: ClassVar[type[Settings]] = CaptionPrediction
    reads: ClassVar[Literal["text", "path"]] = "path"
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def read(self, paths: tuple[Path, ...], options: CaptionOptions, findings: Findings) -> list[CaptionedImage]:
        """Token files, COCO JSON, tables; images in a folder or .zip, or features in an NPZ."""
        images = None if options.images is None else Path(options.images)
        columns = {"image_column": options.image_column, "caption_column": options.caption_column}
        return read_captions(paths, findings, images=images, **columns)

    def check(
        self, sources: Sources, options: CaptionOptions, findings: Findings, progress: Progress
    ) -> dict[str, Any]:
        """As for every task, and every image is decoded."""
        counts = super().check(sources, options, findings, progress)
        check_decodable(self, sources, options, findings, progress)
        return counts

    def check_examples(
        self, train: Sequence[Any], dev: Sequence[Any], options: CaptionOptions, findings: Findings, progress: Progress
    ) -> None:
        """An image with the same caption twice counts it double."""
        for example in (*train, *dev):
            if len({tuple(caption_words(c)) for c in example.captions}) < len(example.captions):
                message = f"{example.name} has the same caption twice"
                findings.warning("duplicate caption", message, example.path, example.line)

    def fit(self, train: Sequence[Any], options: CaptionOptions, progress: Progress) -> CaptionEncoders:
        """Words, attributes, and size and statistics of the images."""
        progress("looking at the images", 0, None)
        return fit_encoders(train, options)

    def save_encoders(self, encoders: CaptionEncoders, folder: Path) -> None:
        """images.json and words.json."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> CaptionEncoders:
        """images.json and words.json."""
        return CaptionEncoders.load(folder)

    def encode(self, example: CaptionedImage, encoders: CaptionEncoders) -> Arrays:
        """image (H, W, C) uint8 or features (P, F); words of all captions (Σ T,) and the length of each, int32."""
        captions = [encoders.vocabulary.encode(caption_words(caption)) for caption in example.captions]
        return {
            "image": self._seen(example.picture if example.features is None else example.features, encoders),
            "words": np.concatenate(captions),
            "lengths": np.array([len(words) for words in captions], dtype=np.int32),
        }

    def _seen(self, given: Any, encoders: CaptionEncoders) -> Any:
        if encoders.format is not None:
            return encoders.format.read(picture_of(given))
        if isinstance(given, (str, Path, bytes)):
            kind = "bytes" if isinstance(given, bytes) else repr(str(given))
            shape = (encoders.positions, len(encoders.mean))
            raise ArgumentError(
                f"input: this model reads features, arrays of {shape}, found {kind}; hand over "
                "the features of an image from Python, or evaluate on captions and an NPZ"
            )
        features = np.asarray(given)
        features = features[None] if features.ndim == 1 else features
        if features.shape != (encoders.positions, len(encoders.mean)) or features.dtype.kind != "f":
            expected = f"(P={encoders.positions}, F={len(encoders.mean)}) floating point"
            raise ShapeError("features", expected, features.shape, "this model reads features, not images")
        return features.astype(np.float32)

    def fit_baseline(
        self, train: Sequence[Any], dev: Sequence[Any], encoders: CaptionEncoders, folder: Path, progress: Progress
    ) -> None:
        """The most frequent caption, and the first of equals in the alphabet."""
        counts = Counter(tuple(caption_words(caption)) for example in train for caption in example.captions)
        words, count = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        write_json(folder / BASELINE, {"caption": words, "count": count})

    def count(self, train: Sequence[Any], dev: Sequence[Any], encoders: CaptionEncoders) -> dict[str, Any]:
        """Captions and words."""
        return {
            "train_captions": sum(len(example.captions) for example in train),
            "dev_captions": sum(len(example.captions) for example in dev),
            "words": len(encoders.vocabulary.words),
            "attributes": len(encoders.attributes),
        }

    def plan(self, material: Material, options: CaptionOptions, training: Mapping[str, Any]) -> Plan:
        """By how many images there are."""
        return plan_captioner(material, options, training)

    def build_network(self, network: Mapping[str, Any], encoders: CaptionEncoders) -> OneToManyNetwork:
        """A residual network and an attention decoder."""
        return build_captioner(network, encoders)

    def initialise(self, network: nn.Module, material: Material) -> None:
        """Begin with how often words are written, and how often attributes are there."""
        captioner = cast(OneToManyNetwork, network)
        counts = np.ones(captioner.vocabulary_size)
        present = np.ones(captioner.vocabulary_size)
        for n in range(len(material.train)):
            example = material.train[n]
            np.add.at(counts, example["words"], 1)
            counts[END] += len(example["lengths"])
            present[np.unique(example["words"])] += 1
        with torch.no_grad():
            frequencies = torch.from_numpy(np.log(counts / counts.sum())).float()
            captioner.output.bias.copy_(frequencies)  # type: ignore[operator]
            if captioner.attributes is not None:
                share = present[list(material.encoders.attributes)] / (len(material.train) + 2)
                captioner.attributes.bias.copy_(torch.from_numpy(np.log(share / (1 - share))).float())

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """images (B, …), tokens and targets (T, N), lengths and rows (N,), present (B, A)."""
        options = cast(CaptionOptions, self.options(**model.config.options))
        chosen = CaptionNetwork(**model.config.network)
        data = {"images": self._images(model, [example["image"] for example in examples], draw, options.mirror)}
        rows, sequences = [], []
        present = np.zeros((len(examples), len(chosen.attributes)), dtype=np.float32)
        places = {number: place for place, number in enumerate(chosen.attributes)}
        for row, example in enumerate(examples):
            captions = np.split(example["words"], np.cumsum(example["lengths"])[:-1])
            for words in captions:
                for place in {places[n] for n in words.tolist() if n in places}:
                    present[row, place] += 1 / len(captions)
            taken: Sequence[int] = range(len(captions))
            if draw is not None:
                wanted = min(int(model.config.batching["captions"]), len(captions))
                taken = draw.permutation(len(captions))[:wanted].tolist()
            sequences += [captions[n].astype(np.int64) for n in taken]
            rows += [row] * len(taken)
        longest = max(map(len, sequences)) + 1
        tokens = np.full((longest, len(sequences)), END, dtype=np.int64)
        targets = np.full_like(tokens, IGNORED)
        for column, words in enumerate(sequences):
            tokens[1 : len(words) + 1, column] = words
            targets[: len(words), column] = words
            targets[len(words), column] = END
        lengths = np.array([len(words) + 1 for words in sequences], dtype=np.int64)
        parts = {"tokens": tokens, "targets": targets, "lengths": lengths, "rows": np.array(rows), "present": present}
        return data | {name: torch.from_numpy(array) for name, array in parts.items()}

    def _images(self, model: Fitted, images: list[Any], draw: np.random.Generator | None, mirror: bool) -> Tensor:
        stacked = np.stack(images)
        size = model.config.network.get("image_size")
        if size is not None:
            stacked = crop(stacked, int(size[0]), int(size[1]), draw, mirror=mirror)
        return torch.from_numpy(stacked)

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Cross entropy of the words, nats a word, and of the attributes; the sum of both is minimised."""
        logits, attributes = network(data["images"], data["tokens"], data["lengths"], data["rows"])
        training = network.training
        loss = CrossEntropy(smoothing=network.smoothing if training else 0.0)  # type: ignore[arg-type]
        mean, total, count = loss(logits, data["targets"])
        if attributes is not None and training:
            # summed over the attributes: most are absent, and a mean over them would hardly move anything
            seen = F.binary_cross_entropy_with_logits(attributes, data["present"], reduction="none").sum(1).mean()
            mean = mean + network.attribute_weight * 0.1 * seen  # type: ignore[operator]
        return Scored(mean, total, count)

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Nats a word on all of it; BLEU-4 and CIDEr of captions written about its first images."""
        total, count = 0.0, 0
        device = next(model.network.parameters()).device
        for examples in pieces((dev[n] for n in range(len(dev))), SIDE_BY_SIDE):
            data = {k: v.to(device) for k, v in self.collate(model, examples, None).items()}
            scored = self.score(model.network, data)
            total, count = total + float(scored.total), count + scored.count
        written = self._written(model, dev, Search(), WRITTEN)
        found = caption_metrics(*written)
        return {"loss": total / max(1, count), **{name: found[name] for name in ("bleu4", "cider", "words")}}

    def _written(self, model: Fitted, dev: ExampleStore, search: Search, most: int) -> tuple[Any, Any]:
        """Captions of the development data as numbers, and their references."""
        captions, references = [], []
        for examples in pieces((dev[n] for n in range(min(most, len(dev)))), SIDE_BY_SIDE):
            images = self._images(model, [example["image"] for example in examples], None, False)
            images = images.to(next(model.network.parameters()).device)
            captions += best_captions(model.network, images, search)  # type: ignore[arg-type]
            for example in examples:
                cuts = np.cumsum(example["lengths"])[:-1]
                references.append([words.tolist() for words in np.split(example["words"], cuts)])
        # unknown words are never written, so that none of them counts as found
        return captions, references

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """Captions of a few images of the development data."""
        written, references = self._written(model, dev, Search(), 4)
        decode = model.encoders.vocabulary.decode
        lines = []
        for found, others in zip(written, references, strict=True):
            lines.append(f"{sentence(decode(found))}  (people: {sentence(decode(others[0]))})")
        return "\n".join(lines)

    def finish(self, model: Fitted, material: Material, progress: Progress) -> None:
        """Choose the beam and the length penalty by BLEU-4 on the development data."""
        progress("choosing the length penalty", 0, None)
        model.network.eval()
        found, score = fit_search(lambda search: corpus_bleu(*self._written(model, material.dev, search, 10**9))[3])
        model.fitted.update(beam_size=found.beam_size, length_penalty=found.length_penalty, dev_bleu4=score)

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """A beam of at least 1, a penalty of at least 0."""
        beam, penalty = fitted.get("beam_size", 1), fitted.get("length_penalty", 0.0)
        if not isinstance(beam, int) or isinstance(beam, bool) or not 1 <= beam <= 1000:
            raise ArgumentError(f"beam_size: expected an integer of at least 1, found {beam!r}")
        if not isinstance(penalty, (int, float)) or not 0 <= penalty <= 100:
            raise ArgumentError(f"length_penalty: expected a number of at least 0, found {penalty!r}")

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """BLEU-1 to BLEU-4 and CIDEr-D against all captions of each image, beside the most frequent caption's.

        Raises:
            DataError: a caption or an image that can't be used, naming it.
        """
        started = time.perf_counter()
        chosen = CaptionEvaluation(**options)
        examples = self.read_for_evaluation(model, paths, progress, images=chosen.images, skip_bad=chosen.skip_bad)
        as_trained = cast(CaptionOptions, self.options(**model.config.options))
        findings = Findings(strict=not (as_trained.skip_bad if chosen.skip_bad is None else chosen.skip_bad))
        search = self._search(model, chosen.beam_size, chosen.length_penalty)
        written: list[list[str]] = []
        references: list[list[list[str]]] = []
        total, count = 0.0, 0
        device = next(model.network.parameters()).device
        for pairs in pieces(self.encoded(examples, model.encoders, findings), SIDE_BY_SIDE):
            progress("writing captions", len(written), len(examples))
            data = {k: v.to(device) for k, v in self.collate(model, [arrays for _, arrays in pairs], None).items()}
            with torch.no_grad():
                scored = self.score(model.network, data)
            total, count = total + float(scored.total), count + scored.count
            found = best_captions(model.network, data["images"], search)  # type: ignore[arg-type]
            written += [model.encoders.vocabulary.decode(words) for words in found]
            references += [[caption_words(caption) for caption in example.captions] for example, _ in pairs]
        findings.log("unrolled data check caption DATA shows all")
        if not written:
            raise DataError("no image that can be read", paths[0])
        metrics: dict[str, Any] = {"loss": total / count, **caption_metrics(written, references)}
        metrics |= {"images": len(written), "beam_size": search.beam_size, "length_penalty": search.length_penalty}
        beside: dict[str, Any] = {}
        if model.folder is not None:
            caption = self._baseline(model.folder)
            beside = {"model": f"always {sentence(caption)!r}", **caption_metrics([caption] * len(written), references)}
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def _baseline(self, folder: Path) -> list[str]:
        raw = read_json(folder / BASELINE)
        words = raw.get("caption") if isinstance(raw, dict) else None
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise ModelError(f"{folder / BASELINE}: corrupt; restore it from a copy of the model")
        return words

    def _search(self, model: Fitted, beam_size: int | None, penalty: float | None, **more: Any) -> Search:
        beam = int(model.fitted.get("beam_size", Search.beam_size)) if beam_size is None else beam_size
        exponent = float(model.fitted.get("length_penalty", Search.length_penalty)) if penalty is None else penalty
        if beam_size is None:
            beam = max(beam, more.get("n", 1))
        return Search(beam, exponent, **more)

    def predict(self, model: Fitted, inputs: Iterable[Any], **options: Any) -> Iterator[CaptionedPrediction]:
        """Captions of each image.

        Args:
            model: the model.
            inputs: of any size: paths, arrays (H, W) or (H, W, C) in uint8 or from 0 to 1, Pillow images, or the bytes
                of image files; for a model of features, arrays (F,) or (P, F).
            options: the fields of `CaptionPrediction`.
        """
        chosen = CaptionPrediction(**options)
        search = self._search(
            model,
            chosen.beam_size,
            chosen.length_penalty,
            n=chosen.n,
            max_words=chosen.max_words,
            no_repeat_ngram=chosen.no_repeat_ngram,
        )
        encoders: CaptionEncoders = model.encoders
        network = cast(OneToManyNetwork, model.network)
        device = next(network.parameters()).device
        for some in pieces(inputs, SIDE_BY_SIDE if isinstance(inputs, (list, tuple)) else 1):
            seen = self._images(model, [self._seen(one, encoders) for one in some], None, False).to(device)
            shape = _grid(network, encoders, seen)
            for one, image, found in zip(some, seen, search_captions(network, seen, search), strict=True):
                words = [words_of(hypothesis) for hypothesis in found]
                maps = attention_maps(network, image.unsqueeze(0), words, shape)
                captions = [
                    WrittenCaption(
                        *text_of(encoders.vocabulary, numbers), hypothesis.log_prob, hypothesis.score, looked
                    )
                    for numbers, hypothesis, looked in zip(words, found, maps, strict=True)
                ]
                name = str(picture_of(one).path) if encoders.format is not None else "features"
                pixels = image.cpu().numpy() if encoders.format is not None else None
                yield CaptionedPrediction(name, tuple(captions), pixels)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.caption.api import CaptionWire

        return CaptionWire()

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """An image and the model's caption of it, by the words of the caption."""
        encoders: CaptionEncoders = model.encoders
        network = cast(OneToManyNetwork, model.network)
        seen = self._images(model, [self._seen(given, encoders)], None, False).to(next(network.parameters()).device)
        [found] = search_captions(network, seen, self._search(model, None, None))
        names, words = encoders.vocabulary, list(found[0].tokens)

        def name(number: int) -> str:
            return "".join(names.decode([number])) or "(end)"

        return probe_caption(model, seen, words, name, END, limit, _grid(network, encoders, seen))


def _grid(network: OneToManyNetwork, encoders: CaptionEncoders, seen: Tensor) -> tuple[int, int]:
    """Rows and columns of the positions that the network looks at; features of an image lie in one row."""
    if encoders.format is None:
        return 1, encoders.positions
    rows, columns = network.inputs.grid_shape(*seen.shape[1:3])  # type: ignore[operator]
    return rows, columns
