"""A small but real run: a character model of torch.nn.LSTM with dropout; also a program, to be killed."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.training import LossReport, TrainingSettings, fit, seed_everything

TEXT = ("the quick brown fox jumps over the lazy dog. pack my box with five dozen liquor jugs! " * 40)[:3000]
LETTERS = sorted(set(TEXT))


class ToyBatch(NamedTuple):
    """Inputs and targets, each (T, B)."""

    inputs: Tensor
    targets: Tensor
    resets: bool
    epoch: int


class ToyWindows:
    """Consecutive windows of B streams; each epoch begins at another offset, drawn at random."""

    def __init__(self, batch: int = 4, length: int = 12) -> None:
        codes = torch.tensor([LETTERS.index(letter) for letter in TEXT])
        self.length, self.batch = length, batch
        self.batches_per_epoch = (len(codes) // batch - 1 - length) // length
        self.streams = codes[: len(codes) // batch * batch].view(batch, -1).T  # (N, B)
        self.position, self.epoch, self.offset = 0, 0, 0

    def next_batch(self) -> ToyBatch:
        if self.position == self.batches_per_epoch:
            self.position, self.epoch = 0, self.epoch + 1
            self.offset = random.randrange(self.length)
        start = self.offset + self.position * self.length
        window = self.streams[start : start + self.length + 1]
        self.position += 1
        return ToyBatch(window[:-1], window[1:], self.position == 1, self.epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "epoch": self.epoch, "offset": self.offset}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position, self.epoch, self.offset = state["position"], state["epoch"], state["offset"]


class ToyNetwork(nn.Module):
    """Embedding, two LSTM layers with dropout, output tied to the embedding."""

    def __init__(self, hidden_size: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size, 2, dropout=0.2)
        self.output = nn.Linear(hidden_size, len(LETTERS))
        self.output.weight = self.embedding.weight


class ToyLearner:
    """The toy network as a learner. Draws from all three random generators while it trains, evaluates and samples."""

    def __init__(self, hidden_size: int = 16) -> None:
        self.network: nn.Module = ToyNetwork(hidden_size)
        self.evaluations = 0

    def loss(self, batch: ToyBatch, carried: Any) -> LossReport:
        network: Any = self.network
        outputs, state = network.lstm(network.embedding(batch.inputs), carried)
        logits = network.output(outputs).flatten(0, 1) * (1 + 0.01 * random.random() + 0.01 * np.random.rand())
        total = nn.functional.cross_entropy(logits, batch.targets.flatten(), reduction="sum")
        count = batch.targets.numel()
        return LossReport(total / count, total.detach(), count, tuple(part.detach() for part in state))

    def evaluate(self) -> dict[str, float]:
        self.evaluations += 1
        assert not self.network.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        windows = ToyWindows(batch=2, length=50)
        network: Any = self.network
        batch = windows.next_batch()
        outputs, _ = network.lstm(network.embedding(batch.inputs))
        loss = nn.functional.cross_entropy(network.output(outputs).flatten(0, 1), batch.targets.flatten())
        return {"loss": float(loss), "perplexity": float(loss.exp())}

    def sample(self) -> str | None:
        return "".join(LETTERS[index] for index in torch.randint(len(LETTERS), (20,)).tolist())


def toy_settings(**changes: Any) -> TrainingSettings:
    options: dict[str, Any] = {"steps": 60, "lr": 0.01, "averaging": "ema", "warmup_steps": 7}
    options |= {"evaluate_every": 20, "sample_every": 15, "save_every": 9, "keep_every": 27, "log_every": 1}
    return TrainingSettings(**{**options, **changes})


def toy_fit(out: Path, *, resume: bool = False, reporter: Any = None, identity: Any = None, **changes: Any) -> Any:
    seed_everything(5)
    return fit(
        ToyLearner(), ToyWindows(), toy_settings(**changes), out, identity=identity, resume=resume, reporter=reporter
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    toy_fit(Path(sys.argv[1]), resume=True, **json.loads(sys.argv[2]))
