"""Trained models at work: an HTTP API, streams over WebSockets, and a page to try them on.

`create_app` makes an ASGI application of loaded models, `serve` runs it. A request passes the `middleware` (access,
size, time), a route (`routes/`), and a batching worker: a thread of the model, where requests that wait are computed
together. Nothing here knows a task by name: its API schema says what goes in and what comes out (see `models`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.serving.app import create_app
    from unrolled.serving.client import Client
    from unrolled.serving.http.run import serve
    from unrolled.serving.limits import Limits

__all__ = ["Client", "Limits", "create_app", "serve"]

_HOMES = {"create_app": "app", "Client": "client", "Limits": "limits", "serve": "http.run"}


def __getattr__(name: str) -> object:
    # the client needs neither the server nor its libraries
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"unrolled.serving.{_HOMES[name]}"), name)
