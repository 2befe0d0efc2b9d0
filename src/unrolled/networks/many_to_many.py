"""Many-to-many: a sequence is read as a whole, and another one written, which looks back into it by attention.

    x_1 … x_S ─ source ─▶ encoder ─▶ m_1 … m_S ─┐ attention
                              │ bridge          ▼
    y_0 … y_{T-1} ─ target ─▶ decoder h_t ─▶ readout h̃_t ─ output ─▶ logits of y_1 … y_T

Letters: S steps of the source, T of the target, B batch, M width of the memory, E of the target's embedding, V tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Attention, CrossEntropy, Embedding, Memory, Recurrent
from unrolled.layers.recurrent.regularise import drop
from unrolled.layers.recurrent.unfolding import SteppedPass
from unrolled.networks.parts import select_rows
from unrolled.scan import valid_steps


class DecoderState(NamedTuple):
    """What a decoder carries from one token to the next.

    Attributes:
        hidden, upper: states of its recurrent layers; `upper` is None without layers above the attention.
        feed: the last readout, (B, E), where it is fed back; else None.
        memory: what the encoder left.
        attended: (B, S), attention weights summed over the tokens so far.
        sources: (B,) int64, which of the sources each row writes about.
    """

    hidden: Any
    upper: Any
    feed: Tensor | None
    memory: Memory
    attended: Tensor
    sources: Tensor

    def select(self, rows: Tensor) -> DecoderState:
        """The state whose row n is row `rows[n]` of this one."""
        feed = None if self.feed is None else self.feed.index_select(0, rows)
        sources = self.sources.index_select(0, rows)
        # a search reorders the hypotheses of each source, and its memory is the largest part of the state
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

    u_t is h_t, or what the `upper` layers make of [h_t; c_t]: attention then is asked by the first layer and answers to
    those above it (Wu et al. 2016, arXiv 1609.08144, section 3). With `input_feeding` the first layer also reads
    h̃_{t-1} (Luong et al. 2015, arXiv 1508.04025, section 3.3), so that a step needs the whole of the one before and
    training is a loop over steps; without it, every layer runs over all steps in one call of its kernel.

    Args:
        embedding: of the tokens written.
        hidden: the layers that ask, time first, one direction; reads E, or 2E with `input_feeding`.
        attention: compares what `hidden` yields with the memory.
        upper: layers that read [h_t; c_t], time first; not with `input_feeding`.
        input_feeding: whether h̃_{t-1} is part of the input.
        dropout: on [u_t; c_t] and on h̃_t where it goes to the output; one mask a sequence.

    Raises:
        ArgumentError: if the layers do not fit each other.
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
                raise ArgumentError("upper: goes without input_feeding; give `hidden` more layers instead")
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
        """How many numbers the recurrent states of one row are, of those states that may begin with any."""
        stacks = [self.hidden] if self.upper is None else [self.hidden, self.upper]
        return sum(size * s.num_layers for s in stacks for size, is_free in _state_sizes(s) if is_free)

    def start(self, memory: Memory, states: Tensor) -> DecoderState:
        """The state before the first token.

        Args:
            memory: as `attention.remember` made it.
            states: (B, state_width), the initial states of all layers; those that are not free begin with zeros.
        """
        hidden, rest = _unpack(self.hidden, states)
        upper = None if self.upper is None else _unpack(self.upper, rest)[0]
        batch, steps = memory.values.shape[:2]
        feed = states.new_zeros(batch, self.output_size) if self.input_feeding else None
        sources = torch.arange(batch, device=states.device)
        return DecoderState(hidden, upper, feed, memory, states.new_zeros(batch, steps), sources)

    def forward(self, tokens: Tensor, state: DecoderState, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Teacher forcing: all tokens are known beforehand.

        Args:
            tokens: (T, B), what each step reads.
            state: as `start` made it.
            lengths: (B,) valid steps; what lies beyond is anything.

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
        """One step without a graph: tokens (B,) → h̃ (B, E), the new state, and the attention weights (B, S)."""
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
        """Step by step, with the part of every product that does not depend on the step before done beforehand."""
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


class ManyToManyNetwork(nn.Module):
    """Encoder, attention and decoder.

    Args:
        source: the input layer of what is read, with an `output_size`.
        encoder: recurrent stack, time first, one direction or two.
        decoder: writes; its attention's `memory_size` is the encoder's width.
        output: from h̃ to logits.
        dropout: on the encoder's output; one mask a sequence.
        smoothing: of the labels in `loss`.

    Source: Bahdanau, Cho & Bengio 2014, arXiv 1409.0473; Luong, Pham & Manning 2015, arXiv 1508.04025.

    Raises:
        ArgumentError: if the layers do not fit each other.
    """

    def __init__(
        self,
        source: nn.Module,
        encoder: Recurrent,
        decoder: AttentionDecoder,
        output: nn.Module,
        *,
        dropout: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if encoder.input_size != source.output_size or encoder.batch_first:
            raise ArgumentError(f"encoder: expected input_size={source.output_size} and batch_first=False")
        if decoder.attention.memory_size != encoder.output_size:
            raise ArgumentError(
                f"decoder: its attention reads vectors of {decoder.attention.memory_size}, the encoder yields "
                f"{encoder.output_size}"
            )
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        self.source, self.encoder, self.decoder, self.output, self.dropout = source, encoder, decoder, output, dropout
        self.bridge = nn.Linear(encoder.output_size, decoder.state_width)
        self.cross_entropy = CrossEntropy(smoothing=smoothing)

    @property
    def inputs(self) -> nn.Module:
        """The input layer, `source`."""
        return self.source

    @property
    def vocabulary_size(self) -> int:
        """V, the number of logits."""
        return int(self.output.classes)  # type: ignore[arg-type]

    def encode(self, source: Tensor, lengths: Tensor | None = None) -> DecoderState:
        """Read the sources.

        Args:
            source: what the source layer reads, (S, B).
            lengths: (B,) valid steps.

        Returns:
            The decoder's state before the first token.
        """
        memory, final = self.encoder(self.source(source), None, lengths)
        h = final[0] if isinstance(final, tuple) else final
        # the last layer's: what each direction knows after its last step
        summary = h[-self.encoder.num_directions :].transpose(0, 1).flatten(1)
        if self.dropout and self.training:
            memory, summary = drop(memory, self.dropout, True), F.dropout(summary, self.dropout)
        return self.decoder.start(self.decoder.attention.remember(memory, lengths), torch.tanh(self.bridge(summary)))

    def features(
        self, source: Tensor, source_lengths: Tensor | None, target: Tensor, target_lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Teacher forcing up to the output layer.

        Args:
            source: (S, B), with `source_lengths` (B,).
            target: (T, B), what the decoder reads at each step, with `target_lengths` (B,).

        Returns:
            h̃ (T, B, E) that the output layer reads, and the attention weights (T, B, S).
        """
        found: tuple[Tensor, Tensor] = self.decoder(target, self.encode(source, source_lengths), target_lengths)
        return found

    def forward(
        self, source: Tensor, source_lengths: Tensor | None, target: Tensor, target_lengths: Tensor | None = None
    ) -> Tensor:
        """Logits of what comes after each token of the target, (T, B, V); arguments as for `features`."""
        result: Tensor = self.output(self.features(source, source_lengths, target, target_lengths)[0])
        return result

    def loss(
        self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor, expected: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """What it costs, in nats, that `expected` comes after each token of the target.

        Args:
            source, source_lengths, target, target_lengths: as for `features`.
            expected: (T, B) int64; what lies beyond the target's lengths does not count.

        Returns:
            The mean to differentiate, the plain sum (detached), and how many tokens counted.
        """
        return written_loss(self, self.encode(source, source_lengths), target, target_lengths, expected)

    def decoding(self, source: Tensor, lengths: Tensor | None = None) -> Decoding:
        """What a decoder of `unrolled.decoding` steps through: one row a source."""
        with torch.no_grad():
            return Decoding(self, self.encode(source, lengths))


def written_loss(
    network: nn.Module, state: DecoderState, target: Tensor, lengths: Tensor, expected: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Return what it costs that `expected` comes after each token of the target; as `ManyToManyNetwork.loss`.

    Args:
        network: with a `decoder`, an `output` layer and `cross_entropy`.
        state: of the decoder, before the first token.
        target, lengths, expected: (T, B), (B,) and (T, B).
    """
    found, _ = network.get_submodule("decoder")(target, state, lengths)
    # the output layer, most of the cost, only where something counts
    counted = valid_steps(lengths, *target.shape)
    logits = network.get_submodule("output")(found[counted])
    result: tuple[Tensor, Tensor, int] = network.get_submodule("cross_entropy")(logits, expected[counted])
    return result


class Decoding:
    """The sources that were read, as a `Stepper` over what is written about them.

    Args:
        network: in evaluation mode.
        state: as `encode` made it.
    """

    def __init__(self, network: ManyToManyNetwork, state: DecoderState) -> None:
        self.network, self._state = network, state

    @property
    def vocabulary_size(self) -> int:
        """V."""
        return self.network.vocabulary_size

    def start(self, batch_size: int) -> DecoderState:
        """The state before the first token, one row a source.

        Raises:
            ShapeError: for another number of rows than there are sources.
        """
        sources = self._state.memory.values.shape[0]
        if batch_size != sources:
            raise ShapeError("batch_size", f"(B={sources},), one row a source", (batch_size,))
        return self._state

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """(B,) tokens → logits (B, V) and the new state."""
        with torch.no_grad():
            read, state, _ = self.network.decoder.step(tokens, state)
            return self.network.output(read), state

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        """The state whose row n is row `rows[n]` of `state`."""
        return state.select(rows)


def _check_fit(name: str, stack: Recurrent, width: int) -> None:
    if stack.input_size != width or stack.batch_first or stack.bidirectional:
        raise ArgumentError(f"{name}: expected input_size={width}, batch_first=False and one direction")


def _state_sizes(stack: Recurrent) -> list[tuple[int, bool]]:
    """The width of each state, and whether it may begin with any numbers."""
    sizes = stack.cell.state_sizes(stack.hidden_size)
    return [(size, n in stack.cell.free_states) for n, size in zip(stack.cell.state_names, sizes, strict=True)]


def _unpack(stack: Recurrent, states: Tensor) -> tuple[Any, Tensor]:
    """The first numbers of each row as the states of a stack, and the rest."""
    parts = []
    for size, is_free in _state_sizes(stack):
        if not is_free:
            parts.append(states.new_zeros(stack.num_layers, len(states), size))
            continue
        mine, states = states.tensor_split([size * stack.num_layers], dim=1)
        parts.append(mine.reshape(-1, stack.num_layers, size).transpose(0, 1).contiguous())
    return (tuple(parts) if len(parts) > 1 else parts[0]), states


def _layers(state: Any) -> list[tuple[Tensor, ...]]:
    """A stack's state, one tuple a layer."""
    parts = state if isinstance(state, tuple) else (state,)
    return list(zip(*(p.unbind(0) for p in parts), strict=True))
