"""The part of a recurrent stack that its engine caches: the parameters, and what the engine prepared from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.errors import ArgumentError
from unrolled.kernels import ParameterTable, Prepared, Stack, forget, is_traced, may_use_prepared, prepare
from unrolled.layers.recurrent.scripting import torchs_own

#: the parameters of each layer and direction by the cell's own names
Blocks = list[dict[str, Tensor]]


class CachedEngine(nn.Module):
    """A layer that asks its engine once to prepare it for short calls (see `unrolled.kernels.prepared`).

    What was prepared follows the parameters by itself. It is dropped, and asked for again at the next call, when an
    attribute of the layer changes or the layer is cast or moved.
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
    _weights_dtype: torch.dtype | None = None
    _prepared: Prepared | None = None
    _is_asked: bool = False

    def __setattr__(self, name: str, value: Tensor | nn.Module) -> None:
        self._drop_prepared()
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._drop_prepared()
        super().__delattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        # a copy has parameters of its own
        return self.__dict__ | {"_parameters": dict(self._parameters), "_prepared": None, "_is_asked": False}

    def __prepare_scriptable__(self) -> nn.Module:
        # torch.jit.script puts it in the place of this one, in the caller's module too
        return torchs_own(self, self.cell, dict(self.parameter_blocks()[0]))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        self._drop_prepared()
        moved: nn.Module = nn.Module._apply(self, fn, recurse)
        return moved

    @property
    def weights_dtype(self) -> torch.dtype | None:
        """The dtype to which weight_ih and weight_hh are rounded where no gradient is made; None (the default) is none.

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
        """Return the parameters by the cell's own names, one dictionary a layer and direction: l0, l0_reverse, l1, …"""
        # by attribute, so that torch.func.functional_call and parametrizations can put other tensors in their place
        return [{name: getattr(self, full) for name, full in names.items()} for names in self._names]

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as torch.nn has them."""
        return [list(block.values()) for block in self.parameter_blocks()]

    def flatten_parameters(self) -> None:
        """Do nothing: for code written for torch.nn, whose parameters must be flattened."""

    def _used_blocks(self) -> Blocks:
        """The parameters, rounded to `weights_dtype` where no gradient is made."""
        blocks: Blocks = [dict(block) for block in self.parameter_blocks()]
        if self._weights_dtype is not None and not torch.is_grad_enabled():
            for block in blocks:
                for name in block.keys() & {"weight_ih", "weight_hh"}:
                    # a vector is read fast enough, and an IndRNN's is its memory
                    if block[name].dim() > 1:
                        block[name] = block[name].to(self._weights_dtype).to(block[name].dtype)
        return blocks

    def prepared(self) -> Prepared | None:
        """Return what the engine prepared, asked for at the first call after a change; None if it has no such path."""
        if self._prepared is None and not self._is_asked and may_use_prepared(None) and not is_traced():
            if not isinstance(self._parameters, ParameterTable):
                self.__dict__["_parameters"] = ParameterTable(self._parameters)
            prepared = prepare(self._stack(), self._engine) if self._is_plain() else None
            # functional_call puts other tensors in the place of parameters for one call: their answer does not last
            lasts = all(isinstance(p, (nn.Parameter, type(None))) for p in self._parameters.values())
            self.__dict__.update(_prepared=prepared, _is_asked=prepared is not None or lasts)
        return self._prepared

    def forget_prepared(self) -> None:
        """Read the parameters anew before they are next used, after a write that can't be noticed."""
        self._drop_prepared()
        for block in self.parameter_blocks():
            forget(block)

    def _drop_prepared(self) -> None:
        prepared = self._prepared
        if prepared is not None:
            prepared.close()
        self.__dict__.update(_prepared=None, _is_asked=False)

    def _stack(self) -> Stack:
        return Stack(
            self.cell,
            self._parameters,
            self._names,
            self.num_directions,
            batch_first=self.batch_first,
            residual=self.residual,
            zero_start=not self.learn_initial_state,
            weights_dtype=self._weights_dtype,
        )

    def _is_plain(self) -> bool:
        """Whether the layer is its kernels and nothing else: no truncation, nothing random, parameters of its own."""
        is_random = self.training and (self.dropout or self.recurrent_dropout or self.weight_dropout)
        # a subclass may compute its parameters
        owns_parameters = type(self).parameter_blocks is CachedEngine.parameter_blocks
        return owns_parameters and self.truncate is None and not any(self.zoneout) and not is_random
