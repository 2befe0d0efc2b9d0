"""Networks as plans of C: input layer, recurrent stack, pooling, output layer.

Letters: I input of the stack, H hidden, P width of h, G gates, W width of what is pooled, K output classes.
"""

from __future__ import annotations

from torch import nn

from unrolled.export.c.forecasts import add_forecaster
from unrolled.export.c.inputs import add_input, add_votes
from unrolled.export.c.parts import add_output, add_stack, lacking
from unrolled.export.c.plan import NONE, Plan, struct, table
from unrolled.layers import (
    AttentionPooling,
    JoinedPooling,
    LastState,
    MaxPooling,
    MeanPooling,
    Pooling,
)
from unrolled.layers.inputs.texts import WordVotes
from unrolled.networks import (
    AutoregressiveForecaster,
    DirectForecaster,
    ManyToManyNetwork,
    ManyToOneNetwork,
    OneToManyNetwork,
    SyncedNetwork,
    TaggingNetwork,
)


def add_network(plan: Plan, network: nn.Module) -> None:
    """Add a whole network.

    Raises:
        ArgumentError: naming what a C export lacks for it, and what to use instead.
    """
    if isinstance(network, (ManyToManyNetwork, OneToManyNetwork)):
        raise lacking("attention and the decoder that looks back through it")
    if isinstance(network, (DirectForecaster, AutoregressiveForecaster)):
        add_forecaster(plan, network)
        return
    if not isinstance(network, (SyncedNetwork, ManyToOneNetwork)):
        raise lacking(f"a {type(network).__name__}, which does not read a stream step by step")
    if isinstance(network, TaggingNetwork) and network.chained:
        raise lacking("a CRF, which finds the labels of a sentence once it is whole")
    add_stack(plan, network.hidden)
    width = network.hidden.output_size
    if isinstance(network, ManyToOneNetwork):
        _add_pooling(plan, network.pooling)
        width = network.pooling.output_size
        plan.sources.append("pooling.c")
    plan.define(POOLED=isinstance(network, ManyToOneNetwork), VECTOR=width)
    add_output(plan, network.output, width)
    plan.headers.append("softmax.h")
    plan.sources += ["softmax.c", "step.c", "state.c"]
    add_input(plan, network.inputs)
    beside = network.beside if isinstance(network, ManyToOneNetwork) else None
    if isinstance(beside, WordVotes):
        add_votes(plan, beside)
    elif beside is not None:
        raise lacking(f"a {type(beside).__name__} beside the network")


def _add_pooling(plan: Plan, pooling: Pooling) -> None:
    parts = [p for p in pooling.parts if isinstance(p, Pooling)] if isinstance(pooling, JoinedPooling) else [pooling]
    entries, compared = [], 1
    for part in parts:
        if isinstance(part, AttentionPooling):
            compared = max(compared, part.key.out_features)
            entries.append(
                struct(
                    kind="ATTENTION",
                    state=plan.carry(2 + part.size),
                    key=plan.weight(part.key.weight),
                    key_bias=plan.weight(part.key.bias),
                    score=plan.weight(part.score.weight),
                    compared=part.key.out_features,
                )
            )
        elif isinstance(part, (LastState, MeanPooling, MaxPooling)):
            kind = {LastState: "LAST", MeanPooling: "MEAN", MaxPooling: "MAX"}[type(part)]
            state = 0 if kind == "LAST" else plan.carry(part.size)
            entries.append(struct(kind=kind, state=state, key=NONE, key_bias=NONE, score=NONE, compared=0))
        else:
            raise lacking(f"a {type(part).__name__}")
    plan.define(POOLINGS=table(entries), COMPARED=compared)
