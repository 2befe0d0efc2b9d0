"""Adapting a language model to one writer, from a few of their texts.

There are two ways, and they can be combined: an n-gram of the writer's text mixed into the network's predictions, which
takes seconds (the *cache*), and training the network on with a low learning rate, which takes minutes. docs/personal.md
says how much each of them brings.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import nn

from unrolled.data import TokenFile, Tokenizer, Windows, encode_corpus, read_documents, split_pieces
from unrolled.decoding import MergingStepper
from unrolled.errors import DataError, ModelError
from unrolled.settings import Settings
from unrolled.storage import storage_error, write_whole
from unrolled.tasks.core.values import Progress
from unrolled.tasks.outputs.next.cache import CachedStepper, CacheWeights, fit_weights, mix
from unrolled.tasks.outputs.next.completion import fit_threshold
from unrolled.tasks.outputs.next.network import LanguageModelLearner, token_log_probabilities
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.training import TrainingSettings, fit

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

PERSONAL = "personal.safetensors"
#: tokens of an n-gram of the writer's text
ORDER = {"char": 6, "byte": 6, "bpe": 3}
#: of the writer's text, what is held back to fit λ, the number of steps and the threshold; and the least of it
HELD_BACK, FEWEST_TOKENS = 0.15, 100
#: relative to the learning rate that the model was trained with
FINETUNING_RATE = 0.15


class PersonalOptions(Settings):
    """How to adapt. The cache brings most for its time (docs/personal.md)."""

    method: Literal["cache", "finetune", "both"] = "cache"
    # of training the network on, at most
    minutes: Annotated[float, Field(gt=0)] = 3.0
    epochs: Annotated[float, Field(gt=0)] = 20.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # as in training; None is as the model was trained
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None
    format: Literal["auto", "text", "jsonl", "mbox", "eml"] = "auto"
    text_key: str | None = None


@dataclass(frozen=True)
class Cache:
    """An n-gram of a writer's text, and how much weight it gets where.

    Attributes:
        ngram: over the model's tokens.
        weights: λ by how well the n-gram knows the context.
    """

    ngram: NGram
    weights: CacheWeights

    def stepper(self, network: MergingStepper[Any]) -> CachedStepper[Any]:
        """The network with this mixed in."""
        return CachedStepper(network, self.ngram, self.weights)

    def log_probabilities(self, network: nn.Module, tokens: TokenFile | NDArray[Any]) -> NDArray[np.float64]:
        """ln p of each token of a text but the first, given all before it, (N − 1,) nats, the network's mixed in."""
        ids = np.asarray(tokens.tokens if isinstance(tokens, TokenFile) else tokens, dtype=np.int64)
        # the first token is context of the second, and itself not predicted
        network_s = np.concatenate((np.zeros(1), token_log_probabilities(network, tokens)))
        return mix(network_s, self.ngram, ids, self.weights)[1:]

    @property
    def fingerprint(self) -> str:
        """A hash of all of it, as a network has one."""
        return hashlib.sha256(save_arrays(self._arrays())).hexdigest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        weights = {f"cache.{name}": array for name, array in self.weights.to_arrays().items()}
        return {**{f"ngram.{name}": array for name, array in self.ngram.to_arrays().items()}, **weights}

    def save(self, folder: Path) -> None:
        """Write it into a model's folder.

        Raises:
            StorageError: that can't be done.
        """
        write_whole(folder / PERSONAL, save_arrays(self._arrays()))

    @classmethod
    def load(cls, folder: Path, vocabulary_size: int) -> Cache | None:
        """What `save` wrote into a model's folder, or None if there is none.

        Raises:
            StorageError, ModelError: it can't be read, is damaged, or is over another vocabulary.
        """
        path = folder / PERSONAL
        if not path.exists():
            return None
        try:
            arrays = load_arrays(path.read_bytes())
        except OSError as error:
            raise storage_error(error, path, "reading it") from error
        except SafetensorError as error:
            raise ModelError(f"{path}: corrupt or cut short ({error}); adapt the model to the writer again") from error
        parts: dict[str, dict[str, NDArray[Any]]] = {"ngram": {}, "cache": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        try:
            ngram, weights = NGram.from_arrays(parts["ngram"]), CacheWeights.from_arrays(parts["cache"])
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        if ngram.vocabulary_size != vocabulary_size or len(weights.table) != ngram.order:
            raise ModelError(f"{path}: does not fit the model beside it; adapt the model to the writer again")
        return cls(ngram, weights)


def personalise(model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Fitted:
    """A model adapted to a writer; the one given stays as it is.

    Args:
        model: a model of the task `generate`.
        paths: the writer's texts, as `train` reads them.
        progress: told how far it has come.
        options: the fields of `PersonalOptions`; what is None is as by default.

    Returns:
        A model with a cache, a network of its own, or both, and a threshold fitted on text of this writer that was
        held back (the model's own where that is too little).

    Raises:
        ArgumentError: an option is out of range.
        DataError, StorageError: the texts can't be read, or are too short to hold any of them back.
        DivergenceError: training came to nothing.
    """
    chosen = PersonalOptions(**{name: value for name, value in options.items() if value is not None})
    with _encoded(model, paths, chosen, progress) as (train, held):
        network = model.network
        if chosen.method != "cache":
            network = finetuned(model, train, held, chosen, progress).eval()
        cache = model.cache
        if chosen.method != "finetune":
            progress("weighing an n-gram of the writer", 0, None)
            cache = fitted_cache(network, model.encoders, train, held)
        adapted = model.adapted(network=network, cache=cache)
        adapted.config.fitted["personal"] = {
            "method": chosen.method,
            "tokens": len(train) + len(held),
            "documents": train.documents + held.documents,
        }
        fitted = fit_threshold(adapted, held.tokens, adapted.config.options.get("coverage", 0.3), progress)
        if fitted["threshold"] is not None:
            adapted.fitted.update(fitted)
        if chosen.method != "finetune":
            # only now: an n-gram that has read the text held back would be too sure of itself there
            whole = np.concatenate((_ids(train), _ids(held)))
            adapted.cache = Cache(NGram.fit(whole, cache.ngram.order, cache.ngram.vocabulary_size), cache.weights)
    return adapted


def fitted_cache(network: nn.Module, tokenizer: Tokenizer, train: TokenFile, held: TokenFile) -> Cache:
    """An n-gram of a writer's text, with weights fitted on text that the n-gram has not seen.

    Args:
        network: that it is mixed into; if it was trained on the writer's text, then not on `held`.
        tokenizer: of the ids.
        train: what is counted.
        held: what λ is fitted on, at least two tokens.
    """
    ngram = NGram.fit(_ids(train), ORDER[tokenizer.kind], tokenizer.vocabulary_size)
    return Cache(ngram, fit_weights(token_log_probabilities(network, held), ngram, _ids(held)[1:]))


def _ids(tokens: TokenFile) -> NDArray[np.int64]:
    return np.asarray(tokens.tokens, dtype=np.int64)


def finetuned(
    model: Fitted, train: TokenFile, held: TokenFile, options: PersonalOptions, progress: Progress
) -> nn.Module:
    """A copy of the network, trained on until the text held back is predicted no better.

    Args:
        model: whose network; it is not modified.
        train: the writer's text.
        held: the part that says when to stop.
        options: how long, at most.
        progress: told of it.

    Raises:
        KeyboardInterrupt: Ctrl-C; nothing is kept.
    """
    network = copy.deepcopy(model.network)
    before = TrainingSettings(**model.config.training)
    batching = model.config.batching
    # short texts make few lanes; a window is as in training, so that the carried state means the same
    windows = Windows(
        train, min(int(batching.get("batch_size", 16)), 16), int(batching.get("window", 96)), seed=options.seed
    )
    settings = TrainingSettings(
        optimiser="adamw",
        lr=before.lr * FINETUNING_RATE,
        weight_decay=before.weight_decay,
        betas=before.betas,
        warmup_steps=min(20, windows.batches_per_epoch),
        min_lr_ratio=0.1,
        clip_norm=before.clip_norm,
        minutes=options.minutes,
        epochs=options.epochs,
        patience=3,
        evaluate_every=max(10, windows.batches_per_epoch),
        sample_every=0,
        save_every=max(10, windows.batches_per_epoch),
        log_every=max(10, windows.batches_per_epoch),
        seed=options.seed,
    )
    progress("training the network on the writer's text", 0, None)
    learner = LanguageModelLearner(network, held.tokens, held.characters / len(held))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        if fit(learner, windows, settings, folder).interrupted:
            # `fit` ends in order, but half a training is nobody's model
            raise KeyboardInterrupt
    return network


@contextmanager
def _encoded(
    model: Fitted, paths: tuple[Path, ...], options: PersonalOptions, progress: Progress
) -> Iterator[tuple[TokenFile, TokenFile]]:
    """The writer's text as two files of tokens, to learn from and held back, that are gone afterwards."""
    as_trained = model.config.options
    reading: dict[str, Any] = {
        "encoding": options.encoding or as_trained.get("encoding", "utf-8"),
        "errors": options.errors or as_trained.get("errors", "strict"),
        "text_key": options.text_key or as_trained.get("text_key", "text"),
        "format": options.format,
    }
    progress("reading the writer's text", 0, None)
    split = split_pieces(lambda: read_documents(paths, **reading), dev_share=HELD_BACK)
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        files = [
            encode_corpus(part(), model.encoders, Path(folder) / f"{name}.tokens")
            for name, part in (("train", split.train), ("held", split.dev))
        ]
        if min(map(len, files)) < FEWEST_TOKENS:
            raise DataError(
                f"{split.characters} characters are too few to adapt to a writer: after a part of "
                f"{HELD_BACK:.0%} is held back, each part needs at least {FEWEST_TOKENS} tokens; give more text",
                str(paths[0]),
            )
        yield files[0], files[1]
