"""Stacked frames, which give a recurrent layer fewer steps; with a linear map, stacking is a convolution.

Letters: T frames, S steps, B batch, F features, I input of the recurrent layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs.tokens import Frames, InputLayer
from unrolled.scan import valid_steps


class FrameStack(nn.Module):
    """`stride` frames and the `left` before them as one step: (T, B, F) → (⌈T / stride⌉, B, (left + stride) · F).

    Step s holds the frames from s · stride − left to s · stride + stride − 1, each with its F features in order, and
    zeros before the first and after the last frame. It looks ahead by less than one step, so it can be streamed.

    Args:
        features: F.
        stride: frames per step.
        left: earlier frames that a step repeats.
    """

    def __init__(self, features: int, stride: int = 3, left: int = 0) -> None:
        super().__init__()
        if features < 1 or stride < 1 or left < 0:
            raise ArgumentError(
                f"features, stride, left: expected at least 1, 1 and 0, found {features}, {stride}, {left}"
            )
        self.features, self.stride, self.left = features, stride, left
        self.output_size = (left + stride) * features

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of steps for each number of frames, (B,)."""
        return torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Stack whole sequences.

        Args:
            frames: (T, B, F).
            lengths: (B,) valid frames; frames beyond them are never read.

        Returns:
            (S, B, (left + stride) · F).

        Raises:
            ShapeError: the frames have another shape.
        """
        if frames.dim() != 3 or frames.shape[2] != self.features:
            raise ShapeError("frames", f"(T, B, F={self.features})", frames.shape)
        if lengths is not None:
            beyond = ~valid_steps(lengths, frames.shape[0], frames.shape[1]).to(frames.device)
            frames = frames.masked_fill(beyond.unsqueeze(-1), 0)
        return self._stacked(F.pad(frames, (0, 0, 0, 0, self.left, -frames.shape[0] % self.stride)))

    def push(self, frames: Tensor, held: Tensor | None = None, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """Stack frames as they arrive.

        Args:
            frames: (T, B, F), the next frames; T may be 0.
            held: the frames that the last call returned; None at the start.
            last: whether these are the last frames, so that the last step is padded with zeros.

        Returns:
            The steps that are complete, (S, B, ·), and the frames that later steps need.
        """
        if held is None:
            held = frames.new_zeros(self.left, *frames.shape[1:])
        frames = torch.cat((held, frames))
        count = frames.shape[0] - self.left
        if last:
            frames = F.pad(frames, (0, 0, 0, 0, 0, -count % self.stride))
            count = frames.shape[0] - self.left
        whole = count // self.stride * self.stride
        return self._stacked(frames[: self.left + whole]), frames[whole:]

    def _stacked(self, frames: Tensor) -> Tensor:
        """Stack (left + S · stride, B, F) → (S, B, ·)."""
        windows = frames.shape[0] - self.left
        if not windows:
            return frames.new_zeros(0, frames.shape[1], self.output_size)
        # (S, B, F, left + stride), features innermost afterwards
        return frames.unfold(0, self.left + self.stride, self.stride).transpose(2, 3).flatten(2)

    def extra_repr(self) -> str:
        """Return the constructor's arguments, for printing."""
        return f"{self.features}, stride={self.stride}, left={self.left}"


class StackedFrames(InputLayer):
    """Feature frames to x_t, several frames per step: standardised, stacked and mapped.

    A linear map of stacked frames is a convolution over time of width left + stride; ReLU follows.

    Args:
        features: F.
        size: I.
        stride, left: as for `FrameStack`.
        dropout: probability, on the result.
    """

    def __init__(self, features: int, size: int, *, stride: int = 3, left: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        self.frames = Frames(features)
        self.stack = FrameStack(features, stride, left)
        self.linear = nn.Linear(self.stack.output_size, size)
        # torch's default initialisation attenuates the frames so much that CTC learns only the average for a long time
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        self.output_size, self.dropout = size, dropout

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of steps for each number of frames, (B,)."""
        return self.stack.output_lengths(lengths)

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics of the training data, (F,) each; a feature that never varies is not scaled."""
        self.frames.mean.copy_(mean)
        self.frames.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (T, B, F) → (⌈T / stride⌉, B, I), or a step of `windows`, (B, (left + stride) · F) → (B, I)."""
        return self._mapped(frames if frames.dim() == 2 else self.stack(self.frames(frames), lengths))

    def push(self, frames: Tensor, held: Tensor | None = None, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """Map frames as they arrive, as `FrameStack.push`: return complete steps (S, B, I), and frames to hold."""
        steps, held = self.windows(frames, held, last=last)
        return self._mapped(steps), held

    def windows(self, frames: Tensor, held: Tensor | None = None, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """Standardise and stack frames as they arrive, as `FrameStack.push`, for `forward` to map step by step."""
        return self.stack.push(self.frames(frames), held, last=last)

    def _mapped(self, stacked: Tensor) -> Tensor:
        return F.dropout(F.relu(self.linear(stacked)), self.dropout, self.training)
