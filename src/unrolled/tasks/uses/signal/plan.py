"""Which network answers to how many steps of a signal, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.plan import plan_recurrent
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.values.baseline import taps_of
from unrolled.tasks.outputs.values.encode import ValuesOutput
from unrolled.tasks.uses.signal.encode import SignalInput
from unrolled.tasks.uses.signal.options import SignalUseOptions

#: signals of more steps a second than this are sound, whose pieces are longer
FAST = 1000.0
#: pieces of sound, and of anything else
WINDOW_OF_SOUND, WINDOW = 512, 256


def plan_signal(
    material: Material[SignalInput, ValuesOutput], options: SignalUseOptions, training: Mapping[str, Any]
) -> Plan:
    """Choose a network and a schedule by how many steps there are, and how many a second."""
    source, lengths = material.parts.input, material.train.sizes("x")
    is_sound = source.rate is not None and source.rate >= FAST
    window = options.window or min(WINDOW_OF_SOUND if is_sound else WINDOW, int(lengths.max()))
    warmup = min(window // 8, 200) if options.warmup is None else options.warmup
    output = material.parts.output
    hidden = options.hidden_size or max(32 if options.stride == 1 else 64, 2 * options.stride * output.width)
    network = {
        "hidden_size": hidden,
        "dropout": 0.0 if is_sound else 0.1,
        "stride": options.stride,
        # as far back as the linear filter sees, from which the network begins
        "left": taps_of(source.width, source.delay) - 1 if options.left is None else options.left,
        "input_size": hidden * (2 if options.bidirectional else 1),
        "loss": options.loss,
        "preemphasis": options.preemphasis,
        "warmup": min(warmup, window // 2),
    }
    return plan_recurrent(
        source,
        output,
        material.train,
        options.model_copy(update={"window": max(2, window)}),
        training,
        network=network,
        batch_sizes=(32, 32, 32),
        updates=3000,
        lr=4e-3,
        min_lr_ratio=0.02,
        monitor="loss",
    )
