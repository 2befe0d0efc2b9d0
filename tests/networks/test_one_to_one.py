"""One-to-one: layers that fit each other, and a feed-forward network by hand."""

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.layers import Frames, ImageEncoder, LinearOutput
from unrolled.networks import FeedForward, OneToOneNetwork


def test_a_feed_forward_network_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    network = OneToOneNetwork(Frames(5), FeedForward(5, (7, 6), dropout=0.3), LinearOutput(6, 3)).eval()
    x = torch.randn(4, 5)
    h = x
    for layer in network.hidden.layers:
        if isinstance(layer, torch.nn.Linear):
            h = (h @ layer.weight.t() + layer.bias).relu()
    assert torch.allclose(network(x), h @ network.output.weight.t() + network.output.bias, atol=1e-6)  # type: ignore
    assert torch.equal(network.features(x), h)
    assert network.classes == 3


def test_images_go_in_as_well() -> None:
    inputs = ImageEncoder(1, (4, 8))
    network = OneToOneNetwork(inputs, FeedForward(8), LinearOutput(8, 10)).eval()
    x = torch.zeros(2, 6, 6, 1, dtype=torch.uint8)
    assert torch.equal(network(x), network.output(inputs(x)))


def test_no_hidden_layer_still_drops() -> None:
    torch.manual_seed(0)
    hidden = FeedForward(100, dropout=0.5)
    assert (hidden(torch.ones(1, 100)) == 0).sum() > 20
    assert torch.equal(hidden.eval()(torch.ones(1, 100)), torch.ones(1, 100))


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="inputs: yields vectors of 5, hidden reads input_size=4"):
        OneToOneNetwork(Frames(5), FeedForward(4), LinearOutput(4, 2))
    with pytest.raises(ArgumentError, match="input_size, sizes"):
        FeedForward(4, (0,))
    with pytest.raises(ArgumentError, match="dropout"):
        FeedForward(4, dropout=1.0)
