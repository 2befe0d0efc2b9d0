"""Many-to-one: ragged batches, streams, and layers that do not fit."""

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.layers import GRU, LSTM, Embedding, LinearOutput, MaxPooling, StackedFrames, make_pooling
from unrolled.networks import ManyToOneNetwork


def network(pooling: str = "max+mean", cell: type = LSTM, bidirectional: bool = False) -> ManyToOneNetwork:
    torch.manual_seed(3)
    hidden = cell(5, 4, num_layers=2, bidirectional=bidirectional)
    pool = make_pooling(pooling, hidden.output_size, hidden.num_directions)
    return ManyToOneNetwork(Embedding(9, 5), hidden, pool, LinearOutput(pool.output_size, 3), dropout=0.3).eval()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_a_ragged_batch_is_each_sequence_alone(cell: type, pooling: str, bidirectional: bool) -> None:
    net, tokens, lengths = network(pooling, cell, bidirectional), torch.randint(9, (6, 3)), torch.tensor([2, 6, 4])
    logits = net(tokens, lengths)
    assert logits.shape == (3, net.classes)
    for row in range(3):
        alone = net(tokens[: lengths[row], row : row + 1])
        assert torch.allclose(logits[row], alone[0], atol=1e-6)


def test_a_network_with_fewer_steps() -> None:
    torch.manual_seed(1)
    inputs, pool = StackedFrames(4, 6, stride=3, left=3), MaxPooling(5)
    net = ManyToOneNetwork(inputs, LSTM(6, 5), pool, LinearOutput(5, 3)).eval()
    frames, lengths = torch.randn(11, 2, 4), torch.tensor([11, 5])
    frames[5:, 1] = float("nan")
    logits = net(frames, lengths)
    torch.testing.assert_close(logits[:1], net(frames[:, :1]))
    torch.testing.assert_close(logits[1:], net(frames[:5, 1:]))
    # and one step at a time
    state = net.start(1)
    for step in inputs.windows(frames[:5, 1:], last=True)[0]:
        streamed, state = net.step(step, state)
    torch.testing.assert_close(streamed, logits[1:])


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_streamed_is_every_beginning(cell: type) -> None:
    net, tokens = network("attention+last+max+mean", cell), torch.randint(9, (6, 2))
    state = net.start(2)
    for t in range(6):
        logits, state = net.step(tokens[t], state)
        assert torch.allclose(logits, net(tokens[: t + 1]), atol=1e-5)


def test_it_learns_which_token_came_first() -> None:
    net = network("last").train()
    tokens = torch.randint(9, (5, 32), generator=torch.Generator().manual_seed(0))
    targets = tokens[0] % 3
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(net(tokens), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (net.eval()(tokens).argmax(-1) == targets).all()


def test_layers_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match="inputs: yields vectors of 4, hidden reads input_size=5"):
        ManyToOneNetwork(Embedding(9, 4), LSTM(5, 4), MaxPooling(4), LinearOutput(4, 2))
    with pytest.raises(ArgumentError, match="pooling: reads vectors of 3, hidden yields 4"):
        ManyToOneNetwork(Embedding(9, 5), LSTM(5, 4), MaxPooling(3), LinearOutput(3, 2))
    with pytest.raises(ArgumentError, match="hidden: expected batch_first=False"):
        ManyToOneNetwork(Embedding(9, 5), LSTM(5, 4, batch_first=True), MaxPooling(4), LinearOutput(4, 2))
    with pytest.raises(ArgumentError, match="a bidirectional network reads the future"):
        network(bidirectional=True).start(1)
