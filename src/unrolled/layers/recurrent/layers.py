"""RNN, LSTM and GRU: drop-in replacements of torch.nn's, with more options; and a layer of each other cell."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch

from unrolled.cells import (
    CELLS,
    Cell,
    GRUCell,
    IndRNNCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    MogrifierLSTMCell,
    RGLRUCell,
    RNNCell,
    SLSTMCell,
    SRUCell,
)
from unrolled.errors import ArgumentError
from unrolled.layers.recurrent.arguments import lacks
from unrolled.layers.recurrent.stack import Recurrent


def _check_no_projection(options: Mapping[str, object]) -> None:
    """Refuse `proj_size`, as torch's RNN and GRU do whatever its value is."""
    if "proj_size" in options:
        raise ArgumentError(f"proj_size: only an LSTM can be projected, found {options['proj_size']!r}")


class RNN(Recurrent):
    """`torch.nn.RNN`, and more: `nonlinearity` may also be "sigmoid"; the other options are `Recurrent`'s.

        h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    >>> import torch, unrolled
    >>> output, h_n = unrolled.RNN(3, 5, num_layers=2)(torch.zeros(7, 4, 3))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((7, 4, 5), (2, 4, 5))
    """

    #: torch's width of projection, which an RNN has not
    proj_size: ClassVar[int] = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        _check_no_projection(options)
        cell = RNNCell(nonlinearity=nonlinearity, layer_norm=layer_norm)
        shape = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(cell, *shape, device=device, dtype=dtype, **options)
        self.nonlinearity = nonlinearity

    @property
    def mode(self) -> str:
        """torch's name of the kind: "RNN_TANH", "RNN_RELU", or "RNN_SIGMOID"."""
        return f"RNN_{self.nonlinearity.upper()}"


class LSTM(Recurrent):
    """`torch.nn.LSTM`, and more: peepholes, a coupled input-forget gate, layer norm; other options are `Recurrent`'s.

    The state is (h, c), and the equations are those of `unrolled.cells.LSTMCell`.

    >>> import torch, unrolled
    >>> x, lengths = torch.zeros(4, 7, 3), torch.tensor([7, 2, 0, 5])
    >>> output, (h_n, c_n) = unrolled.LSTM(3, 5, batch_first=True, bidirectional=True)(x, lengths=lengths)
    >>> tuple(output.shape), tuple(h_n.shape), output[1, 2:].abs().sum().item()
    ((4, 7, 10), (2, 4, 5), 0.0)
    """

    #: torch's name of the kind
    mode: ClassVar[str] = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        peephole: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        cell = LSTMCell(peephole=peephole, coupled=coupled, proj_size=proj_size, layer_norm=layer_norm)
        shape = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(cell, *shape, device=device, dtype=dtype, **options)
        self.proj_size = proj_size


class GRU(Recurrent):
    """`torch.nn.GRU`, and more: `reset_after=False` is Cho et al.'s own form; other options are `Recurrent`'s.

    The equations are those of `unrolled.cells.GRUCell`.
    """

    #: torch's name of the kind, and its width of projection
    mode: ClassVar[str] = "GRU"
    proj_size: ClassVar[int] = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset_after: bool = True,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        _check_no_projection(options)
        cell = GRUCell(reset_after=reset_after, layer_norm=layer_norm)
        shape = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(cell, *shape, device=device, dtype=dtype, **options)


class _Stack(Recurrent):
    """A stack of a cell that torch lacks; the options are the cell's own, and `Recurrent`'s."""

    cell_type: ClassVar[type[Cell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        own = inspect.signature(self.cell_type).parameters.keys() & options.keys()
        cell = self.cell_type(**{name: options.pop(name) for name in own})
        shape = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(cell, *shape, device=device, dtype=dtype, **options)


class MinGRU(_Stack):
    """A stack of `unrolled.cells.MinGRUCell`: a GRU whose gate sees x alone.

        h_t = (1 − z) ⊙ h_{t-1} + z ⊙ n       z = σ(W_iz x_t + b_iz)       n = W_in x_t + b_in

    Source: Feng et al. 2024, arXiv 2410.01201.

    >>> import torch, unrolled
    >>> output, h_n = unrolled.MinGRU(3, 5, num_layers=2)(torch.zeros(7, 4, 3))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((7, 4, 5), (2, 4, 5))
    """

    cell_type = MinGRUCell


class MinLSTM(_Stack):
    """A stack of `unrolled.cells.MinLSTMCell`: forget and input gate see x alone, and add up to 1.

    Source: Feng et al. 2024, arXiv 2410.01201.
    """

    cell_type = MinLSTMCell


class SRU(_Stack):
    """A stack of `unrolled.cells.SRUCell`, with its highway; the state is (h, c), of which c alone is carried.

    Options beside `Recurrent`'s: `highway_bias`, `rescale`.

    Source: Lei et al. 2018, arXiv 1709.02755.
    """

    cell_type = SRUCell


class RGLRU(_Stack):
    """A stack of `unrolled.cells.RGLRUCell`, the real-gated linear recurrent unit.

    Source: De et al. 2024, arXiv 2402.19427.
    """

    cell_type = RGLRUCell


class LRU(_Stack):
    """A stack of `unrolled.cells.LRUCell`: complex eigenvalues; the state is (h, Re s, Im s). Linear in x.

    Source: Orvieto et al. 2023, arXiv 2303.06349.
    """

    cell_type = LRUCell


class IndRNN(_Stack):
    """A stack of `unrolled.cells.IndRNNCell`: each unit sees its own past alone.

    Options beside `Recurrent`'s: `nonlinearity`, "relu" (the default), "tanh" or "sigmoid".

    Source: Li et al. 2018, arXiv 1803.04831.
    """

    cell_type = IndRNNCell


class SLSTM(_Stack):
    """A stack of `unrolled.cells.SLSTMCell`: exponential gates; the state is (h, c, n, m).

    Options beside `Recurrent`'s: `num_heads`, `forget_gate_by`, "sigmoid" (the default) or "exp".

    Source: Beck et al. 2024, arXiv 2405.04517.
    """

    cell_type = SLSTMCell


class MogrifierLSTM(_Stack):
    """A stack of `unrolled.cells.MogrifierLSTMCell`: x_t and h_{t-1} scale each other before the LSTM sees them.

    Options beside `Recurrent`'s: `rounds`, `rank`, and those of `LSTM`. The state is (h, c).

    Source: Melis et al. 2020, arXiv 1909.01792.
    """

    cell_type = MogrifierLSTMCell


#: the layers by the names that options call them, which are their cells'
STACKS: dict[str, Callable[..., Recurrent]] = {
    "lstm": LSTM,
    "gru": GRU,
    "rnn": RNN,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "sru": SRU,
    "rglru": RGLRU,
    "lru": LRU,
    "indrnn": IndRNN,
    "slstm": SLSTM,
    "mogrifier": MogrifierLSTM,
}
#: what tells a layer's shape or place, and no option of its cell
_PLAIN = {"self", "cell", "input_size", "hidden_size", "device", "dtype"}


class LayerKind(NamedTuple):
    """A recurrent layer that an option may name.

    Attributes:
        layer: makes one, called as `layer(input_size, hidden_size, **options)`.
        options: the names of the options that it takes and its cell can do.
    """

    layer: Callable[..., Recurrent]
    options: frozenset[str]


def layer_kind(cell: str) -> LayerKind:
    """Return the layer of the cell that is called so, and the options it takes.

    >>> layer_kind("gru").layer(3, 5)
    GRU(GRUCell(layer_norm=False, reset_after=True), 3, 5)
    >>> [name for name in ("lstm", "gru", "slstm") if "forget_bias" in layer_kind(name).options]
    ['lstm', 'slstm']

    Raises:
        ArgumentError: for a name that no cell has.
    """
    if cell not in STACKS:
        raise ArgumentError(f"cell: expected one of {', '.join(STACKS)}, found {cell!r}")
    kind = CELLS[cell]
    own = inspect.signature(kind).parameters.keys()
    common = inspect.signature(Recurrent).parameters.keys() - _PLAIN
    return LayerKind(STACKS[cell], frozenset(own | common) - lacks(kind(), 1, 2).keys())
