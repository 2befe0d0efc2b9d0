"""Images as input layers: shapes, standardisation, and no image that depends on another."""

from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.layers import ImageEncoder, ImageSteps
from unrolled.layers.inputs.images import Norm, ResidualBlock


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width", "stride"), [(28, 28, 1), (7, 9, 1), (1, 1, 1), (33, 20, 2), (5, 3, 2)])
def test_vectors_and_grids_of_any_size(height: int, width: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = ImageEncoder(3, (4, 6, 8), stem_stride=stride, stem_size=5).eval()
    x = images(2, height, width, 3)
    rows, columns = layer.grid_shape(height, width)
    grid = layer.grid(x)
    assert grid.shape == (2, rows * columns, 8)
    assert torch.allclose(layer(x), grid.mean(1), atol=1e-6)
    assert layer(images(2, 3, height, width, 3)).shape == (2, 3, 8)


def test_a_last_map_of_another_width() -> None:
    layer = ImageEncoder(1, (4, 6), size=5, blocks=2)
    assert layer(images(2, 8, 8, 1)).shape == (2, 5)
    assert (layer.output_size, layer.grid_size) == (5, 6)
    assert [block.stride for block in layer.stages] == [2, 1]  # type: ignore[union-attr]


def test_no_image_depends_on_another_in_evaluation() -> None:
    torch.manual_seed(0)
    layer = ImageEncoder(1, (4, 6, 8), dropout=0.5)
    layer(images(8, 9, 9, 1))
    layer.eval()
    x = images(5, 9, 9, 1)
    together = layer(x)
    alone = torch.cat([layer(x[n : n + 1]) for n in range(5)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_pixels_are_standardised() -> None:
    mean, std = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([2.0, 0.0, 4.0])
    layer = ImageEncoder(3, (4,), mean=mean, std=std).eval()
    x = images(1, 5, 5, 3)
    # nothing to divide by where nothing varies
    plain = (x.float() - mean) / torch.tensor([2.0, 1.0, 4.0])
    expected = layer.stem(plain.permute(0, 3, 1, 2)).mean((2, 3))
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert torch.equal(layer(x), layer(x.float()))


def test_a_block_adds_two_convolutions_to_its_skip() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 6, 6)
    for stride in (1, 2):
        block = ResidualBlock(4, 4, stride).eval()
        skip = torch.nn.functional.avg_pool2d(x, stride)
        expected = (skip + block.second(block.first(x).div((1 + 1e-5) ** 0.5).relu()).div((1 + 1e-5) ** 0.5)).relu()
        assert torch.allclose(block(x), expected, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    layer = ImageEncoder(1, (4, 6, 8), blocks=2)
    (layer(images(4, 12, 12, 1)) * torch.randn(4, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())


def test_a_single_value_is_normalised_by_what_was_seen_before() -> None:
    layer = Norm(2)
    x = torch.randn(1, 2, 1, 1)
    assert torch.allclose(layer(x), x / (1 + layer.eps) ** 0.5)
    assert torch.equal(layer.running_mean, torch.zeros(2))  # type: ignore[arg-type]
    layer(torch.randn(2, 2, 1, 1))
    assert not torch.equal(layer.running_mean, torch.zeros(2))  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    layer = ImageEncoder(3, (4,))
    with pytest.raises(ShapeError, match=r"images: expected shape \(…, H, W, C=3\)"):
        layer(images(2, 5, 5, 1))
    with pytest.raises(ShapeError):
        layer(images(5, 5, 3))
    with pytest.raises(DTypeError, match=r"expected uint8 or floating point, found torch\.int64"):
        layer(torch.zeros(1, 5, 5, 3, dtype=torch.int64))
    for options in (
        {"channels": 0},
        {"widths": ()},
        {"blocks": 0},
        {"stem_size": 4},
        {"stem_stride": 0},
        {"dropout": 1.0},
        {"mean": torch.zeros(2)},
    ):
        with pytest.raises(ArgumentError):
            ImageEncoder(**{"channels": 3, **options})  # type: ignore[arg-type]


def test_rows_columns_and_pixels_as_steps() -> None:
    x = images(2, 3, 4, 3)
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 8.0])
    rows = ImageSteps(3, 4, 3, mean=mean, std=std)
    assert rows.output_size == 12
    found = rows(x)
    assert found.shape == (3, 2, 12)
    assert torch.equal(found[2, 1].view(4, 3), (x[1, 2].float() - mean) / std)
    # one step, as a stream hands it over
    assert torch.equal(rows(x[:, 2].reshape(2, 12)), found[2])
    assert torch.equal(rows(x.reshape(2, 3, 12).transpose(0, 1)), found)
    pixels = ImageSteps(3, 4, 3, "pixels", mean=mean, std=std)
    assert pixels(x).shape == (12, 2, 3)
    assert torch.equal(pixels(x)[5, 1], (x[1, 1, 1].float() - mean) / std)
    with pytest.raises(ShapeError, match=r"images: expected shape \(B, H=3, W=4, C=3\)"):
        rows(images(2, 4, 4, 3))
    columns = ImageSteps(3, 0, 3, "columns", mean=mean, std=std)
    assert columns.output_size == 9
    # images of any width
    for wide in (x, images(2, 3, 7, 3)):
        read = columns(wide)
        assert read.shape == (wide.shape[2], 2, 9)
        assert torch.equal(read[3, 1].view(3, 3), (wide[1, :, 3].float() - mean) / std)
        assert torch.equal(columns(wide[:, :, 3].reshape(2, 9)), read[3])
    with pytest.raises(ShapeError, match=r"images: expected shape \(B, H=3, W, C=3\)"):
        columns(images(2, 4, 4, 3))
    with pytest.raises(ArgumentError, match="by: expected 'rows', 'columns' or 'pixels'"):
        ImageSteps(3, 4, 3, "diagonals")
    with pytest.raises(ArgumentError, match="height, width, channels"):
        ImageSteps(3, 0, 3)
    with pytest.raises(ArgumentError, match="height, width, channels"):
        ImageSteps(0, 4, 3)
