"""Multinomial logistic regression: the linear model that a network on images or features must beat.

N examples, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from unrolled.errors import ModelError


class SoftmaxRegression:
    """logits = W (x − mean) / std + b.

    Args:
        weight: (K, F).
        bias: (K,).
        mean, std: (F,), by which features are standardised.
    """

    def __init__(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
    ) -> None:
        self.weight, self.bias, self.mean, self.std = weight, bias, mean, std

    @classmethod
    def fit(
        cls, x: NDArray[np.float32], y: NDArray[np.int64], classes: int, *, l2: float = 1e-3, steps: int = 100
    ) -> SoftmaxRegression:
        """The minimum of the mean cross entropy + l2/2 ‖W‖², by L-BFGS.

        Args:
            x: (N, F).
            y: (N,), 0 to K − 1.
            classes: K.
            l2: on the weight of standardised features.
            steps: iterations, at most.
        """
        mean = x.mean(0, dtype=np.float64).astype(np.float32)
        spread = x.std(0, dtype=np.float64).astype(np.float32)
        # a feature that hardly varies in training would be blown up by dividing by its spread
        std = np.maximum(spread, 0.05 * max(float(spread.max()), 1e-6)).astype(np.float32)
        inputs = torch.from_numpy((x - mean) / std)
        targets = torch.from_numpy(y)
        weight = torch.zeros(classes, x.shape[1], requires_grad=True)
        bias = torch.zeros(classes, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(F.linear(inputs, weight, bias), targets) + 0.5 * l2 * weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimiser.step(closure)
        return cls(weight.detach().numpy(), bias.detach().numpy(), mean, std)

    def log_probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """ln p of each class, (N, F) → (N, K)."""
        logits = ((x - self.mean) / self.std) @ self.weight.T + self.bias
        return torch.from_numpy(logits).log_softmax(-1).numpy()

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """As named arrays."""
        return {"weight": self.weight, "bias": self.bias, "mean": self.mean, "std": self.std}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], where: str = "baseline") -> SoftmaxRegression:
        """The inverse of `to_arrays`.

        Raises:
            ModelError: they do not fit each other.
        """
        try:
            weight, bias, mean, std = (arrays[name] for name in ("weight", "bias", "mean", "std"))
        except KeyError as error:
            raise ModelError(f"{where}: has no array {error}; restore it from a copy of the model") from error
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or not mean.shape == std.shape == weight.shape[1:]:
            raise ModelError(f"{where}: its arrays do not fit each other; restore it from a copy of the model")
        return cls(weight, bias, mean, std)
