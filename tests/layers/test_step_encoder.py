"""Every step through a network of its own: only valid ones, in pieces or whole, with differences."""

from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.layers import Frames, ImageEncoder
from unrolled.layers.inputs import clips as clips_module
from unrolled.layers.inputs.clips import ImageVector, StepEncoder, with_differences


def image_vector(channels: int = 1) -> ImageVector:
    torch.manual_seed(0)
    return ImageVector(ImageEncoder(channels, (4, 6), stem_size=5, stem_stride=2), 9, 12, 7)


def test_a_vector_knows_what_is_where() -> None:
    layer = image_vector().eval()
    images = torch.zeros(2, 9, 12, 1, dtype=torch.uint8)
    images[0, 1, 2] = images[1, 7, 9] = 255
    assert layer(images).shape == (2, 7)
    assert (layer(images)[0] - layer(images)[1]).abs().max() > 1e-3
    maps = layer.encoder.maps(images)
    expected = torch.relu(layer.norm(layer.linear(maps.permute(0, 2, 3, 1).reshape(2, -1))))
    torch.testing.assert_close(layer(images), expected)


def test_each_step_is_encoded_as_if_alone() -> None:
    layer = StepEncoder(image_vector()).eval()
    x = torch.randint(0, 256, (5, 3, 9, 12, 1), dtype=torch.uint8)
    found = layer(x)
    assert found.shape == (5, 3, 7)
    for t in range(5):
        torch.testing.assert_close(found[t], layer.encoder(x[t]))


def test_padding_reaches_no_statistic() -> None:
    x = torch.randint(0, 256, (5, 2, 9, 12, 1), dtype=torch.uint8)
    lengths = torch.tensor([5, 2])
    results, means = [], []
    for value in (0, 255):
        layer = StepEncoder(image_vector()).train()
        padded = x.clone()
        padded[2:, 1] = value
        results.append(layer(padded, lengths))
        means.append(layer.encoder.encoder.stem[1].running_mean.clone())
    assert torch.equal(*results)
    assert torch.equal(*means)
    assert results[0][2:, 1].abs().max() == 0
    assert layer.output_lengths(lengths) is lengths


def test_differences_by_hand() -> None:
    x = torch.tensor([[[1, 200]], [[4, 100]], [[4, 0]]], dtype=torch.uint8)
    expected = [[[1, 200, 0, 0]], [[4, 100, 3, -100]], [[4, 0, 0, -100]]]
    assert with_differences(x).tolist() == expected
    layer = StepEncoder(Frames(4), differences=True)
    assert layer(x).tolist() == expected


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 4])
def test_single_steps_that_come_in_pieces_are_the_whole(differences: bool, cut: int) -> None:
    layer = StepEncoder(image_vector(2 if differences else 1), differences=differences, dims=3).eval()
    x = torch.randint(0, 256, (5, 9, 12, 1), dtype=torch.uint8)
    whole = layer(x.unsqueeze(1))[:, 0]
    first, before = layer.beside(x[:cut])
    rest, last = layer.beside(x[cut:], before)
    # several single steps are read as well as each by itself
    torch.testing.assert_close(layer(torch.cat((first, rest))), whole)
    torch.testing.assert_close(layer(rest[:1]), whole[cut : cut + 1])
    assert (last is not None) == differences


def test_long_clips_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = StepEncoder(image_vector()).eval()
    x = torch.randint(0, 256, (7, 2, 9, 12, 1), dtype=torch.uint8)
    with torch.no_grad():
        whole = layer(x)
        monkeypatch.setattr(clips_module, "AT_ONCE", 3)
        torch.testing.assert_close(layer(x), whole)


def test_gradients_reach_the_convolutions() -> None:
    layer = StepEncoder(image_vector(2), differences=True)
    x = torch.randint(0, 256, (4, 2, 9, 12, 1), dtype=torch.uint8)
    layer(x, torch.tensor([4, 1])).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="height, width, size: expected at least 1, dropout 0 to below 1"):
        ImageVector(ImageEncoder(1, (4,)), 8, 8, 0)
