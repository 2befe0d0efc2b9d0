"""Trained models at work: an HTTP API, streams over WebSockets, and a page where all of it can be tried.

`create_app` makes an ASGI application of loaded models, `serve` runs it. A request walks through `guard` (who asks, how
much, how fast), a route (`routes/`), and a `lane`: one thread for each model, where what waits is computed together.
Nothing here knows a task by name: each task's wire (`unrolled.tasks.core.api`) says what goes in and what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.serving.app import create_app
    from unrolled.serving.client import Client
    from unrolled.serving.http.run import serve
    from unrolled.serving.limits import Limits

__all__ = ["Client", "Limits", "create_app", "serve"]

_HOMES = {"create_app": "app", "Client": "client", "Limits": "limits", "serve": "http.run"}


def __getattr__(name: str) -> Any:
    # the client needs neither the server nor its libraries
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"unrolled.serving.{_HOMES[name]}"), name)
