"""The door: who may ask, how much, how fast; and what every response carries.

A pure ASGI middleware. A request's body is taken in here, bounded in size and time, before anything else happens; while
the answer is made, the client is listened to, and when it leaves, the work is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from unrolled.serving.budget import Budget
from unrolled.serving.limits import Limits
from unrolled.serving.logs import happened, shown
from unrolled.serving.metrics import Metrics
from unrolled.serving.problems import MEDIA_TYPE, Problem, problem_of

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: the page, and whether the server is alive: what may be asked without a token
OPEN = ("/", "/static/", "/healthz", "/readyz", "/favicon.ico")
BEARER = "unrolled.bearer."
#: seconds in which what is left of a refused body is read and forgotten, so that its sender comes to hear why
LINGER = 1.0

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
        log_inputs: whether what people send is logged.
    """

    def __init__(
        self,
        app: Any,
        *,
        limits: Limits,
        metrics: Metrics,
        hosts: frozenset[str],
        token: str | None = None,
        log_inputs: bool = False,
    ) -> None:
        self.app, self.limits, self.metrics, self.hosts, self.token = app, limits, metrics, hosts, token
        self.log_inputs = log_inputs
        self.budget = Budget(limits.pending_bytes)

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
            happened("socket", id=_id(scope), status=problem.status, detail=problem.detail)
            if "websocket.http.response" in scope.get("extensions", {}):
                await _send_problem(send, problem, _id(scope), kind="websocket.http.response")
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]})
            return
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        status = 0
        started = whole = heard = False
        held = Held(self.budget)

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message = {**message, "headers": [*_with(message.get("headers", []), _id(scope))]}
            await send(message)

        async def receiving() -> Message:
            nonlocal heard
            heard = True
            return await receive()

        try:
            self._admit(scope)
            body = await self._body(scope, receiving, held)
            whole = True
            if self.log_inputs and body:
                kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
                happened("input", id=_id(scope), input=shown(body, kind.decode("latin-1")))
            await self._answer(scope, receive, sending, body)
        except Exception as error:
            if started:
                raise
            try:
                problem = problem_of(error)
            except Exception:
                log.exception("request %s failed: %s %s", _id(scope), scope["method"], _route(scope))
                problem = Problem(500, "a defect of ours; the server's log says more under this id")
            if not whole:
                await self._forget(scope, receive, heard)
            await _send_problem(sending, problem, _id(scope), closes=not whole)
        finally:
            held.give()
            took = time.perf_counter() - begun
            # 499: the client has left before there was an answer
            method, route, found = scope["method"], _route(scope), status or 499
            self.metrics.request(method, route, found, took)
            happened("request", id=_id(scope), method=method, route=route, status=found, ms=round(1e3 * took, 1))

    def _admit(self, scope: Scope) -> None:
        """See who asks.

        Raises:
            Problem: 400, 401 or 403.
        """
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            origin = headers.get(b"origin")
            foreign = origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower()
        except ValueError:
            raise Problem(400, "Host or Origin: no address") from None
        if self.hosts and name not in self.hosts:
            raise Problem(403, f"Host: this server does not go by {name or 'no name'!r}; see --allow-host")
        if foreign:
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
            said = "that is not this server's token" if found else "a token is needed"
            raise Problem(401, f"{said}: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    async def _body(self, scope: Scope, receive: Receive, held: Held) -> bytes:
        """The whole body.

        Raises:
            Problem: 408, 413, 415 or 429.
        """
        headers = dict(scope["headers"])
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            raise Problem(
                415, f"Content-Encoding: {encoding.decode('latin-1')[:40]!r} is not read; send the body as it is"
            )
        most = self.limits.max_body
        length = headers.get(b"content-length", b"0")
        # a number of many digits takes long to read, and is too large anyway
        if length.isdigit() and (len(length) > 15 or int(length) > most):
            raise Problem(413, f"the body has more than {most:,} bytes, which are all that is read")
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
            part = message.get("body", b"")
            size += len(part)
            held.take(len(part))
            parts.append(part)
            if size > most:
                raise Problem(413, f"the body has more than {most:,} bytes, which are all that is read")
            if not message.get("more_body"):
                return b"".join(parts)

    async def _forget(self, scope: Scope, receive: Receive, heard: bool) -> None:
        """Read on for a moment, and keep nothing: who is still sending when we close does not hear the answer.

        Args:
            heard: whether its reading has begun.
        """
        headers = dict(scope["headers"])
        # whoever waits to be told to send has sent nothing; the first reading tells them to
        sends = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        if not sends or (b"expect" in headers and not heard):
            return

        async def reading() -> None:
            message = await receive()
            while message["type"] == "http.request" and message.get("more_body"):
                message = await receive()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reading(), LINGER)

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


class Held:
    """The bytes that one request holds of a budget.

    Args:
        budget: of all.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget, self._count = budget, 0

    def take(self, count: int) -> None:
        """Hold more.

        Raises:
            Busy: there is no room.
        """
        self._budget.take(count)
        self._count += count

    def give(self) -> None:
        """Hold nothing more."""
        self._budget.give(self._count)
        self._count = 0


def _id(scope: Scope) -> str:
    found: str = scope["state"]["request_id"]
    return found


def _route(scope: Scope) -> str:
    """The pattern of the route, so that metrics and log do not grow with addresses, and hold none."""
    if "endpoint" not in scope:
        return "unknown"
    if scope["path"].startswith("/static/"):
        return "/static"
    parts = scope["path"].split("/")
    for name, value in scope.get("path_params", {}).items():
        for place in range(len(parts) - 1, 0, -1):
            if parts[place] == value:
                parts[place] = f"{{{name}}}"
                break
    return "/".join(parts)


def _with(headers: Any, name: str) -> list[tuple[bytes, bytes]]:
    present = {key.lower() for key, _ in headers}
    return [*headers, *((k, v) for k, v in _ALWAYS if k not in present), (b"x-request-id", name.encode())]


async def _send_problem(
    send: Send, problem: Problem, instance: str, *, closes: bool = False, kind: str = "http.response"
) -> None:
    body = json.dumps(problem.as_json(instance)).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in problem.headers.items()]
    if closes:
        headers.append((b"connection", b"close"))
    if kind != "http.response":
        headers = _with(headers, instance)
    await send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
