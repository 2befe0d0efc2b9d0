"""A network of your own from the same parts: it reads two sequences and says which has the larger sum.

Input layer, recurrent layer, pooling, output layer and loss are ordinary modules, which a network calls in order.
Lengths are passed along with the batch, and nothing is packed.

    python examples/own_network.py
"""

import torch
from torch import nn

from unrolled import GRU
from unrolled.layers import AttentionPooling, CrossEntropy, Frames, LinearOutput


class Comparer(nn.Module):
    """Two sequences in, one label out; the same weights read both sequences."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inputs = Frames(features, hidden)
        self.hidden = GRU(hidden, hidden, bidirectional=True)
        self.pooling = AttentionPooling(self.hidden.output_size)
        self.output = LinearOutput(2 * self.hidden.output_size, 2)

    def forward(self, sequences, lengths):
        pairs = zip(sequences, lengths, strict=True)
        read = [self.pooling(self.hidden(self.inputs(x), lengths=n)[0], n) for x, n in pairs]
        return self.output(torch.cat(read, -1))


def batch(size: int) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Return pairs of sequences of numbers, time first, and which of each pair has the larger sum."""
    lengths = [torch.randint(1, 9, (size,)) for _ in range(2)]
    sequences = [torch.rand(8, size, 1) for _ in range(2)]
    sums = [(x[..., 0] * (torch.arange(8)[:, None] < n)).sum(0) for x, n in zip(sequences, lengths, strict=True)]
    return sequences, lengths, (sums[1] > sums[0]).long()


def main() -> None:
    torch.manual_seed(0)
    network, loss = Comparer(1, 16), CrossEntropy()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        sequences, lengths, labels = batch(32)
        mean, _, _ = loss(network(sequences, lengths), labels)
        optimiser.zero_grad()
        mean.backward()
        optimiser.step()
    sequences, lengths, labels = batch(500)
    right = float((network(sequences, lengths).argmax(-1) == labels).float().mean())
    print(f"the larger sum is found {'well' if right > 0.85 else 'badly'}")


if __name__ == "__main__":
    main()
