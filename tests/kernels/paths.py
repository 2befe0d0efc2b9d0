"""The two paths of a call, held apart: the one that an engine prepared, and the dispatcher's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

STACK = "unrolled.layers.recurrent.stack"
PASSES = "unrolled.layers.recurrent.passes"
STREAMS = "unrolled.layers.recurrent.streams"


@contextmanager
def by_dispatcher() -> Iterator[None]:
    """Send every call of a layer or stream to the dispatcher."""
    refuse = {"return_value": False}
    with patch(f"{STACK}.may_use_prepared", **refuse), patch(f"{STREAMS}.may_use_prepared", **refuse):
        yield


@contextmanager
def counted() -> Iterator[list[str]]:
    """Count the layers, "run", and single steps, "step", that the dispatcher serves."""
    from unrolled.layers.recurrent import passes, stack

    served: list[str] = []
    run, step = passes.run, stack.step
    with (
        patch(f"{PASSES}.run", lambda *args: served.append("run") or run(*args)),
        patch(f"{STACK}.step", lambda *args: served.append("step") or step(*args)),
    ):
        yield served
