"""RNN, LSTM and GRU: drop-in for torch.nn's, with what torch's lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.layers.recurrent.stack import Recurrent


class RNN(Recurrent):
    """`torch.nn.RNN`, and more: `nonlinearity` may also be "sigmoid"; the other options are `Recurrent`'s.

        h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    >>> import torch, unrolled
    >>> output, h_n = unrolled.RNN(3, 5, num_layers=2)(torch.zeros(7, 4, 3))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((7, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        layer_norm: bool = False,
        **options: Any,
    ) -> None:
        cell = RNNCell(nonlinearity=nonlinearity, layer_norm=layer_norm)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )
        self.nonlinearity = nonlinearity


class LSTM(Recurrent):
    """`torch.nn.LSTM`, and more: peepholes, a coupled input-forget gate, layer norm; other options are `Recurrent`'s.

    The state is (h, c), and the equations are those of `unrolled.cells.LSTMCell`.

    >>> import torch, unrolled
    >>> x, lengths = torch.zeros(4, 7, 3), torch.tensor([7, 2, 0, 5])
    >>> output, (h_n, c_n) = unrolled.LSTM(3, 5, batch_first=True, bidirectional=True)(x, lengths=lengths)
    >>> tuple(output.shape), tuple(h_n.shape), output[1, 2:].abs().sum().item()
    ((4, 7, 10), (2, 4, 5), 0.0)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
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
        **options: Any,
    ) -> None:
        cell = LSTMCell(peephole=peephole, coupled=coupled, proj_size=proj_size, layer_norm=layer_norm)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )
        self.proj_size = proj_size


class GRU(Recurrent):
    """`torch.nn.GRU`, and more: `reset_after=False` is Cho et al.'s own form; other options are `Recurrent`'s.

    The equations are those of `unrolled.cells.GRUCell`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset_after: bool = True,
        layer_norm: bool = False,
        **options: Any,
    ) -> None:
        cell = GRUCell(reset_after=reset_after, layer_norm=layer_norm)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )


#: the layers by the names that options call them
STACKS: dict[str, Callable[..., Recurrent]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
