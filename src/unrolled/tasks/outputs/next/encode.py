"""The next token: a language model, which completes a text or writes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from unrolled.data import Tokenizer
from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.tasks.core.contract import Answer, AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.outputs.next.adapting import Adapt
from unrolled.tasks.outputs.next.mixture import NGramMixture
from unrolled.tasks.outputs.next.network import device_of, language_model
from unrolled.tasks.outputs.next.options import (
    MOST_WORDS,
    LanguageModelNetwork,
    NextEvaluation,
    NextOptions,
    Suggesting,
)
from unrolled.tasks.outputs.next.predictor import predictor_of
from unrolled.tasks.outputs.next.results import Completion

#: the n-gram of the training text, and its weights where it is mixed in
BASELINE = "baseline.safetensors"


class NextToken(Answer[Completion]):
    """The next token of a text; its classes are the tokens that are read.

    Args:
        mixture: the n-gram of the training text that is mixed into the network's predictions.
        adapt: how streams learn from what they read, if they do; asked for, and not saved with a model.
    """

    name: ClassVar[str] = "next"
    options: ClassVar[type[Settings]] = NextOptions
    evaluate_options: ClassVar[type[Settings]] = NextEvaluation
    predict_options: ClassVar[type[Settings]] = Suggesting
    Network: ClassVar[type[Settings]] = LanguageModelNetwork
    Result: ClassVar[type[Completion]] = Completion
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def __init__(self, mixture: NGramMixture | None = None, adapt: Adapt | None = None) -> None:
        self.mixture, self.adapt = mixture, adapt

    @classmethod
    def load(cls, folder: Path) -> NextToken:
        """Map the n-gram that is mixed in, if there is one."""
        return cls(NGramMixture.load(folder / BASELINE))

    def save(self, folder: Path) -> None:
        """Write the n-gram that is mixed in; without one the baseline stays as it is."""
        if self.mixture is not None:
            self.mixture.save(folder / BASELINE)

    @property
    def fingerprint(self) -> str:
        """Of the n-gram that is mixed in, and of how streams learn."""
        return ("" if self.mixture is None else self.mixture.fingerprint) + (self.adapt or "")

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return embedding, recurrent stack and output layer."""
        chosen, inputs = LanguageModelNetwork(**network), source.layer(network)
        size = len(inputs.get_parameter("weight"))
        if chosen.vocabulary_size != size:
            raise ArgumentError(f"made for {chosen.vocabulary_size} tokens, the tokenizer has {size}")
        if self.mixture is not None:
            fitted: Any = source
            tokenizer: Tokenizer = fitted.tokenizer
            self.mixture.check_fit(tokenizer.vocabulary_size, tokenizer.fingerprint, BASELINE)
        return language_model(inputs, chosen)

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check that the threshold is a number or None, and the number of words an integer."""
        limit, words = fitted.get("threshold"), fitted.get("max_words", 1)
        if not (limit is None or (type(limit) in (int, float) and limit <= 0)):
            raise ArgumentError(f"threshold: expected nats per token, at most 0, found {limit!r}")
        if type(words) is not int or not 1 <= words <= MOST_WORDS:
            raise ArgumentError(f"max_words: expected an integer from 1 to {MOST_WORDS}, found {words!r}")


def probe_text(model: AnyFitted, text: str, limit: int) -> Probe:
    """Lay out a text by its tokens, asked at each about the next one.

    Args:
        model: the model.
        text: at least two tokens.
        limit: tokens that are looked at, the last ones; those before are read.

    Raises:
        ArgumentError: the text is shorter.
    """
    tokenizer: Tokenizer = model.input.tokenizer
    network = model.network
    tokens = tokenizer.encode(text).astype(np.int64)
    if len(tokens) < 2:
        raise ArgumentError(f"input: a text of at least 2 tokens is needed to look into, found {len(tokens)}")
    ids = torch.as_tensor(tokens, device=device_of(network)).unsqueeze(1)
    first, state = max(0, len(ids) - 1 - limit), None
    if first:
        with torch.no_grad():
            _, state = network(ids[:first])
    names = tuple(tokenizer.decode([int(token)]) for token in tokens[first:])
    predictor = predictor_of(model)
    return Probe(
        network=network,
        input_layer=network.get_submodule("inputs"),
        steps=names[:-1],
        run=lambda: predictor.mixed_in(network(ids[first:-1], state)[0].squeeze(1), ids[:-1, 0]),
        outputs=names[1:],
        classes=lambda token: tokenizer.decode([token]),
        targets=ids[first + 1 :, 0],
        note=f"the first {first:,} tokens were read and are not shown" if first else "",
        synced=True,
        separator="",
    )
