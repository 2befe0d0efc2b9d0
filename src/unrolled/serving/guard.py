"""The door: who may ask, how much, how fast; and what every response carries.

A pure ASGI middleware. A request's body is taken in here, bounded in size and time, before anything else happens; while
the answer is made, the client is listened to, and when it leaves, the work is given up.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Metrics
from unrolled.serving.problems import MEDIA_TYPE, Problem, problem_of

log = logging.getLogger("unrolled.serving.access")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: the page, and whether the server is alive: what may be asked without a token
OPEN = ("/", "/static/", "/healthz", "/readyz", "/favicon.ico")
BEARER = "unrolled.bearer."

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", PAGE_POLICY.encode()),
)


class Guard:
    """The door of an application.

    Args:
        app: what is behind it.
        limits: of the server.
        metrics: told of every request.
        hosts: the names that it goes by, without ports; empty for any.
        token: what requests must carry; None asks for nothing.
    """

    def __init__(
        self, app: Any, *, limits: Limits, metrics: Metrics, hosts: frozenset[str], token: str | None = None
    ) -> None:
        self.app, self.limits, self.metrics, self.hosts, self.token = app, limits, metrics, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope)
        except Problem as problem:
            # to close before accepting is answered with 403
            log.info("%s websocket %s refused: %s", _id(scope), scope["path"], problem.detail)
            await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]})
            return
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        status = 0
        started = False

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message = {**message, "headers": [*_with(message.get("headers", []), _id(scope))]}
            await send(message)

        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            await self._answer(scope, receive, sending, body)
        except Exception as error:
            if started:
                raise
            try:
                problem = problem_of(error)
            except Exception:
                log.exception("%s %s %s failed", _id(scope), scope["method"], _route(scope))
                problem = Problem(500, "a defect of ours; the server's log says more under this id")
            await _send_problem(sending, problem, _id(scope))
        finally:
            took = time.perf_counter() - begun
            # 499: the client has left before there was an answer
            self.metrics.request(scope["method"], _route(scope), status or 499, took)
            log.info("%s %s %s %d %.1f ms", _id(scope), scope["method"], _route(scope), status or 499, 1e3 * took)

    def _admit(self, scope: Scope) -> None:
        """See who asks.

        Raises:
            Problem: 400, 401 or 403.
        """
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if self.hosts and name not in self.hosts:
            raise Problem(403, f"Host: this server does not go by {name or 'no name'!r}; see --allow-host")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower():
            raise Problem(403, "Origin: pages of other origins may not ask")
        if self.token is None or any(
            scope["path"] == path or (path != "/" and path.endswith("/") and scope["path"].startswith(path))
            for path in OPEN
        ):
            return
        if scope["type"] == "websocket":
            offered = [p for p in scope.get("subprotocols", []) if p.startswith(BEARER)]
            found = offered[0][len(BEARER) :] if offered else ""
        else:
            scheme, _, found = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            found = found if scheme.lower() == "bearer" else ""
        if not hmac.compare_digest(found.encode(), self.token.encode()):
            raise Problem(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            Problem: 408, 413 or 415.
        """
        headers = dict(scope["headers"])
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            raise Problem(
                415, f"Content-Encoding: {encoding.decode('latin-1')[:40]!r} is not read; send the body as it is"
            )
        most = self.limits.max_body
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise Problem(413, f"the body has {int(length):,} bytes, and at most {most:,} are read")
        parts: list[bytes] = []
        size = 0
        deadline = time.monotonic() + self.limits.body_timeout
        while True:
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise Problem(408, f"the body did not come within {self.limits.body_timeout:g} s") from None
            if message["type"] == "http.disconnect":
                raise Problem(400, "the client left before its request was whole")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise Problem(413, f"the body has more than {most:,} bytes, which are all that is read")
            if not message.get("more_body"):
                return b"".join(parts)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Run the application; give it up when the client leaves."""
        left = asyncio.Event()
        given = False

        async def receiving() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

        answering = asyncio.ensure_future(self.app(scope, receiving, send))
        listening = asyncio.ensure_future(listen())
        try:
            await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                # what streams its answer ends by itself when it is told; all else is cancelled
                answering.cancel()
            await answering
        except asyncio.CancelledError:
            answering.cancel()
            if not left.is_set():
                raise
        finally:
            listening.cancel()


def _id(scope: Scope) -> str:
    found: str = scope["state"]["request_id"]
    return found


def _route(scope: Scope) -> str:
    """The pattern of the route, so that metrics and log do not grow with addresses."""
    route = scope.get("route")
    return str(getattr(route, "path", "unknown"))


def _with(headers: Any, name: str) -> list[tuple[bytes, bytes]]:
    present = {key.lower() for key, _ in headers}
    return [*headers, *((k, v) for k, v in _ALWAYS if k not in present), (b"x-request-id", name.encode())]


async def _send_problem(send: Send, problem: Problem, instance: str) -> None:
    body = json.dumps(problem.as_json(instance), ensure_ascii=False).encode("utf-8", "replace")
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in problem.headers.items()]
    if problem.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
