"""Predictors of the next token: a network, an n-gram, both mixed, or one that learns from what it reads.

Evaluation, completion, generation, streams, personal models and the scorer of transcripts all ask a `TokenPredictor`;
`predictor_of` says which one a model has, so that what is mixed in there is mixed in everywhere. N tokens, V classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import TokenFile
from unrolled.decoding.remembering import KeepingStepper
from unrolled.errors import ArgumentError
from unrolled.layers import LinearOutput
from unrolled.networks import SyncedNetwork
from unrolled.networks.parts import apply_rows
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.next.adapting import REMEMBERED, Adapt, Adaptation, Memory, memories, top_of, unit
from unrolled.tasks.outputs.next.mixture import MixingStepper, NGramMixture, mix
from unrolled.tasks.outputs.next.network import device_of, score, token_scores
from unrolled.tasks.outputs.next.ngram import NGram, NGramStepper

F = TypeVar("F", bound=AnyFitted)

#: a text as tokens (N,), which may lie in a file
Tokens = TokenFile | NDArray[Any]
#: tokens read in one go, so that a long prompt takes bounded memory
CHUNK = 1024
#: up to so many are read by single steps
FEW = 4
#: tokens before a chunk that mixtures are told, no fewer than an n-gram's order
CONTEXT = 16
#: tokens that an n-gram scores at a time: memory does not grow with the text
SCORED = 1 << 20


class TokenPredictor(ABC):
    """Something that says how probable each token is after those before it.

    Attributes:
        stepper: reads one token a step, for searches, samples and streams. Its logits are those of a network, or ln p.
        device: where it reads tokens.
        learns: whether reading a text teaches it something, which the stepper's steps don't.
    """

    learns = False

    stepper: KeepingStepper[Any]
    device: torch.device

    @abstractmethod
    def read_many(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read more tokens than `FEW`, not one by one: as `read`."""

    @abstractmethod
    def log_probabilities(self, text: Tokens) -> NDArray[np.float64]:
        """Return ln p of each token of a text but the first, given all before it, (N − 1,) nats."""

    def score(self, text: Tokens) -> tuple[float, int]:
        """Return −Σ ln p over a text, nats, and how many tokens that is: each but the first."""
        log_probs = self.log_probabilities(text)
        return -float(log_probs.sum()), len(log_probs)

    def read(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read some tokens, at least one; returns the logits (1, V) after them, and the stepper's state there."""
        if len(ids) > FEW:
            return self.read_many(ids, state)
        for token in ids:
            logits, state = self.stepper.step(torch.tensor([token], device=self.device), state)
        return logits, state

    def mixed_in(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return what is predicted at each step of a text where the network alone has logits; with a graph, if it has.

        Args:
            logits: (T, V), of the last T steps.
            ids: (N,) the tokens of the text up to there, N ≥ T.
        """
        return logits


class NetworkPredictor(TokenPredictor):
    """A network alone."""

    def __init__(self, network: SyncedNetwork) -> None:
        self.network, self.device = network, device_of(network)
        self.stepper: KeepingStepper[Any] = network

    def read_many(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read chunks of many steps."""
        with torch.no_grad():
            for start in range(0, len(ids), CHUNK):
                inputs = torch.tensor(ids[start : start + CHUNK], device=self.device).unsqueeze(1)
                h, state = self.network.features(inputs, state)
            return apply_rows(self.network.output, h[-1]), state

    def log_probabilities(self, text: Tokens) -> NDArray[np.float64]:
        """Return ln p of each token but the first."""
        return token_scores(self.network, text)[0]

    def score(self, text: Tokens) -> tuple[float, int]:
        """Return −Σ ln p; memory does not grow with the text."""
        return score(self.network, text)


class NGramPredictor(TokenPredictor):
    """An n-gram alone."""

    def __init__(self, ngram: NGram) -> None:
        self.ngram, self.device = ngram, torch.device("cpu")
        self.stepper: KeepingStepper[Any] = NGramStepper(ngram)

    def read_many(self, ids: list[int], state: Tensor) -> tuple[Tensor, Tensor]:
        """Read the last token, as those before it are only remembered."""
        logits, state = self.stepper.step(torch.tensor(ids[-1:], device=self.device), remembered(state, ids[:-1]))
        return logits, state

    def log_probabilities(self, text: Tokens) -> NDArray[np.float64]:
        """Return ln p of each token but the first."""
        return self.ngram.log_probabilities(np.asarray(ids_of(text), dtype=np.int64))[1:]

    def score(self, text: Tokens) -> tuple[float, int]:
        """Return −Σ ln p; memory does not grow with the text."""
        ids, nats = ids_of(text), 0.0
        for at in range(0, len(ids), SCORED):
            context, part = ids[max(0, at - self.ngram.order) : at], ids[at : at + SCORED]
            log_probs = self.ngram.log_probabilities(np.asarray(part, dtype=np.int64), context)
            nats -= float((log_probs if at else log_probs[1:]).sum())
        return nats, len(ids) - 1


class MixedPredictor(TokenPredictor):
    """A predictor with an n-gram mixed in.

    Args:
        inner: the predictor.
        mixture: the n-gram; if its weights ask for the network's entropy, `inner` is a network alone.
    """

    def __init__(self, inner: TokenPredictor, mixture: NGramMixture) -> None:
        self.inner, self.mixture, self.device = inner, mixture, inner.device
        self.mixing = MixingStepper(inner.stepper, mixture.stepper, mixture.weights)
        self.stepper: KeepingStepper[Any] = self.mixing

    def read_many(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read with the one, remember for the other, and mix once."""
        logits, inner = self.inner.read_many(ids, state[0])
        history = remembered(state[1], ids)
        return self.mixing.mixed(logits, history), (inner, history)

    def log_probabilities(self, text: Tokens) -> NDArray[np.float64]:
        """Return ln of the mixture for each token but the first."""
        entropies = None
        if self.mixture.weights.asks_entropy and isinstance(self.inner, NetworkPredictor):
            network, entropies = token_scores(self.inner.network, text)
        else:
            network = self.inner.log_probabilities(text)
        ids, ngram, weights = ids_of(text), self.mixture.ngram, self.mixture.weights
        mixed = np.empty(len(network))
        for at in range(0, len(mixed), SCORED):
            here = slice(at, at + SCORED)
            # the first token is context of the second, and itself not predicted
            context, part = ids[max(0, at + 1 - ngram.order) : at + 1], ids[at + 1 : at + 1 + SCORED]
            sure = None if entropies is None else entropies[here]
            mixed[here] = mix(network[here], ngram, part, weights, entropies=sure, context=context)
        return mixed

    def mixed_in(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return ln of the mixture at each step."""
        before = self.mixture.stepper.start(1)
        histories = torch.cat((before[0], ids.cpu())).unfold(0, before.shape[1], 1)
        return self.mixing.mixed(self.inner.mixed_in(logits, ids), histories[-len(logits) :])


class AdaptiveStepper:
    """A predictor's steps, with what a stream has learned; steps themselves teach nothing, so searches don't either.

    The state is the pair of the predictor's state and the memory of each row.
    """

    def __init__(self, inner: TokenPredictor, adaptation: Adaptation) -> None:
        self.stepper, self.adaptation = inner.stepper, adaptation
        self.vocabulary_size = self.stepper.vocabulary_size
        # mixtures have the state of what they mix in front of their own
        self._depth = 0
        while isinstance(inner, MixedPredictor):
            inner, self._depth = inner.inner, self._depth + 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AdaptiveStepper):
            return NotImplemented
        return self.adaptation.kind == other.adaptation.kind and bool(self.stepper == other.stepper)

    def __hash__(self) -> int:
        return hash((self.stepper, self.adaptation.kind))

    def start(self, batch_size: int) -> tuple[Any, list[Memory]]:
        """Return the state before the first token."""
        return self.stepper.start(batch_size), [self.adaptation.start()] * batch_size

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, tuple[Any, list[Memory]]]:
        """Read tokens (B,); return ln p (B, V), dtype and device as the predictor's logits, and the state."""
        logits, inner = self.stepper.step(tokens, state[0])
        known = memories(state[1])
        return self.mixed(logits, inner, known), (inner, known)

    def mixed(self, logits: Tensor, inner: Any, known: Sequence[Memory]) -> Tensor:
        """Return ln p (B, V) of the predictor's logits (B, V) and state, and the memories of its rows."""
        rows = zip(known, *self.after(logits, inner), strict=True)
        mixed = np.stack([self.adaptation.mixed(memory, z, base) for memory, z, base in rows])
        return torch.from_numpy(mixed).log().to(logits)

    def after(self, logits: Tensor, inner: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return z (B, I) and the predictor's p (B, V) where it has these logits and this state."""
        for _ in range(self._depth):
            inner = inner[0]
        return self.adaptation.seen(top_of(inner)), logits.double().softmax(-1).cpu().numpy()

    def select(self, state: Any, rows: Tensor) -> tuple[Any, list[Memory]]:
        """Return the state whose row n is row ``rows[n]``."""
        return self.stepper.select(state[0], rows), [state[1][row] for row in rows.tolist()]

    def merge(self, states: Sequence[Any]) -> tuple[Any, list[Memory]]:
        """Return one state of all the rows of several."""
        return self.stepper.merge([state for state, _ in states]), [m for _, known in states for m in known]

    def put(self, state: Any, rows: Tensor, new: Any) -> None:
        """Make row ``rows[n]`` of ``state`` row n of ``new``, in place."""
        self.stepper.put(state[0], rows, new[0])
        for row, memory in zip(rows.tolist(), new[1], strict=True):
            state[1][row] = memory

    def same(self, state: Any, row: int, other: Any) -> bool:
        """Return whether a row of ``state`` is the only row of ``other``."""
        return state[1][row] is other[1][0] and self.stepper.same(state[0], row, other[0])


class AdaptivePredictor(TokenPredictor):
    """A predictor that learns from the text that it reads.

    Args:
        inner: the predictor; its network is a causal language model's.
        adaptation: how it learns.
    """

    learns = True

    def __init__(self, inner: TokenPredictor, adaptation: Adaptation) -> None:
        self.inner, self.adaptation, self.device = inner, adaptation, inner.device
        self.adapting = AdaptiveStepper(inner, adaptation)
        self.stepper: KeepingStepper[Any] = self.adapting
        while isinstance(inner, MixedPredictor):
            inner = inner.inner
        if not isinstance(inner, NetworkPredictor):
            raise ArgumentError(f"adapt: a network learns while it is used, and a {type(inner).__name__} has none")
        self.network = inner.network

    def read(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read and learn, one token after the other."""
        inner, [memory] = state[0], memories(state[1])
        for token in ids:
            logits, inner = self.inner.read([token], inner)
            zs, bases = self.adapting.after(logits, inner)
            memory = self.adaptation.learned(memory, token, zs[0], bases[0])
        return self.adapting.mixed(logits, inner, [memory]), (inner, [memory])

    def read_many(self, ids: list[int], state: Any) -> tuple[Tensor, Any]:
        """Read and learn."""
        return self.read(ids, state)

    def forgotten(self, state: Any) -> tuple[Tensor, Any]:
        """Return the logits and the state of a stream that has read the same, and learned nothing."""
        [memory] = memories(state[1])
        memory = self.adaptation.forgotten(memory)
        mixed = self.adaptation.mixed(memory, memory.z.numpy(), memory.base.numpy())
        logits = torch.from_numpy(mixed).log().to(self.device, torch.float32).unsqueeze(0)
        return logits, (state[0], [memory])

    def log_probabilities(self, text: Tokens) -> NDArray[np.float64]:
        """Return ln p of each token but the first, the text being learned from as it is read."""
        ids = np.asarray(ids_of(text))
        learned, state = np.empty(len(ids) - 1), None
        memory = self.adaptation.start()._replace(read=torch.tensor(1))
        keys, followed = memory.keys.numpy(), np.zeros(0, dtype=np.int64)
        for start in range(0, len(learned), CHUNK):
            read = ids[start : min(start + CHUNK, len(learned))].astype(np.int64)
            inputs = torch.from_numpy(read).to(self.device)
            with torch.no_grad():
                h, state = self.network.features(inputs.unsqueeze(1), state)
                logits = apply_rows(self.network.output, h.squeeze(1))
                before = torch.from_numpy(ids[max(0, start - CONTEXT) : start].astype(np.int64)).to(self.device)
                base = self.inner.mixed_in(logits, torch.cat((before, inputs))).double().softmax(-1).cpu()
            zs, known = self.adaptation.seen(h.squeeze(1)), len(keys)
            keys = np.concatenate((keys, unit(zs)))
            followed = np.concatenate((followed, ids[start + 1 : start + 1 + len(zs)].astype(np.int64)))
            near = keys[known:] @ keys.T
            for at, z in enumerate(zs):
                here = slice(max(0, known + at - REMEMBERED), known + at)
                memory = memory._replace(
                    z=torch.from_numpy(z), base=base[at], following=torch.from_numpy(followed[here])
                )
                learned[start + at], memory = self.adaptation.judged(memory, int(ids[start + at + 1]), near[at, here])
            keys, followed = keys[-REMEMBERED:], followed[-REMEMBERED:]
        return np.log(learned)

    def mixed_in(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return what is mixed in of what training left; what a stream has learned is not looked into."""
        return self.inner.mixed_in(logits, ids)


def predictor_of(model: AnyFitted) -> TokenPredictor:
    """Return what a language model says comes next: its network, and what is mixed into it."""
    network: Any = model.network
    predictor: TokenPredictor = NetworkPredictor(network)
    for mixture in (model.output.mixture, model.cache):
        if mixture is not None:
            predictor = MixedPredictor(predictor, mixture)
    adapt: Adapt | None = model.output.adapt
    return predictor if adapt is None else AdaptivePredictor(predictor, Adaptation(network, adapt))


def asked_with(model: F, order: int | None, adapt: Adapt | None = None) -> F:
    """Return a language model as it is asked with `--ngram` and `--adapt`.

    Args:
        model: the model.
        order: 0 leaves out the n-gram that is mixed in.
        adapt: how its streams learn; None as they do.

    Raises:
        ArgumentError: an order that is neither 0 nor the n-gram's, or an output layer that can't learn.
    """
    output = model.network.get_submodule("output")
    if adapt is not None and not isinstance(output, LinearOutput):
        raise ArgumentError("--adapt: an adaptive softmax does not learn while it is used; train with --softmax full")
    mixture: NGramMixture | None = model.output.mixture
    own = 0 if mixture is None else mixture.ngram.order
    if order not in (None, 0, own):
        ways = "0, as it has no n-gram" if mixture is None else f"{own}, or 0 to leave it out"
        raise ArgumentError(f"--ngram: the order of this model's n-gram is {ways}; found {order}")
    kept, learning = (None if order == 0 else mixture), adapt or model.output.adapt
    if kept is mixture and learning == model.output.adapt:
        return model
    return model.answering(type(model.output)(kept, learning))


def ids_of(text: Tokens) -> NDArray[Any]:
    """Return the tokens of a text, which may be a mapped file."""
    return text.tokens if isinstance(text, TokenFile) else text


def remembered(history: Tensor, ids: list[int]) -> Tensor:
    """Return an n-gram's state, the last tokens (1, n − 1), after some more."""
    return torch.cat((history, torch.tensor([ids], device=history.device)), dim=1)[:, -history.shape[1] :]
