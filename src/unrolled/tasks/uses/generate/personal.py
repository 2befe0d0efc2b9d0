"""Adapting a language model to one writer, from a few of their texts.

Two ways can be combined: an n-gram of the writer's text mixed into the network's predictions, which
takes seconds (the *cache*), and training the network on with a low learning rate, which takes minutes. docs/personal.md
says how much each of them brings.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unrolled.data import TokenFile, Windows, encode_corpus, split_pieces
from unrolled.data.core.folders import Place
from unrolled.errors import DataError, ModelError
from unrolled.storage import has_part
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.values import Progress
from unrolled.tasks.inputs.text.tokens import TokenInput
from unrolled.tasks.outputs.next.completion import fit_threshold
from unrolled.tasks.outputs.next.encode import NextToken
from unrolled.tasks.outputs.next.mixture import NGramMixture, fit_weights
from unrolled.tasks.outputs.next.network import LanguageModelLearner
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.predictor import TokenPredictor, predictor_of
from unrolled.tasks.uses.generate.options import GenerateOptions, PersonalOptions
from unrolled.training import TrainingSettings, fit

PERSONAL = "personal.safetensors"
#: what is to be done about a file that is damaged
ANEW = "adapt the model to the writer again"
#: tokens of an n-gram of the writer's text
ORDER = {"char": 6, "byte": 6, "bpe": 3, "word": 3}
#: of the writer's text, what is held back to fit λ, the number of steps and the threshold; and the least of it
HELD_BACK, FEWEST_TOKENS = 0.15, 100
#: relative to the learning rate that the model was trained with
FINETUNING_RATE = 0.15

Model = Fitted[TokenInput, NextToken]


def save_personal(mixture: NGramMixture | None, folder: Path) -> None:
    """Write the n-gram of the writer that a model was adapted to.

    Raises:
        StorageError: that can't be done.
    """
    if mixture is not None:
        mixture.save(folder / PERSONAL)


def load_personal(folder: Path, vocabulary_size: int, tokenizer: str = "") -> NGramMixture | None:
    """Return what `save_personal` wrote, or None.

    Raises:
        StorageError, ModelError: it can't be read, is damaged, or is over another vocabulary.
    """
    path = folder / PERSONAL
    mixture = NGramMixture.load(path, ANEW)
    if mixture is None and has_part(path):
        raise ModelError(f"{path}: n-gram cache: there are no weights in it; {ANEW}")
    if mixture is not None:
        mixture.check_fit(vocabulary_size, tokenizer, path, ANEW)
    return mixture


def personalise(model: Model, paths: tuple[Place, ...], progress: Progress, **options: Any) -> Model:
    """Return a model adapted to a writer; the one given stays as it is.

    Args:
        model: a model of `generate`.
        paths: the writer's texts, as `train` reads them.
        progress: is called as it goes.
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
        mixture = model.cache
        if chosen.method != "finetune":
            progress("weighing an n-gram of the writer", 0, None)
            unadapted = predictor_of(model.adapted(network=network, cache=None))
            mixture = fitted_mixture(unadapted, model.input, train, held)
        adapted = model.adapted(network=network, cache=mixture)
        adapted.fitted["personal"] = {
            "method": chosen.method,
            "tokens": len(train) + len(held),
            "documents": train.documents + held.documents,
        }
        fitted = fit_threshold(adapted, held.tokens, GenerateOptions.of(model.options).coverage, progress)
        if fitted["threshold"] is not None:
            adapted.fitted.update(fitted)
        if chosen.method != "finetune":
            # only now: an n-gram that has read the text held back would be too sure of itself there
            whole = np.concatenate((_ids(train), _ids(held)))
            ngram = NGram.fit(whole, mixture.ngram.order, mixture.ngram.vocabulary_size)
            adapted.cache = NGramMixture(ngram, mixture.weights, mixture.tokenizer)
    return adapted


def fitted_mixture(predictor: TokenPredictor, source: TokenInput, train: TokenFile, held: TokenFile) -> NGramMixture:
    """Return an n-gram of a writer's text, with weights fitted on text that the n-gram has not seen.

    Args:
        predictor: that it is mixed into; if its network was trained on the writer's text, then not on `held`.
        source: what the tokens are.
        train: what is counted.
        held: what λ is fitted on, at least two tokens.
    """
    tokenizer = source.tokenizer
    ngram = NGram.fit(_ids(train), ORDER[tokenizer.kind], tokenizer.vocabulary_size)
    weights = fit_weights(predictor.log_probabilities(held), ngram, _ids(held)[1:])
    return NGramMixture(ngram, weights, tokenizer.fingerprint)


def _ids(tokens: TokenFile) -> NDArray[np.int64]:
    return np.asarray(tokens.tokens, dtype=np.int64)


def finetuned(
    model: Model, train: TokenFile, held: TokenFile, options: PersonalOptions, progress: Progress
) -> nn.Module:
    """Return a copy of the network, trained until the text held back is predicted no better.

    Args:
        model: whose network; it is not modified.
        train: the writer's text.
        held: the part that says when to stop.
        options: how long, at most.
        progress: is called before it.

    Raises:
        KeyboardInterrupt: Ctrl-C; nothing is kept.
    """
    network: Any = copy.deepcopy(model.network)
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
    learner = LanguageModelLearner(network, held)
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        if fit(learner, windows, settings, folder).interrupted:
            # `fit` ends in order, but half a training is nobody's model
            raise KeyboardInterrupt
    return network


@contextmanager
def _encoded(
    model: Model, paths: tuple[Place, ...], options: PersonalOptions, progress: Progress
) -> Iterator[tuple[TokenFile, TokenFile]]:
    """Yield the writer's text as two files of tokens, to learn from and held back, that are gone afterwards."""
    reading = options.over(GenerateOptions.of(model.options))
    progress("reading the writer's text", 0, None)
    split = split_pieces(lambda: reading.read(paths), dev_share=HELD_BACK)
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        files = [
            encode_corpus(part(), model.input.tokenizer, Path(folder) / f"{name}.tokens")
            for name, part in (("train", split.train), ("held", split.dev))
        ]
        if min(map(len, files)) < FEWEST_TOKENS:
            raise DataError(
                f"{split.characters} characters are too few to adapt to a writer: after a part of "
                f"{HELD_BACK:.0%} is held back, each part needs at least {FEWEST_TOKENS} tokens; give more text",
                str(paths[0]),
            )
        yield files[0], files[1]
