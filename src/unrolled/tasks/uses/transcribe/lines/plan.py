"""Which network reads how many lines of text.

One recurrent network over the columns of lines of one height reads print with hardly an error (Breuel et al. 2013,
doi:10.1109/ICDAR.2013.140, with 100 units in each direction).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.outputs.text.ctc.encode import CTCOutput
from unrolled.tasks.outputs.text.ctc.plan import flat_start
from unrolled.tasks.uses.transcribe.lines.options import LineNetwork, LineOptions

#: updates after which a network reads as well as it will, about
UPDATES = 4000


def plan_lines(
    material: Material[ImageInput, CTCOutput],
    options: LineOptions,
    training: Mapping[str, Any],
    measure: Callable[[Plan], float],
) -> Plan:
    """Return a network and a schedule by how many lines there are; `measure` returns the updates a second."""
    lines, spelling = len(material.train), material.parts.output.spelling
    batch_size = options.batch_size or (8 if lines < 1000 else 16)
    epochs = min(300, max(10, round(UPDATES * batch_size / lines)))
    network = LineNetwork(
        reading=options.reading,
        classes=len(spelling.vocabulary),
        cell=options.cell,
        hidden_size=options.hidden_size or (128 if options.bidirectional else 192),
        num_layers=options.num_layers or 2,
        bidirectional=options.bidirectional,
        dropout=0.2 if options.dropout is None else options.dropout,
        recurrent_dropout=options.recurrent_dropout,
    )
    chosen = plan_epochs(
        lines, batch_size, training, epochs=epochs, patience=max(20, epochs // 3), lr=3e-3, monitor="cer",
        averaging="ema", ema_decay=0.99,
    )  # fmt: skip
    batching = {"batch_size": batch_size}
    plain = Plan(network.model_dump(), chosen, batching, [])
    start = flat_start(options.flat_start, lines, batch_size, chosen, lambda: measure(plain))
    reasons = [
        f"{network.num_layers} layers of {network.hidden_size} units for {lines:,} lines",
        f"{len(spelling.vocabulary) - 1} {spelling.units}, {material.parts.input.format.height} pixels high",
    ]
    return Plan(plain.network, chosen, {**batching, "flat_start": start}, reasons)
