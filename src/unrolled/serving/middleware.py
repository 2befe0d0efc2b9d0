"""The middleware of all requests: access, size and time of bodies, errors, headers, metrics and the log.

A pure ASGI middleware. The body of a request is read here, bounded in size and time, before anything else happens;
while the answer is made, the client is listened to, and when it leaves, the work is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unrolled.serving.limits import Limits
from unrolled.serving.logs import log_event, loggable
from unrolled.serving.problems import MEDIA_TYPE, Problem, problem_of, stopping
from unrolled.serving.resources import Hold
from unrolled.serving.security import HEADERS
from unrolled.serving.state import ServerState

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
#: seconds in which the rest of a refused body is read and dropped, so that its sender comes to read the answer
LINGER = 1.0
#: the status that log and metrics give a request whose client left before the answer
CLIENT_LEFT = 499


class Middleware:
    """Answers requests by an application.

    Args:
        app: the routes.
        state: of the process.
    """

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket."""
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Check that a request may be answered now.

        Raises:
            Problem: 400, 401 or 403, as `Access.authorise`; 503, the models are being loaded.
        """
        self.state.access.authorise(scope)
        if not self.state.ready and scope["path"].startswith(("/v1/models", "/openapi.json")):
            raise Problem(503, "the models are being loaded", {"Retry-After": "1"})

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope)
        except Problem as problem:
            log_event("socket", id=_id(scope), status=problem.status, detail=problem.detail)
            if "websocket.http.response" in scope.get("extensions", {}):
                await send_problem(send, problem, _id(scope), kind="websocket.http.response")
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]})
            return
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn cancels what outlasts the grace period, and would log a traceback of it
            if not self.state.closing.is_set():
                raise

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        response = _Response(scope, send, self.state)
        body = _Body(scope, receive, self.state.limits)
        try:
            with Hold(self.state.budget) as hold:
                self._admit(scope)
                data = await body.read(hold)
                if self.state.options.log_inputs and data:
                    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
                    log_event("input", id=_id(scope), input=loggable(data, kind.decode("latin-1")))
                await self._answer(scope, receive, response, data)
        except asyncio.CancelledError:
            # as for WebSockets
            if not self.state.closing.is_set():
                raise
            if not response.started:
                await send_problem(response, stopping(), _id(scope))
        except Exception as error:
            if response.started:
                raise
            if not body.whole:
                await body.discard()
            await send_problem(response, self._problem(error, scope), _id(scope), closes=not body.whole)
        finally:
            took = time.perf_counter() - begun
            method, route, status = response.method, _route(scope), response.status or CLIENT_LEFT
            self.state.metrics.request(method, route, status, took)
            log_event("request", id=_id(scope), method=method, route=route, status=status, ms=round(1e3 * took, 1))

    def _problem(self, error: Exception, scope: Scope) -> Problem:
        try:
            return problem_of(error)
        except Exception:
            log.exception("request %s failed: %s %s", _id(scope), scope["method"], _route(scope))
            return Problem(500, "a defect of the server; its log says more under this id")

    async def _answer(self, scope: Scope, receive: Receive, response: _Response, data: bytes) -> None:
        """Run the application, and cancel it when the client leaves."""
        left = asyncio.Event()
        given = False

        async def receive_body() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": data, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

        # the answer to HEAD is the one to GET without its body
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        answering = asyncio.ensure_future(self.app(scope, receive_body, response))
        listening = asyncio.ensure_future(listen())
        try:
            await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                answering.cancel()
            await answering
        except asyncio.CancelledError:
            answering.cancel()
            if not left.is_set():
                raise
        finally:
            listening.cancel()


class _Response:
    """The `send` of one request: adds headers, and knows what was sent."""

    def __init__(self, scope: Scope, send: Send, state: ServerState) -> None:
        self._send, self._state, self._id = send, state, _id(scope)
        self.method: str = scope["method"]
        self.status = 0
        self._complete = False

    @property
    def started(self) -> bool:
        """True once the status was sent."""
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = with_headers(message.get("headers", []), self._id)
            if self._state.closing.is_set() and (b"connection", b"close") not in headers:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._complete:
            return
        elif self.method == "HEAD":
            # the first piece ends it, since an event stream has no last one
            message, self._complete = {"type": "http.response.body", "body": b""}, True
        await self._send(message)


class _Body:
    """The body of one request."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self._headers, self._receive, self._limits = dict(scope["headers"]), receive, limits
        self._begun = False
        #: whether all of it was read
        self.whole = False

    async def read(self, hold: Hold) -> bytes:
        """Return the body, and hold its bytes.

        Raises:
            Problem: 408, 413, 415 or 503.
        """
        self._check_headers()
        parts: list[bytes] = []
        size = 0
        deadline = time.monotonic() + self._limits.body_timeout
        while not self.whole:
            self._begun = True
            try:
                message = await asyncio.wait_for(self._receive(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise Problem(408, f"the body did not arrive within {self._limits.body_timeout:g} s") from None
            if message["type"] == "http.disconnect":
                raise Problem(400, "the client left before its request was complete")
            part = message.get("body", b"")
            size += len(part)
            hold.take(len(part))
            parts.append(part)
            if size > self._limits.max_body:
                raise self._too_large()
            self.whole = not message.get("more_body")
        return b"".join(parts)

    async def discard(self) -> None:
        """Read and drop what is still being sent, for a moment: a client that is sending does not read the answer."""
        # a client that waits to be told to send has sent nothing; the first `receive` would tell it to
        sends = b"transfer-encoding" in self._headers or self._headers.get(b"content-length", b"0") != b"0"
        if not sends or (b"expect" in self._headers and not self._begun):
            return

        async def read_on() -> None:
            while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
                pass

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read_on(), LINGER)

    def _check_headers(self) -> None:
        encoding = self._headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            shown = encoding.decode("latin-1")[:40]
            raise Problem(415, f"Content-Encoding: {shown!r} is not read; send the body without compression")
        length = self._headers.get(b"content-length", b"0")
        # a number of many digits takes long to parse, and is too large anyway
        if length.isdigit() and (len(length) > 15 or int(length) > self._limits.max_body):
            raise self._too_large()

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._limits.max_body:,} bytes, the most that is read")


def _id(scope: Scope) -> str:
    request_id: str = scope["state"]["request_id"]
    return request_id


def _route(scope: Scope) -> str:
    """Return the pattern of the route, so that metrics and log neither grow with addresses nor contain them."""
    if "route" in scope:
        return str(scope["route"].path)
    # the files of the page have no routes
    return "/static" if "endpoint" in scope else "unknown"


def with_headers(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Headers:
    """Return the headers of a response with those that all responses have."""
    own = list(headers)
    present = {key.lower() for key, _ in own}
    return [*own, *((k, v) for k, v in HEADERS if k not in present), (b"x-request-id", request_id.encode())]


async def send_problem(
    send: Send, problem: Problem, request_id: str, *, closes: bool = False, kind: str = "http.response"
) -> None:
    """Send a problem as the whole response.

    Args:
        send: of the request.
        problem: what is sent.
        request_id: the problem's instance.
        closes: whether the connection ends with it.
        kind: `http.response`, or `websocket.http.response` for a WebSocket that is refused.
    """
    body = json.dumps(problem.as_json(request_id)).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in problem.headers.items()]
    if closes:
        headers.append((b"connection", b"close"))
    if kind != "http.response":
        headers = with_headers(headers, request_id)
    await send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
