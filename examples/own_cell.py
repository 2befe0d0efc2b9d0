"""A cell of your own: write one step, get a layer with lengths, directions, streaming and gradients.

The cell is the minimal gated unit (Zhou et al. 2016, arXiv 1603.09420), whose single gate both forgets and resets.

    python examples/own_cell.py
"""

from dataclasses import dataclass

import torch

from unrolled import Recurrent
from unrolled.cells import Cell
from unrolled.testing import check_cell


@dataclass(frozen=True)
class MinimalGatedCell(Cell):
    """f = σ(x_f + W_f h);  n = tanh(x_n + W_n (f ⊙ h));  h' = (1 − f) ⊙ h + f ⊙ n."""

    name = "mgu"

    @property
    def num_gates(self) -> int:
        return 2

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        return (hidden_size,)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        shapes = {"weight_ih": (2 * hidden_size, input_size), "weight_hh": (2 * hidden_size, hidden_size)}
        return shapes | ({"bias_ih": (2 * hidden_size,)} if bias else {})

    def step(self, x_gates, state, params, mask=None):
        (h,) = state
        x_f, x_n = x_gates.chunk(2, -1)
        w_f, w_n = params["weight_hh"].chunk(2)
        f = torch.sigmoid(x_f + h @ w_f.T)
        n = torch.tanh(x_n + (f * h) @ w_n.T)
        return ((1 - f) * h + f * n,)


def main() -> None:
    cell = MinimalGatedCell()
    check_cell(cell)  # the same conformance checks that our own cells pass
    layer = Recurrent(cell, input_size=8, hidden_size=16, num_layers=2, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(3, 20, 8), torch.tensor([20, 7, 13])
    output, h_n = layer(x, lengths=lengths)
    output.sum().backward()
    print(layer)
    print(f"output {tuple(output.shape)}, h_n {tuple(h_n.shape)}, served by {layer.engine}")


if __name__ == "__main__":
    main()
