"""What a recurrent layer keeps ready for calls that are too short to be checked at leisure."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.errors import ArgumentError
from unrolled.kernels.packed import forget
from unrolled.kernels.prepared import prepare
from unrolled.kernels.training import ReadyStack, make_ready


class Readied(nn.Module):
    """A layer whose packed weights are kept with it, and the precision in which they are.

    `_ready` is what `prepare` made of the layer as it was, or None; `_trainer` is what `make_ready` made of it for
    training, False where that can't be. Any change of an attribute drops both.
    """

    cell: Cell
    num_directions: int
    batch_first: bool
    residual: bool
    learn_initial_state: bool
    truncate: int | None
    zoneout: tuple[float, ...]
    dropout: float
    recurrent_dropout: float
    weight_dropout: float
    _engine: str
    _names: list[dict[str, str]]
    _ready: Any = None
    _trainer: ReadyStack | Literal[False] | None = None
    _weights_dtype: torch.dtype | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_ready"] = self.__dict__["_trainer"] = None
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # a copy has parameters of its own
        return self.__dict__ | {"_ready": None, "_trainer": None}

    @property
    def weights_dtype(self) -> torch.dtype | None:
        """The dtype that weight_ih and weight_hh are rounded to where no gradient is made; None (the default) is none.

        `layer.weights_dtype = torch.bfloat16` halves what inference and steps read, which is what a step of a wide
        layer waits for. Activations, states, biases, peepholes and projection stay as they are, and so do the
        parameters: training, and whatever runs with gradients enabled, uses them in full. The rounding moves each
        weight by at most one part in 256; the results are those of the rounded weights, in full precision.
        """
        return self._weights_dtype

    @weights_dtype.setter
    def weights_dtype(self, dtype: torch.dtype | None) -> None:
        if dtype not in (None, torch.bfloat16):
            raise ArgumentError(f"weights_dtype: expected None or torch.bfloat16, found {dtype!r}")
        self._weights_dtype = dtype

    def parameter_blocks(self) -> list[dict[str, nn.Parameter]]:
        """The parameters by the cell's own names, one dictionary a layer and direction: l0, l0_reverse, l1, …"""
        # by attribute, so that torch.func.functional_call and parametrizations can put other tensors in their place
        return [{name: getattr(self, full) for name, full in names.items()} for names in self._names]

    def _used_blocks(self) -> list[dict[str, Tensor]]:
        """The parameters, rounded to `weights_dtype` where no gradient is made."""
        blocks: list[dict[str, Tensor]] = [dict(block) for block in self.parameter_blocks()]
        if self._weights_dtype is not None and not torch.is_grad_enabled():
            for block in blocks:
                for name in block.keys() & {"weight_ih", "weight_hh"}:
                    # a vector is read fast enough, and an IndRNN's is its memory
                    if block[name].dim() > 1:
                        block[name] = block[name].to(self._weights_dtype).to(block[name].dtype)
        return blocks

    def forget_prepared(self) -> None:
        """Pack the weights anew before they are next used."""
        self.__dict__["_ready"] = self.__dict__["_trainer"] = None
        for block in self.parameter_blocks():
            forget(block)

    def _prepare(self) -> None:
        """Make ready for calls that are too short to be checked at leisure, if the native engine serves this layer."""
        ready = self._ready
        if ready is not None and ready.is_current():
            return
        self.__dict__["_ready"] = None
        if self._is_plain():
            self.__dict__["_ready"] = prepare(
                self.cell,
                self._parameters,
                self._names,
                self.num_directions,
                batch_first=self.batch_first,
                residual=self.residual,
                starts_at_zero=not self.learn_initial_state,
                narrow=self._weights_dtype is not None,
                engine=self._engine,
            )

    def _prepare_training(self) -> None:
        """Likewise for training."""
        trainer = None
        if self._is_plain() and not self.residual:
            trainer = make_ready(
                self.cell,
                self._parameters,
                self._names,
                self.num_directions,
                batch_first=self.batch_first,
                starts_at_zero=not self.learn_initial_state,
                engine=self._engine,
            )
        self.__dict__["_trainer"] = trainer or False

    def _is_plain(self) -> bool:
        """Whether the layer is its kernels and nothing else: no truncation, nothing random, parameters of its own."""
        is_random = self.training and (self.dropout or self.recurrent_dropout or self.weight_dropout)
        # a subclass may make its parameters of others
        own = type(self).parameter_blocks is Readied.parameter_blocks
        return own and self.truncate is None and not any(self.zoneout) and not is_random
