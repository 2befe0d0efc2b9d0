"""A network as a C99 source and its header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.c.network import add_network
from unrolled.export.c.plan import Plan, table
from unrolled.export.c.text import Typing, add_text
from unrolled.layers import fingerprint as fingerprint_of
from unrolled.storage import write_whole

SOURCES = Path(__file__).parent / "sources"
#: the file of weights begins with 8 letters, the number 1.0 and the fingerprint; filled up with zeros
HEADER = 64
_INCLUDES = "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n"


def to_c(
    network: nn.Module,
    path: str | Path,
    *,
    weights_beside: bool = False,
    typing: Typing | None = None,
    labels: Sequence[str] = (),
    fingerprint: str | None = None,
) -> tuple[Path, ...]:
    """Write a causal network as a C99 source and its header, which need nothing but libc and libm.

    They declare MODEL_init, MODEL_step, MODEL_state_size, MODEL_save, MODEL_load and MODEL_softmax, where MODEL is the
    file's name with `_` for what can't be in a name of C. Nothing is allocated: a stream is a struct of the caller's.

    Args:
        network: a `SyncedNetwork` or `ManyToOneNetwork` of one direction, of rnn, gru or lstm cells.
        path: the source, NAME.c; the header is NAME.h beside it.
        weights_beside: write the weights into NAME.bin instead, for MODEL_attach.
        typing: of a language model, how it reads and completes text: MODEL_push, MODEL_complete.
        labels: names of the classes: MODEL_label.
        fingerprint: SHA-256, hex, that binds saved states to the model; of the network where there is none.

    Returns:
        The files.

    Raises:
        ArgumentError: for a network, or a part of one, that has no such form, naming it.
        StorageError: a file can't be written.
    """
    path = Path(path)
    path = path if path.suffix == ".c" else path.with_name(path.name + ".c")
    plan = Plan()
    with torch.no_grad():
        add_network(plan, network)
    plan.publish(PENDING=0, WEIGHTS_BESIDE=weights_beside)
    if typing is not None:
        add_text(plan, typing)
    if labels:
        plan.headers.append("labels.h")
        plan.sources.append("labels.c")
        plan.define(LABELS=table(map(_string, labels)))
    plan.publish(CARRIED=plan.carried)
    print_of = bytes.fromhex(fingerprint_of(network) if fingerprint is None else fingerprint)
    plan.define(FINGERPRINT=table(f"0x{byte:02x}" for byte in print_of))
    name, header = identifier(path.stem), path.with_suffix(".h")
    paths = [path, header]
    if weights_beside:
        paths.append(path.with_suffix(".bin"))
        begin = b"UNROLLED" + np.ones(1, "<f4").tobytes() + print_of
        write_whole(paths[-1], begin.ljust(HEADER, b"\0") + plan.weights().astype("<f4").tobytes())
    write_whole(header, _named(_header(plan), name).encode())
    write_whole(path, "".join(_source(plan, name, header.name, weights_beside)).encode())
    return tuple(paths)


def identifier(stem: str) -> str:
    """Return the name of C that a file's name becomes.

    >>> identifier("my-model.2"), identifier("3gru")
    ('my_model_2', 'model_3gru')
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    if not name.strip("_"):
        raise ArgumentError(f"--out: {stem!r} has no letter or digit that a name of C could be made of")
    return name if name[0].isalpha() else f"model_{name.lstrip('_')}"


def _named(text: str, name: str) -> str:
    """Return C with a model's own name for MODEL, in capitals where the name is one of a constant."""
    text = re.sub(r"\bMODEL_(?=[A-Z])", f"{name.upper()}_", text)
    return re.sub(r"\bMODEL_(?=[a-z])", f"{name}_", text)


def _header(plan: Plan) -> str:
    constants = "".join(f"#define MODEL_{name} {value}\n" for name, value in plan.public.items())
    parts = "".join((SOURCES / part).read_text("utf-8") for part in plan.headers)
    return (
        f"/* A recurrent network, written by `unrolled export`. */\n#ifndef MODEL_H\n#define MODEL_H\n\n"
        f'#include <stddef.h>\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern "C" {{\n#endif\n\n'
        f"{constants}\n{parts}\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )


def _source(plan: Plan, name: str, header: str, weights_beside: bool) -> Iterator[str]:
    yield f"/* A recurrent network, written by `unrolled export`: C99, with nothing but libc and libm. */\n{_INCLUDES}"
    yield f'#include "{header}"\n\n'
    plan.define(WEIGHTS=plan.count, WEIGHTS_HEADER=HEADER)
    yield _named("".join(f"#define {key} {value}\n" for key, value in plan.constants.items()), name)
    if weights_beside:
        yield "\n/* where MODEL_attach found them */\nstatic const float *weights;\n".replace("MODEL", name)
    else:
        yield "\nstatic const float weights[WEIGHTS] = {\n"
        yield from _numbers(plan.weights())
        yield "};\n"
    for part in plan.sources:
        yield "\n" + _named((SOURCES / part).read_text("utf-8"), name)


def _numbers(numbers: NDArray[np.float32]) -> Iterator[str]:
    for first in range(0, len(numbers), 8):
        yield "    " + " ".join(f"{number:.8e}f," for number in numbers[first : first + 8].tolist()) + "\n"


def _string(text: str) -> str:
    """Return a string of C, every byte that is not plain as three octal digits."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode("utf-8")) + '"'
