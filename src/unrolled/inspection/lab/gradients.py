"""Exploding and vanishing gradients, provoked in a plain network, and their cures.

Source: Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unrolled.errors import ArgumentError
from unrolled.inspection.lab.contestants import Contestant, LabNetwork, check_training
from unrolled.inspection.lab.contestants import clip as clip_gradient
from unrolled.inspection.lab.problems import Adding
from unrolled.layers import GRU, LSTM, RNN
from unrolled.layers.recurrent.unfolding import recording
from unrolled.training.gradients.flow import norms_by_lag
from unrolled.training.gradients.verdict import Verdict, judge
from unrolled.types import Json

#: spectral radii of weight_hh: the error shrinks, hardly changes, grows
RADII = (0.5, 1.0, 2.5)
#: the radius in training: the gradient explodes without clipping, and the network learns with it
TRAINED = 1.6


@dataclass(frozen=True)
class GradientLab:
    """The results of the gradient experiment.

    Attributes:
        flows: network → (lags,), ‖∂L_T/∂s_{T−k}‖ before any training, relative to lag 0.
        verdicts: one for each of `flows`.
        norms: run → the gradient's norm at each step, over all weights, before clipping.
        losses: run → the loss at each step; NaN once it has diverged.
        clip: the norm that the clipped run's gradient is scaled down to.
        length: T.
    """

    flows: dict[str, list[float]]
    verdicts: tuple[Verdict, ...]
    norms: dict[str, list[float]]
    losses: dict[str, list[float]]
    clip: float
    length: int

    def as_json(self) -> Json:
        """Return the results as a JSON object."""
        return {**vars(self), "verdicts": [v.as_json() for v in self.verdicts]}


def gradient_lab(
    length: int = 100, hidden_size: int = 32, steps: int = 300, lr: float = 0.05, clip: float = 0.2, seed: int = 0
) -> GradientLab:
    """Measure the gradients of plain networks by lag, and train them with and without clipping.

    The gradients by lag are those of networks whose recurrent matrix has spectral radius 0.5, 1 and 2.5, beside an LSTM
    and a GRU. In training by SGD are a network of radius 1.6 with and without clipping, an LSTM and a GRU.

    Args:
        length: T of the adding problem.
        hidden_size: H.
        steps: the number of training steps.
        lr: the learning rate of SGD.
        clip: the norm that gradients are scaled down to.
        seed: of weights and sequences.

    Raises:
        ArgumentError: a size, rate, norm or seed out of range.
    """
    for name, value, least in (("length", length, 5), ("hidden_size", hidden_size, 2), ("steps", steps, 1)):
        if value < least:
            raise ArgumentError(f"{name}: expected at least {least}, found {value}")
    check_training(lr, clip, seed)
    problem = Adding(length)
    flows: dict[str, list[float]] = {}
    verdicts: list[Verdict] = []
    networks: list[tuple[str, Contestant, float | None]] = [
        *((f"RNN, radius {radius:g}", Contestant("RNN", RNN), radius) for radius in RADII),
        ("LSTM, forget bias 1", Contestant("LSTM", LSTM, {"forget_bias": 1.0}), None),
        ("GRU", Contestant("GRU", GRU), None),
    ]
    for name, contestant, radius in networks:
        network = _seeded(contestant, problem, hidden_size, radius, seed)
        batch = problem.batch(8, np.random.default_rng(seed))
        with recording(network, retain=True) as calls:
            loss = problem.loss(network(batch.x), batch.target)
        loss.backward()
        norms = norms_by_lag(calls[0], sequences=8, lags=length)["l0"]
        flows[name] = [norm / norms[0] for norm in norms]
        verdicts.append(judge(name, flows[name], calls[0].layer.cell.name))
    norms_by_run: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    runs: list[tuple[str, Contestant, float | None, float | None]] = [
        (f"RNN, radius {TRAINED:g}", Contestant("RNN", RNN), TRAINED, None),
        (f"RNN, radius {TRAINED:g}, clipped at {clip:g}", Contestant("RNN", RNN), TRAINED, clip),
        ("LSTM, forget bias 1", Contestant("LSTM", LSTM, {"forget_bias": 1.0}), None, None),
        ("GRU", Contestant("GRU", GRU), None, None),
    ]
    for name, contestant, radius, limit in runs:
        network = _seeded(contestant, problem, hidden_size, radius, seed)
        norms_by_run[name], losses[name] = _trained(network, problem, steps, lr, limit, seed)
    return GradientLab(flows, tuple(verdicts), norms_by_run, losses, clip, length)


def _seeded(contestant: Contestant, problem: Adding, hidden_size: int, radius: float | None, seed: int) -> LabNetwork:
    torch.manual_seed(seed)
    network = contestant.build(problem.input_size, hidden_size, problem.output_size)
    if radius is not None:
        with torch.no_grad():
            weight = network.hidden.get_parameter("weight_hh_l0")
            weight.mul_(radius / torch.linalg.eigvals(weight).abs().max())
            # keep tanh near 0, where its slope is 1 and only the matrix counts
            network.hidden.get_parameter("weight_ih_l0").mul_(0.1)
            for name in ("bias_ih_l0", "bias_hh_l0"):
                network.hidden.get_parameter(name).zero_()
    return network


def _trained(
    network: LabNetwork, problem: Adding, steps: int, lr: float, clip: float | None, seed: int
) -> tuple[list[float], list[float]]:
    draw = np.random.default_rng(seed + 1)
    parameters = list(network.parameters())
    optimiser = torch.optim.SGD(parameters, lr=lr)
    norms, losses = [], []
    for _ in range(steps):
        batch = problem.batch(16, draw)
        loss = problem.loss(network(batch.x), batch.target)
        optimiser.zero_grad()
        loss.backward()
        norms.append(clip_gradient(parameters, clip))
        losses.append(float(loss.detach()))
        optimiser.step()
    return norms, losses
