"""The decoder with attention: writes a sequence step by step, looking into a memory.

Letters: S steps of the memory, T of the target, B batch, M width of the memory, E of the target's embedding, V tokens.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Attention, CrossEntropy, Embedding, Memory, OutputLayer, Recurrent
from unrolled.layers.recurrent.arguments import LayerState
from unrolled.layers.recurrent.regularise import drop
from unrolled.layers.recurrent.unfolding import SteppedPass
from unrolled.networks.parts import select_rows, state_parts
from unrolled.scan import valid_steps


class DecoderState(NamedTuple):
    """The state of a decoder between tokens.

    Attributes:
        hidden, upper: states of its recurrent layers; `upper` is None without layers above the attention.
        feed: the last readout, (B, E), where it is fed back; else None.
        memory: the memory of the encoder's output.
        attended: (B, S), attention weights summed over the tokens so far.
        sources: (B,) int64, the index of the source of each row.
    """

    hidden: LayerState
    upper: LayerState
    feed: Tensor | None
    memory: Memory
    attended: Tensor
    sources: Tensor

    def select(self, rows: Tensor) -> DecoderState:
        """Return the state whose row n is row `rows[n]` of this one."""
        feed = None if self.feed is None else self.feed.index_select(0, rows)
        sources = self.sources.index_select(0, rows)
        # a search mostly reorders the hypotheses of a source; the memory is the largest part of the state
        same = sources.shape == self.sources.shape and torch.equal(sources, self.sources)
        return DecoderState(
            select_rows(self.hidden, rows),
            select_rows(self.upper, rows),
            feed,
            self.memory if same else self.memory.select(rows),
            self.attended.index_select(0, rows),
            sources,
        )


class AttentionDecoder(nn.Module):
    """Writes a sequence, looking into a memory at each step.

        h_t = hidden(y_{t-1}, h_{t-1})       c_t = attention(h_t)       h̃_t = tanh(W [u_t; c_t; y_{t-1}] + b)

    u_t is h_t, or the output of the `upper` layers for [h_t; c_t]: the first layer then queries the attention and the
    layers above it read the context (Wu et al. 2016, arXiv 1609.08144, section 3). With `input_feeding` the first layer
    also reads h̃_{t-1} (Luong et al. 2015, arXiv 1508.04025, section 3.3), so that each step depends on the whole
    previous step and training is a loop over steps; without it, every layer runs over all steps in one kernel call.

    Args:
        embedding: the embedding of the target tokens.
        hidden: the layers that query, time first, one direction; reads E, or 2E with `input_feeding`.
        attention: compares the output of `hidden` with the memory.
        upper: layers that read [h_t; c_t], time first; not with `input_feeding`.
        input_feeding: whether h̃_{t-1} is part of the input.
        dropout: on [u_t; c_t] and on h̃_t where it goes to the output; one mask per sequence.

    Raises:
        ArgumentError: the layers do not match.
    """

    def __init__(
        self,
        embedding: Embedding,
        hidden: Recurrent,
        attention: Attention,
        *,
        upper: Recurrent | None = None,
        input_feeding: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = embedding.output_size
        _check_fit("hidden", hidden, width * 2 if input_feeding else width)
        if upper is not None:
            _check_fit("upper", upper, hidden.output_size + attention.memory_size)
            if input_feeding:
                raise ArgumentError("upper: not possible with input_feeding; give `hidden` more layers instead")
        if attention.query_size != hidden.output_size:
            raise ArgumentError(f"attention: query_size {attention.query_size}, hidden yields {hidden.output_size}")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        self.embedding, self.hidden, self.attention, self.upper = embedding, hidden, attention, upper
        self.input_feeding, self.dropout = input_feeding, dropout
        self.top_size = (hidden if upper is None else upper).output_size
        self.readout = nn.Linear(self.top_size + attention.memory_size + width, width)
        self.output_size = width

    @property
    def state_width(self) -> int:
        """The number of recurrent state values per row that may start with any value."""
        stacks = [self.hidden] if self.upper is None else [self.hidden, self.upper]
        return sum(size * s.num_layers for s in stacks for size, is_free in _state_sizes(s) if is_free)

    def start(self, memory: Memory, states: Tensor) -> DecoderState:
        """Return the state before the first token.

        Args:
            memory: as returned by `attention.remember`.
            states: (B, state_width), the initial states of all layers; states that are not free start at zero.
        """
        hidden, rest = _unpack(self.hidden, states)
        upper = None if self.upper is None else _unpack(self.upper, rest)[0]
        batch, steps = memory.values.shape[:2]
        feed = states.new_zeros(batch, self.output_size) if self.input_feeding else None
        sources = torch.arange(batch, device=states.device)
        return DecoderState(hidden, upper, feed, memory, states.new_zeros(batch, steps), sources)

    def forward(self, tokens: Tensor, state: DecoderState, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run all steps with teacher forcing.

        Args:
            tokens: (T, B), the token that each step reads.
            state: as returned by `start`.
            lengths: (B,) valid steps; results beyond them are undefined.

        Returns:
            h̃ (T, B, E), and the attention weights (T, B, S).
        """
        embedded = self.embedding(tokens)
        if self.input_feeding:
            return self._fed(embedded, state, lengths)
        h, _ = self.hidden(embedded, state.hidden, lengths)
        context, weights = self.attention(h, state.memory)
        top = h
        if self.upper is not None:
            top, _ = self.upper(self._drop(torch.cat((h, context), -1)), state.upper, lengths)
        read = torch.tanh(self.readout(torch.cat((self._drop(torch.cat((top, context), -1)), embedded), -1)))
        return self._drop(read), weights

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor]:
        """Run one step without a graph: tokens (B,) → h̃ (B, E), the new state, and the attention weights (B, S)."""
        with torch.no_grad():
            embedded = self.embedding(tokens)
            read = embedded if state.feed is None else torch.cat((embedded, state.feed), -1)
            h, hidden = self.hidden.step(read, state.hidden)
            context, weights = self.attention(h, state.memory)
            top, upper = h, None
            if self.upper is not None:
                top, upper = self.upper.step(torch.cat((h, context), -1), state.upper)
            read = torch.tanh(self.readout(torch.cat((top, context, embedded), -1)))
            feed = read if self.input_feeding else None
            state = DecoderState(hidden, upper, feed, state.memory, state.attended + weights, state.sources)
            return read, state, weights

    def _fed(self, embedded: Tensor, state: DecoderState, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run step by step, with the parts of all products that do not depend on the previous step done beforehand."""
        stack, width = self.hidden, embedded.shape[-1]
        blocks: list[dict[str, Tensor]] = [dict(block) for block in stack.parameter_blocks()]
        is_plain = stack.cell.projects_plainly
        feed_weight = blocks[0]["weight_ih"][:, width:].t()
        x_gates = embedded.unbind(0)
        if is_plain:
            x_gates = F.linear(embedded, blocks[0]["weight_ih"][:, :width], blocks[0].get("bias_ih")).unbind(0)
        read_weight = self.readout.weight[:, :-width].t()
        reads = F.linear(embedded, self.readout.weight[:, -width:], self.readout.bias).unbind(0)
        mask = self._mask(embedded, self.top_size + self.attention.memory_size)
        states = _layers(state.hidden)
        memory = state.memory
        stepped = SteppedPass(stack, len(x_gates))
        feed = embedded.new_zeros(embedded.shape[1:]) if state.feed is None else state.feed
        first, features, weights = feed, [], []
        for t, (x_gate, read) in enumerate(zip(x_gates, reads, strict=True)):
            if is_plain:
                gates = torch.addmm(x_gate, feed, feed_weight)
            else:
                gates = stack.cell.project_input(torch.cat((x_gate, feed), -1), blocks[0])
            for layer, params in enumerate(blocks):
                if layer:
                    gates = stack.cell.project_input(states[layer - 1][0], params)
                states[layer] = stack.cell.step(gates, states[layer], params)
            h = stepped.leaving(t, states[-1][0])
            context, attended = self.attention(h, memory)
            joined = torch.cat((h, context), -1)
            joined = joined if mask is None else joined * mask
            feed = torch.tanh(torch.addmm(read, joined, read_weight))
            features.append(feed)
            weights.append(attended)
        if stepped.is_recorded:
            fed = zip(embedded, (first, *features), strict=False)
            stepped.note([torch.cat(parts, -1) for parts in fed], state.hidden, lengths)
        return self._drop(torch.stack(features)), torch.stack(weights)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, True) if self.dropout and self.training else x

    def _mask(self, like: Tensor, width: int) -> Tensor | None:
        if not (self.dropout and self.training):
            return None
        return drop(like.new_ones(1, like.shape[1], width), self.dropout, True).squeeze(0)


class WritingNetwork(Protocol):
    """The parts of a network that write a sequence."""

    decoder: AttentionDecoder
    output: OutputLayer
    cross_entropy: CrossEntropy

    @property
    def vocabulary_size(self) -> int:
        """V."""
        ...


def written_loss(
    network: WritingNetwork, state: DecoderState, target: Tensor, lengths: Tensor, expected: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Return the loss, in nats, of `expected` after each token of the target, as `ManyToManyNetwork.loss`.

    Args:
        state: of the decoder, before the first token.
        target, lengths, expected: (T, B), (B,) and (T, B).
    """
    features, _ = network.decoder(target, state, lengths)
    # the output layer is most of the cost, so it runs only over tokens that count
    counted = valid_steps(lengths, *target.shape)
    result: tuple[Tensor, Tensor, int] = network.cross_entropy(network.output(features[counted]), expected[counted])
    return result


class Decoding:
    """Sources that were read, as a `Stepper` over the sequences written about them.

    Args:
        network: in evaluation mode.
        state: as returned by `encode`.
    """

    def __init__(self, network: WritingNetwork, state: DecoderState) -> None:
        self.network, self._state = network, state

    @property
    def vocabulary_size(self) -> int:
        """V."""
        return self.network.vocabulary_size

    def start(self, batch_size: int) -> DecoderState:
        """Return the state before the first token, with a row for each source.

        Raises:
            ShapeError: the batch size is not the number of sources.
        """
        sources = self._state.memory.values.shape[0]
        if batch_size != sources:
            raise ShapeError("batch_size", f"(B={sources},), one row per source", (batch_size,))
        return self._state

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Run one step: (B,) tokens → logits (B, V) and the new state."""
        with torch.no_grad():
            read, state, _ = self.network.decoder.step(tokens, state)
            return self.network.output(read), state

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        """Return the state whose row n is row `rows[n]` of `state`."""
        return state.select(rows)


def _check_fit(name: str, stack: Recurrent, width: int) -> None:
    if stack.input_size != width or stack.batch_first or stack.bidirectional:
        raise ArgumentError(f"{name}: expected input_size={width}, batch_first=False and one direction")


def _state_sizes(stack: Recurrent) -> list[tuple[int, bool]]:
    """Return the width of each state, and whether it may start with any value."""
    sizes = stack.cell.state_sizes(stack.hidden_size)
    return [(size, n in stack.cell.free_states) for n, size in zip(stack.cell.state_names, sizes, strict=True)]


def _unpack(stack: Recurrent, states: Tensor) -> tuple[LayerState, Tensor]:
    """Return the first values of each row as the states of a stack, and the rest."""
    parts = []
    for size, is_free in _state_sizes(stack):
        if not is_free:
            parts.append(states.new_zeros(stack.num_layers, len(states), size))
            continue
        part, states = states.tensor_split([size * stack.num_layers], dim=1)
        parts.append(part.reshape(-1, stack.num_layers, size).transpose(0, 1).contiguous())
    return (tuple(parts) if len(parts) > 1 else parts[0]), states


def _layers(state: LayerState) -> list[tuple[Tensor, ...]]:
    """Return a stack's state as a tuple for each layer."""
    return list(zip(*(part.unbind(0) for part in state_parts(state)), strict=True))
