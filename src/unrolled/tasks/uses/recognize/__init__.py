"""`recognize`: what class an image is of, seen as a whole by a convolutional network, or read row by row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import save as save_arrays
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleStore, Findings
from unrolled.data.images.augmentation import affine
from unrolled.data.images.files import Fit, Pixels, picture_of, resize
from unrolled.data.images.format import ImageFormat
from unrolled.data.images.labelled import LabelledImage, read_labelled_images
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.layers import CrossEntropy
from unrolled.metrics.classification import classification_metrics
from unrolled.settings import Settings
from unrolled.storage import write_whole
from unrolled.tasks.core.contract import DATA, Evaluation, Plan, Progress, Sources
from unrolled.tasks.core.examples import ExampleOptions, ExampleTask, Material, Scored, read_json, write_json
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import probe_image
from unrolled.tasks.inputs.image.decodable import check_decodable, load_baseline, pieces
from unrolled.tasks.outputs.label.baseline import SoftmaxRegression
from unrolled.tasks.uses.recognize.plan import build_recognizer, plan_recognizer
from unrolled.tasks.uses.recognize.results import Recognition

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

FORMAT, LABELS, BASELINE = "images.json", "labels.json", "baseline.safetensors"
#: images side by side where nothing is learned
SIDE_BY_SIDE = 128
#: the linear baseline sees images no larger than this, and no more of them than that
BASELINE_SIDE, BASELINE_FROM = 32, 60_000

Size = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, lt=1)]


class RecognizeOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    reading: Literal["image", "rows", "pixels"] = Field(
        "image", description="see the image as a whole (convolutions), or read its rows or pixels one after the other"
    )
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = Field(
        None, description="shorter side of what the network sees, in pixels"
    )
    colour: Literal["auto", "grey", "colour"] = Field("auto", description="what the network sees")
    fit: Fit = Field("stretch", description="how images of another aspect ratio are brought to one size")
    widths: tuple[Size, ...] | None = Field(
        None, description="channels of the first convolution and of each stage that halves the image"
    )
    blocks: Annotated[int, Field(ge=1, le=16)] | None = Field(None, description="residual blocks of a stage")
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    bidirectional: bool = Field(True, description="rows and pixels: read in both directions; without, it can stream")
    pooling: str = Field("last+max", description="rows and pixels: last, mean, max, attention, or several with +")
    dropout: Share | None = Field(None, description="probability, before the output layer")
    smoothing: Share = Field(0.0, description="label smoothing")
    augment: bool = Field(True, description="show images moved, turned and scaled a little while training")
    shift: Annotated[float, Field(ge=0, le=0.5)] = Field(0.08, description="by how much, as a share of the side")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10.0, description="by how much, in degrees")
    scale: Annotated[float, Field(ge=0, le=0.5)] = Field(0.1, description="by how much, relative")
    mirror: bool | None = Field(None, description="mirror half of the images [all but drawings such as digits]")


class RecognizeEvaluation(Settings):
    """How to evaluate; None as in training."""

    skip_bad: bool | None = Field(None, description="leave out images that can't be read, instead of ending")


class RecognizePrediction(Settings):
    """How to predict."""

    place: bool | None = Field(
        None,
        description="cut a drawing out of its page, scale and centre it as the training images were "
        "[if it is of another size than they]",
    )


@dataclass(frozen=True)
class RecognizeEncoders:
    """What turns images into arrays, and numbers into classes.

    Attributes:
        format: what the network reads.
        labels: the classes, in the order of the logits.
    """

    format: ImageFormat
    labels: tuple[str, ...]


class Recognize(ExampleTask):
    """Image in, class out."""

    name: ClassVar[str] = "recognize"
    summary: ClassVar[str] = "tell what class an image is of: digits, things, scenes"
    shape: ClassVar[str] = "one-to-one; row by row, many-to-one"
    options: ClassVar[type[Settings]] = RecognizeOptions
    evaluate_options: ClassVar[type[Settings]] = RecognizeEvaluation
    predict_options: ClassVar[type[Settings]] = RecognizePrediction
    reads: ClassVar[Literal["text", "path"]] = "path"
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def read(self, paths: tuple[Path, ...], options: RecognizeOptions, findings: Findings) -> list[LabelledImage]:
        """A folder per class, IDX, NPZ."""
        return read_labelled_images(paths, findings)

    def check(
        self, sources: Sources, options: RecognizeOptions, findings: Findings, progress: Progress
    ) -> dict[str, Any]:
        """As for every task, and every image is decoded."""
        counts = super().check(sources, options, findings, progress)
        check_decodable(self, sources, options, findings, progress)
        return counts

    def check_examples(
        self,
        train: Sequence[Any],
        dev: Sequence[Any],
        options: RecognizeOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Classes of a single image can be learned by heart only."""
        counts: dict[str, int] = {}
        for example in train:
            counts[example.label] = counts.get(example.label, 0) + 1
        for example in train:
            if counts[example.label] == 1:
                message = f"the only image of the class {example.label!r}: too few to learn and to judge by"
                findings.warning("rare class", message, example.path)

    def fit(self, train: Sequence[Any], options: RecognizeOptions, progress: Progress) -> RecognizeEncoders:
        """Classes, and size and statistics of the images."""
        progress("looking at the images", 0, None)
        labels = sorted({example.label for example in train}, key=_in_order)
        if len(labels) < 2:
            raise DataError(f"all images are of one class, {labels[0]!r}; at least 2 are needed", train[0].path)
        channels = {"auto": None, "grey": 1, "colour": 3}[options.colour]
        pictures = [example.picture for example in train]
        found = ImageFormat.fitted(pictures, size=options.image_size, channels=channels, fit=options.fit)
        return RecognizeEncoders(found, tuple(labels))

    def save_encoders(self, encoders: RecognizeEncoders, folder: Path) -> None:
        """images.json and labels.json."""
        write_json(folder / FORMAT, encoders.format.as_json())
        write_json(folder / LABELS, list(encoders.labels))

    def load_encoders(self, folder: Path) -> RecognizeEncoders:
        """images.json and labels.json."""
        labels = read_json(folder / LABELS)
        if not (isinstance(labels, list) and len(labels) > 1 and all(isinstance(x, str) for x in labels)):
            raise ModelError(f"{folder / LABELS}: corrupt, expected a list of at least two classes")
        try:
            return RecognizeEncoders(ImageFormat.from_json(read_json(folder / FORMAT)), tuple(labels))
        except ArgumentError as error:
            raise ModelError(f"{folder / FORMAT}: corrupt, {error}") from error

    def encode(self, example: LabelledImage, encoders: RecognizeEncoders) -> Arrays:
        """image (H, W, C) uint8; label (1,), −100 for a class that training never saw."""
        number = encoders.labels.index(example.label) if example.label in encoders.labels else CrossEntropy().ignored
        return {"image": encoders.format.read(example.picture), "label": np.array([number], dtype=np.int64)}

    def fit_baseline(
        self, train: Sequence[Any], dev: Sequence[Any], encoders: Any, folder: Path, progress: Progress
    ) -> None:
        """Logistic regression on the pixels."""
        progress("fitting the logistic regression", 0, None)
        store = ExampleStore.open(folder / DATA / "train.examples")
        step = max(1, -(-len(store) // BASELINE_FROM))
        chosen = [store[n] for n in range(0, len(store), step)]
        x = linear_features([e["image"] for e in chosen])
        fitted = SoftmaxRegression.fit(x, np.array([int(e["label"][0]) for e in chosen]), len(encoders.labels))
        write_whole(folder / BASELINE, save_arrays(fitted.to_arrays()))

    def count(self, train: Sequence[Any], dev: Sequence[Any], encoders: RecognizeEncoders) -> dict[str, Any]:
        """The number of classes, and what the network sees."""
        seen = encoders.format
        return {"classes": len(encoders.labels), "image": f"{seen.height} × {seen.width} × {seen.channels}"}

    def plan(self, material: Material, options: RecognizeOptions, training: Mapping[str, Any]) -> Plan:
        """By how many images there are and how large they are."""
        return plan_recognizer(material, options, training)

    def build(self, network: Mapping[str, Any], encoders: RecognizeEncoders) -> nn.Module:
        """A residual network, or a recurrent one over rows or pixels."""
        return build_recognizer(network, encoders.format, len(encoders.labels))

    def collate(self, model: Model, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """images (B, H, W, C), labels (B,)."""
        images: Any = np.stack([example["image"] for example in examples])
        options = cast(RecognizeOptions, self.options(**model.config.options))
        if draw is not None and options.augment:
            images = augmented(images, draw, options, model.encoders.format)
        labels = np.concatenate([example["label"] for example in examples])
        return {"images": torch.from_numpy(images), "labels": torch.from_numpy(labels)}

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Cross entropy, nats an image."""
        loss = CrossEntropy(smoothing=network.smoothing if network.training else 0.0)  # type: ignore[arg-type]
        return Scored(*loss(network(data["images"]), data["labels"]))

    def dev_metrics(self, model: Model, dev: ExampleStore) -> dict[str, float]:
        """Loss, accuracy and macro F1."""
        found, gold = [], []
        for examples in pieces((dev[n] for n in range(len(dev))), SIDE_BY_SIDE):
            gold.append(np.concatenate([example["label"] for example in examples]))
            found.append(log_probabilities(model, np.stack([example["image"] for example in examples])))
        log_probs, labels = np.concatenate(found), np.concatenate(gold)
        return {k: v for k, v in measured(log_probs, labels, model.encoders.labels).items() if k in SHOWN}

    def evaluate(self, model: Model, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Accuracy, macro F1, calibration and confusion, beside the logistic regression's.

        Raises:
            DataError: a class that the model does not know, or an image that can't be read, naming it.
        """
        started = time.perf_counter()
        chosen = RecognizeEvaluation(**options)
        examples = self.read_for_evaluation(model, paths, progress, **chosen.model_dump())
        known: RecognizeEncoders = model.encoders
        for example in examples:
            if example.label not in known.labels:
                raise DataError(
                    f"class {example.label!r} is not one of the model's: {', '.join(known.labels[:20])}", example.path
                )
        as_trained = cast(RecognizeOptions, self.options(**model.config.options))
        skip = as_trained.skip_bad if chosen.skip_bad is None else chosen.skip_bad
        findings = Findings(strict=not skip)
        baseline = load_baseline(model, BASELINE)
        own: list[Any] = []
        linear: list[Any] = []
        gold: list[Any] = []
        for pairs in pieces(self.encoded(examples, known, findings), SIDE_BY_SIDE):
            progress("recognising", sum(len(part) for part in gold), len(examples))
            images = np.stack([arrays["image"] for _, arrays in pairs])
            gold.append(np.concatenate([arrays["label"] for _, arrays in pairs]))
            own.append(log_probabilities(model, images))
            if baseline is not None:
                linear.append(SoftmaxRegression.from_arrays(baseline).log_probabilities(linear_features(images)))
        findings.log("unrolled data check recognize DATA shows all")
        if not gold:
            raise DataError("no image that can be read", paths[0])
        labels = np.concatenate(gold)
        metrics = measured(np.concatenate(own), labels, known.labels)
        beside: dict[str, Any] = {}
        if linear:
            beside = {
                "model": "logistic regression on pixels",
                **measured(np.concatenate(linear), labels, known.labels),
            }
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def predict(self, model: Model, inputs: Iterable[Any], **options: Any) -> Iterator[Recognition]:
        """The class of each image.

        Args:
            model: the model.
            inputs: of any size: paths, arrays (H, W) or (H, W, C) in uint8 or from 0 to 1, Pillow images, or the bytes
                of image files.
            options: the fields of `RecognizePrediction`.
        """
        chosen = RecognizePrediction(**options)
        together = SIDE_BY_SIDE if isinstance(inputs, (list, tuple)) else 1
        format: ImageFormat = model.encoders.format
        for some in pieces(inputs, together):
            pictures = [picture_of(one) for one in some]
            seen = np.stack([as_seen(picture.pixels(), format, chosen.place) for picture in pictures])
            for picture, image, log_probs in zip(pictures, seen, log_probabilities(model, seen), strict=True):
                probs = np.exp(log_probs.astype(np.float64))
                probs /= probs.sum()
                order = np.argsort(-probs, kind="stable")
                ranked = {model.encoders.labels[k]: float(probs[k]) for k in order}
                label = next(iter(ranked))
                yield Recognition(str(picture.path), label, ranked[label], ranked, image)

    def probe(self, model: Model, given: Any, limit: int) -> Probe:
        """An image by its rows or pixels, asked about its class."""
        image = as_seen(picture_of(given).pixels(), model.encoders.format, True)
        device = next(model.network.parameters()).device
        return probe_image(model, torch.from_numpy(image[None]).to(device), limit)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.recognize.api import RecognizeWire

        return RecognizeWire()

    def stream(self, model: Model) -> Any:
        """An image that comes row by row."""
        from unrolled.tasks.inputs.image.stream import RowSession

        return RowSession(model)


SHOWN = ("loss", "accuracy", "macro_f1")


def _in_order(label: str) -> tuple[int, int, str]:
    """Numbers by their value, before all else."""
    return (0, int(label), label) if label.isascii() and label.isdigit() else (1, 0, label)


def augmented(
    images: Pixels, draw: np.random.Generator, options: RecognizeOptions, format: ImageFormat
) -> NDArray[np.float32]:
    """Images (B, H, W, C) moved, turned, scaled and mirrored, each by amounts of its own."""
    mirror = format.ink is None if options.mirror is None else options.mirror
    if mirror:
        flips = draw.random(len(images)) < 0.5
        images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    return affine(
        images,
        draw,
        shift=options.shift * min(format.height, format.width),
        rotate=options.rotate,
        scale=options.scale,
        fill=None if format.ink is None else (float(format.ink.ground),),
    )


def as_seen(pixels: Pixels, format: ImageFormat, place: bool | None) -> Pixels:
    """An image of any size as the network reads it.

    Raises:
        ArgumentError: it is to be placed as a drawing, and the model was not trained on drawings.
    """
    if place and format.ink is None:
        raise ArgumentError("place: the model was not trained on drawings on an even ground; leave it out")
    wanted = pixels.shape[:2] != (format.height, format.width) if place is None else place
    if format.ink is not None and wanted:
        return format.ink.place(pixels, format.height, format.width)
    return format.resized(pixels)


def log_probabilities(model: Model, images: Pixels) -> NDArray[np.float32]:
    """ln p of each class for images (B, H, W, C) as the network reads them, (B, K)."""
    device = next(model.network.parameters()).device
    with torch.no_grad():
        logits: Tensor = model.network(torch.from_numpy(images).to(device))
    return logits.float().log_softmax(-1).cpu().numpy()


def linear_features(images: Sequence[Pixels] | Pixels) -> NDArray[np.float32]:
    """Pixels from 0 to 1 in one row for each image, (N, F); large images are made smaller first."""
    height, width = images[0].shape[:2]
    scale = min(1.0, BASELINE_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    rows = np.stack([resize(np.asarray(image), *size).reshape(-1) for image in images])
    return rows.astype(np.float32) / np.float32(255)


def measured(log_probs: NDArray[np.float32], gold: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    """Metrics of ln p (N, K) against classes (N,)."""
    known = gold >= 0
    found = classification_metrics(log_probs[known], gold[known], labels)
    # of a class that training never saw, every answer is wrong
    return {**found, "accuracy": found["accuracy"] * float(known.mean())}
