"""Many-to-many over time series: the past in, the next steps out, all at once or one after the other.

Letters: C context (steps of the past), A steps before it that lags reach back to, H horizon, N batch (windows of single
series), S segment, K known covariates, Q outputs per step, D width of a hidden state, E width of an embedding.

Both networks read each series separately ("channel-independent"), and distinguish series by an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Frames, LinearOutput, Recurrent
from unrolled.layers.outputs.likelihoods import ForecastLoss, Likelihood
from unrolled.layers.recurrent.arguments import AnyState, LayerState, map_state
from unrolled.networks.parts import select_rows

Normalise = Literal["last", "instance", "none"]
#: the least standard deviation that a window is divided by, in units of the standardised series
LEAST_SCALE = 1e-3


class SeriesEmbedding(nn.Module):
    """A vector for each series: its own where training has seen it, plus a linear map of its static features.

    Args:
        channels: the number of series with a vector of their own; others get the mean.
        static: the number of static features.
        size: E.
    """

    def __init__(self, channels: int, static: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.own = nn.Parameter(torch.randn(channels, size)) if channels else None
        self.described = nn.Linear(static, size) if static else None

    def forward(self, channel: Tensor, static: Tensor) -> Tensor:
        """Map channels (N,) int64, −1 for a series without a vector, and (N, static) → (N, E)."""
        vector = static.new_zeros(len(channel), self.size)
        if self.own is not None:
            vectors = torch.cat([self.own, self.own.mean(0, keepdim=True)])
            vector = vectors[torch.where(channel < 0, len(vectors) - 1, channel)]
        return vector if self.described is None else vector + self.described(static)


class DirectForecaster(nn.Module):
    """Forecasts all steps at once: the past runs through a recurrent stack in segments, then one step for each future
    segment.

        s_k = relu(W x_k + b)  for each segment x_k of S steps;    h = stack(s_1 … s_n)
        ŷ_j = V · stack([position_j, series], h)                   for each segment j of the horizon, in parallel

    Values enter relative to the last known value of their window, or standardised over it; the output is scaled back.

    Args:
        hidden: the stack; its input width is D.
        context, horizon, segment: C, H, S.
        loss: the loss of forecasts; its quantiles, or its single point, are the Q outputs.
        known: K.
        channels, static: as `SeriesEmbedding`.
        normalise: "last" subtracts the last value, "instance" also divides by the window's standard deviation.
        masked: whether values may be missing, so that the network also reads which.
        dropout: before the output layer.

    Raises:
        ArgumentError: the sizes do not match.

    Source: Lin et al. 2023 (SegRNN), arXiv 2308.11200; instance normalisation: Kim et al. 2022 (RevIN).
    """

    def __init__(
        self,
        hidden: Recurrent,
        *,
        context: int,
        horizon: int,
        segment: int,
        loss: ForecastLoss,
        known: int = 0,
        channels: int = 0,
        static: int = 0,
        normalise: Normalise = "last",
        masked: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = hidden.input_size
        for name, size in (("context", context), ("horizon", horizon), ("segment", segment)):
            if size < 1:
                raise ArgumentError(f"{name}: expected at least 1, found {size}")
        if hidden.batch_first or hidden.bidirectional:
            raise ArgumentError("hidden: expected time first and one direction; it continues into the future")
        if width < 2 or width % 2:
            raise ArgumentError(f"hidden: expected an even input_size of at least 2, found {width}")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        self.context, self.horizon, self.segment = context, horizon, segment
        self.loss, self.outputs = loss, loss.width
        self.normalise, self.masked, self.dropout = normalise, masked, dropout
        self.inputs = Frames(segment * (1 + masked + known), width)
        self.hidden = hidden
        self.position = nn.Parameter(torch.randn(-(-horizon // segment), width // 2))
        self.who = SeriesEmbedding(channels, static, width - width // 2)
        self.future = nn.Linear(segment * known, width) if known else None
        self.output = LinearOutput(hidden.output_size, segment * loss.width)

    @property
    def reach(self) -> int:
        """Steps of the past that it reads."""
        return self.context

    def forward(
        self,
        past: Tensor,
        known: Tensor,
        channel: Tensor,
        static: Tensor,
        before: tuple[int, LayerState] = (0, None),
    ) -> Tensor:
        """Forecast the horizon.

        Args:
            past: (C, N), NaN where a value is missing.
            known: (C + H, N, K).
            channel: (N,), −1 for a series that training never saw.
            static: (N, static).
            before: the number of segments that were already read, and the state that `read` returned after them.

        Returns:
            (H, N, Q), increasing along Q.

        Raises:
            ShapeError: naming the argument.
        """
        count = past.shape[-1]
        if past.shape != (self.context, count):
            raise ShapeError("past", f"(C={self.context}, N)", past.shape)
        if known.shape[:2] != (self.context + self.horizon, count):
            raise ShapeError("known", f"(C + H={self.context + self.horizon}, N={count}, K)", known.shape)
        shift, scale = window_scale(past, self.normalise)
        state = self.read(past, known, before[0], state=before[1])
        queries = len(self.position)
        where = self.position.unsqueeze(1).expand(-1, count, -1)
        whose = self.who(channel, static).unsqueeze(0).expand(queries, -1, -1)
        query = torch.cat([where, whose], -1)
        if self.future is not None:
            query = query + self.future(self._segments(known[self.context :], front=False))
        h, _ = self.hidden(query.reshape(1, queries * count, -1), _repeated(state, queries))
        if self.dropout and self.training:
            h = F.dropout(h, self.dropout)
        steps = self.output(h).view(queries, count, self.segment, self.outputs)
        steps = steps.transpose(1, 2).reshape(queries * self.segment, count, self.outputs)[: self.horizon]
        if self.outputs > 1:
            # sorting crossed quantiles improves them (Chernozhukov et al. 2010)
            steps = steps.sort(-1).values
        return steps * scale.unsqueeze(-1) + shift.unsqueeze(-1)

    def read(
        self, past: Tensor, known: Tensor, start: int = 0, stop: int | None = None, state: LayerState = None
    ) -> LayerState:
        """Return the stack's state after some segments of the past.

        Args:
            past, known: the whole past, as for `forward`.
            start, stop: the range of segments; by default all.
            state: the state before `start`.
        """
        seen = ~torch.isnan(past)
        shift, scale = window_scale(past, self.normalise)
        x = torch.where(seen, (past - shift) / scale, 0)
        parts = [x.unsqueeze(-1), *([seen.to(x.dtype).unsqueeze(-1)] if self.masked else []), known[: self.context]]
        segments = self._segments(torch.cat(parts, -1), front=True)[start:stop]
        return self.hidden(F.relu(self.inputs(segments)), state)[1]

    def _segments(self, x: Tensor, front: bool) -> Tensor:
        """Split into segments, padded with zeros in front or behind: (T, N, F) → (segments, N, S·F)."""
        short = -len(x) % self.segment
        if short:
            fill = x.new_zeros(short, *x.shape[1:])
            x = torch.cat([fill, x] if front else [x, fill])
        rows = x.view(-1, self.segment, *x.shape[1:]).transpose(1, 2)
        return rows.reshape(len(rows), x.shape[1], -1)


class AutoregressiveForecaster(nn.Module):
    """Forecasts one step after the other: a stack reads the last value, some older values, covariates and the series'
    embedding, and yields the parameters of the next value's distribution. Samples are fed back to it.

    Args:
        hidden: the stack; its input width is 1 + lags + missing + K + E.
        likelihood: the distribution of a value.
        context, horizon: C, H.
        lags: further values to read, as numbers of steps back, each at least 2.
        known, channels, static, masked: as `DirectForecaster`.
        embedding: E.
        dropout: before the output layer.

    Source: Salinas et al. 2017 (DeepAR), arXiv 1704.04110.
    """

    def __init__(
        self,
        hidden: Recurrent,
        likelihood: Likelihood,
        *,
        context: int,
        horizon: int,
        lags: Sequence[int] = (),
        known: int = 0,
        channels: int = 0,
        static: int = 0,
        embedding: int = 0,
        masked: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if context < 1 or horizon < 1 or any(lag < 2 for lag in lags):
            raise ArgumentError(f"context, horizon: at least 1, lags: at least 2, found {context}, {horizon}, {lags}")
        width = self.input_width(len(lags), known, embedding, masked)
        if hidden.input_size != width:
            raise ArgumentError(f"hidden: reads input_size={hidden.input_size}, there are {width} inputs")
        if hidden.batch_first or hidden.bidirectional:
            raise ArgumentError("hidden: expected time first and one direction; it continues into the future")
        self.context, self.horizon, self.lags, self.masked, self.dropout = (
            context,
            horizon,
            tuple(lags),
            masked,
            dropout,
        )
        self.hidden, self.likelihood = hidden, likelihood
        self.who = SeriesEmbedding(channels, static, embedding)
        self.output = LinearOutput(hidden.output_size, likelihood.size)

    @staticmethod
    def input_width(lags: int, known: int, embedding: int, masked: bool) -> int:
        """Return the number of inputs of a step."""
        return (1 + lags) * (1 + masked) + known + embedding

    @property
    def reach(self) -> int:
        """Steps of the past that it reads: the context, and the steps before it that lags reach."""
        return self.context + max((1, *self.lags))

    def scale(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and scale of each series, (N,), from the values of its context (the last C rows of `past`)."""
        window = past[-self.context :]
        if not self.likelihood.counts:
            return window_scale(window, "instance")
        seen = ~torch.isnan(window)
        mean = torch.where(seen, window.abs(), 0).sum(0) / seen.sum(0).clamp(min=1)
        return torch.zeros_like(mean), mean + 1

    def nats(self, values: Tensor, known: Tensor, channel: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """Return −ln p of each value of context and horizon given the values before it, and which values are known.

        Args:
            values: (reach + H, N), NaN where a value is missing.
            known: (reach + H, N, K).
            channel, static: as `DirectForecaster.forward`.

        Returns:
            (C + H, N) nats, 0 where a value is missing, and the mask of known values.
        """
        shift, scale = self.scale(values[: self.reach])
        first = self.reach - self.context
        x = self._inputs(values, known[first:], shift, scale, self.who(channel, static), len(values) - first)
        h, _ = self.hidden(x)
        if self.dropout and self.training:
            h = F.dropout(h, self.dropout)
        target = values[first:]
        seen = ~torch.isnan(target)
        nats = self.likelihood.nats(self.output(h), torch.where(seen, target, shift), shift, scale)
        return torch.where(seen, nats, 0), seen

    def read(
        self, past: Tensor, known: Tensor, whose: Tensor, scale: tuple[Tensor, Tensor], state: LayerState = None
    ) -> LayerState:
        """Return the state after a past, before the value of its last step is read.

        Args:
            past: (A + T, N): T steps to read, and the steps before them that lags reach.
            known: (T, N, K) of these T steps.
            whose: (N, E), the series' embeddings.
            scale: as returned by `scale`.
            state: the state before the first of the T steps.
        """
        if not len(known):
            return state
        return self.hidden(self._inputs(past, known, *scale, whose, len(known)), state)[1]

    def reading(self, past: Tensor, known: Tensor, whose: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
        """Return the stack's inputs after each of the last C values, (C, N, I).

        Args:
            past: (reach, N).
            known: (C, N, K) of the step after each value.
            whose, scale: as `read`.
        """
        return self._inputs(past, known, *scale, whose, self.context, ahead=True)

    @torch.no_grad()
    def sample(
        self,
        past: Tensor,
        known: Tensor,
        whose: Tensor,
        scale: tuple[Tensor, Tensor],
        state: LayerState,
        samples: int,
        generators: Sequence[np.random.Generator],
    ) -> Iterator[Tensor]:
        """Sample paths that continue from a state, step by step (ancestral sampling).

        Args:
            past: (A, N), the last values.
            known: (H, N, K) of the next steps.
            whose, scale, state: as `read`.
            samples: S.
            generators: one per series.

        Yields:
            (N, S) for each step.
        """
        count = past.shape[1]
        shift, spread = (s.repeat_interleave(samples) for s in scale)
        whose = whose.repeat_interleave(samples, 0)
        rows = torch.arange(count, device=past.device).repeat_interleave(samples)
        state = select_rows(state, rows)
        recent = past.index_select(1, rows)
        for step in known:
            x = self._inputs(recent, step.unsqueeze(0).index_select(1, rows), shift, spread, whose, 1, ahead=True)
            h, state = self.hidden(x, state)
            raw = self.output(h[0]).view(count, samples, -1)
            drawn = self.likelihood.draw(raw, scale[0].unsqueeze(1), scale[1].unsqueeze(1), generators)
            recent = torch.cat([recent[1:], drawn.reshape(1, -1)])
            yield drawn

    def _inputs(
        self,
        values: Tensor,
        known: Tensor,
        shift: Tensor,
        scale: Tensor,
        whose: Tensor,
        steps: int,
        ahead: bool = False,
    ) -> Tensor:
        """Return the inputs of the last steps (`ahead`: of the next), from the values before each, (steps, N, I)."""
        last = len(values) + ahead
        seen = ~torch.isnan(values)
        x = torch.where(seen, (values - shift) / scale, 0)
        columns = []
        for lag in (1, *self.lags):
            rows = slice(last - steps - lag, last - lag)
            columns.append(x[rows])
            if self.masked:
                columns.append(seen[rows].to(x.dtype))
        parts = [torch.stack(columns, -1), known, whose.unsqueeze(0).expand(steps, -1, -1)]
        return torch.cat(parts, -1)


def window_scale(past: Tensor, normalise: Normalise) -> tuple[Tensor, Tensor]:
    """Return shift and scale of each window, (N,), from its known values; 0 and 1 for a window without any.

    >>> window_scale(torch.tensor([[1.0], [3.0], [float("nan")]]), "last")
    (tensor([3.]), tensor([1.]))
    """
    ones = past.new_ones(past.shape[1])
    if normalise == "none":
        return torch.zeros_like(ones), ones
    seen = ~torch.isnan(past)
    values = torch.where(seen, past, 0)
    if normalise == "last":
        steps = torch.arange(1, len(past) + 1, device=past.device).unsqueeze(1)
        last = (seen * steps).argmax(0, keepdim=True)
        return values.gather(0, last)[0], ones
    count = seen.sum(0).clamp(min=1)
    mean = values.sum(0) / count
    spread = (torch.where(seen, past - mean, 0).square().sum(0) / count).sqrt()
    return mean, spread.clamp(min=LEAST_SCALE)


def _repeated(state: AnyState, times: int) -> AnyState:
    """Repeat the streams of a state `times` times, block after block."""
    return map_state(state, lambda part: part.repeat(1, times, 1))
