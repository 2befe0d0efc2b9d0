"""A language model that learns while it is used: from the text that a stream reads, for that stream alone.

Beside what the model predicts, up to three other predictions are made from the state z_t after token x_t:

    cache     p(w) ∝ Σ_{i<t} [x_{i+1} = w] exp(θ cos(z_t, z_i))          for two values of θ
    dynamic   p    = softmax(ln p_model + V M_t z_t + b_t)

The cache remembers what followed states like this one. Dynamic evaluation takes a step of gradient descent on
−ln p(x_{t+1}) after each token, here on M and b, which start at 0 and decay towards it: few enough numbers for a stream
to have its own, and where an n-gram is mixed in, the mixture is corrected. The predictions are mixed; each one's weight
follows its share of what was right (EM, one token a time), so that nothing needs to be fitted beforehand and what is of
no use to a text fades.

Letters: V classes, I width of z, n tokens remembered, K predictions.

Source: continuous cache, Grave et al. 2017, arXiv 1612.04426; dynamic evaluation, Krause et al. 2018, arXiv 1709.07432.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.networks import SyncedNetwork

Adapt = Literal["cache", "dynamic", "both"]
Floats = NDArray[np.floating[Any]]

#: tokens that the cache of a stream remembers
REMEMBERED = 1000
#: θ of the cache
SHARPNESS = (10.0, 30.0)
#: weight of each prediction but the model's in the beginning
SHARE = 0.05
#: how fast weights follow: 1/(t + SOON) in the beginning, later SLOW
SOON, SLOW = 50, 0.005
#: steps of dynamic evaluation on M and on b, and the part of both that is lost a token; on e-mail, of characters,
#: steps of 0.5 to 2 on M gain about the same
RATE, BIAS_RATE, DECAY = 1.0, 0.02, 1e-4


class Memory(NamedTuple):
    """The memory of a stream that learns; immutable, so that its forks share it.

    Attributes:
        read: tokens, 0-d int64.
        weights: of the predictions, (K,).
        keys: z before each remembered token, of length 1, (n, I), the oldest first.
        following: those tokens, (n,) int64.
        matrix, bias: M (I, I) and b (V,); both empty where nothing asks for them.
        z: after the last token, (I,).
        base: the model's p after it, (V,).
    """

    read: Tensor
    weights: Tensor
    keys: Tensor
    following: Tensor
    matrix: Tensor
    bias: Tensor
    z: Tensor
    base: Tensor


class Adaptation:
    """How streams of a network learn.

    Args:
        network: the language model; its output layer is read.
        kind: by a cache, by dynamic evaluation, or both.
    """

    def __init__(self, network: SyncedNetwork, kind: Adapt) -> None:
        self.kind = kind
        self._bridge = network.output.get_submodule("bridge")
        self._weight = _array(network.output.get_parameter("weight"))
        # makes steps on M about as long whatever the sizes of V and z
        self._scale = float(np.square(self._weight).sum(1).mean())
        self._thetas = SHARPNESS if kind != "dynamic" else ()
        self._is_dynamic = kind != "cache"

    def start(self) -> Memory:
        """Return the memory of a stream that has read nothing."""
        classes, width = self._weight.shape
        count = len(self._thetas) + self._is_dynamic
        weights = np.array([1 - count * SHARE] + [SHARE] * count)
        side = width if self._is_dynamic else 0
        return Memory(
            torch.tensor(0),
            torch.from_numpy(weights),
            torch.zeros(0, width),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(side, side),
            torch.zeros(classes if self._is_dynamic else 0),
            torch.zeros(width),
            torch.zeros(classes, dtype=torch.float64),
        )

    def seen(self, h: Tensor) -> NDArray[np.float32]:
        """Return z of the hidden layers' output (…, H), (…, I)."""
        with torch.no_grad():
            return _array(self._bridge(h))

    def mixed(self, memory: Memory, z: Floats, base: Floats) -> Floats:
        """Return p (V,) after a state z (I,) in which the model says `base` (V,)."""
        parts = self._predictions(memory, z, base, _array(memory.keys) @ unit(z))
        return sum((w * part for w, part in zip(_array(memory.weights), parts, strict=True)), np.zeros(len(base)))

    def forgotten(self, memory: Memory) -> Memory:
        """Return the memory of a stream that has read as far, and learned nothing."""
        return self.start()._replace(read=torch.tensor(1), z=memory.z, base=memory.base)

    def learned(self, memory: Memory, token: int, z: Floats, base: Floats) -> Memory:
        """Return the memory after one more token.

        Args:
            memory: before it.
            token: the token.
            z, base: after it, as for `mixed`.
        """
        after = {"z": torch.from_numpy(np.array(z)), "base": torch.from_numpy(np.asarray(base))}
        # what comes first was not predicted
        if not int(memory.read):
            return memory._replace(read=memory.read + 1, **after)
        before = _array(memory.z)
        near = _array(memory.keys) @ unit(before)
        _, memory = self.judged(memory, token, near)
        if self._thetas:
            key, last = torch.from_numpy(unit(before)).unsqueeze(0), torch.tensor([token])
            keys, following = torch.cat((memory.keys, key)), torch.cat((memory.following, last))
            memory = memory._replace(keys=keys[-REMEMBERED:].clone(), following=following[-REMEMBERED:].clone())
        return memory._replace(**after)

    def judged(self, memory: Memory, token: int, near: Floats) -> tuple[float, Memory]:
        """Return what a token's p was, and the memory with what that teaches; it does not remember the token yet.

        Args:
            memory: before the token.
            token: the token.
            near: cosines of z and the keys, (n,).
        """
        z = _array(memory.z)
        parts = self._predictions(memory, z, _array(memory.base), near)
        weights = _array(memory.weights)
        shares = weights * np.array([part[token] for part in parts])
        total = float(shares.sum())
        if total > 0:
            weights = weights + max(1 / (int(memory.read) + SOON), SLOW) * (shares / total - weights)
        changes = {"weights": torch.from_numpy(weights)}
        if self._is_dynamic:
            changes |= self._descended(memory, z, parts[-1], token)
        return total, memory._replace(read=memory.read + 1, **changes)

    def _predictions(self, memory: Memory, z: Floats, base: Floats, near: Floats) -> list[Floats]:
        """Return the model's p and the others', each (V,)."""
        parts: list[Floats] = [base]
        for theta in self._thetas:
            if not len(near):
                # nothing is remembered: as the model says
                parts.append(base)
                continue
            likeness = np.exp(theta * (near - near.max()))
            counts = np.bincount(_array(memory.following), likeness, len(base))
            parts.append(counts / counts.sum())
        if self._is_dynamic:
            change = self._weight @ (_array(memory.matrix) @ z) + _array(memory.bias)
            scores = base * np.exp(change - change.max())
            parts.append(scores / scores.sum())
        return parts

    def _descended(self, memory: Memory, z: Floats, predicted: Floats, token: int) -> dict[str, Tensor]:
        """Return M and b after a step on −ln p(token): dlogits = p − [w = token], dM = Vᵀ dlogits zᵀ."""
        dlogits = np.array(predicted, dtype=np.float32)
        dlogits[token] -= 1
        dz = dlogits @ self._weight
        step = RATE / (self._scale * (float(z @ z) + 1e-6))
        matrix = (1 - DECAY) * _array(memory.matrix) - np.outer(step * dz, z).astype(np.float32)
        bias = (1 - DECAY) * _array(memory.bias) - BIAS_RATE * dlogits
        return {"matrix": torch.from_numpy(matrix), "bias": torch.from_numpy(bias)}


def memories(state: Sequence[Sequence[Tensor]]) -> list[Memory]:
    """Return the memories of a state that was saved, where they are plain tuples."""
    return [Memory(*memory) for memory in state]


def top_of(state: Any) -> Tensor:
    """Return h of the last layer in a network's state, (B, H)."""
    h: Tensor = state[0] if isinstance(state, tuple) else state
    return h[-1]


def _array(tensor: Tensor | nn.Parameter) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def unit(z: Floats) -> NDArray[np.float32]:
    """Return vectors (…, I) scaled to length 1."""
    return np.asarray(z / (np.linalg.norm(z, axis=-1, keepdims=True) + 1e-6), dtype=np.float32)
