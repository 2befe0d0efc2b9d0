"""The door: who may ask, how much, how fast."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Running, problem, raw, running
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from unrolled.errors import StorageError
from unrolled.serving import Limits
from unrolled.serving.app import Application
from unrolled.serving.client import Client, ServerError
from unrolled.serving.http.server import Server
from unrolled.serving.http.sockets import address_of, listen
from unrolled.serving.middleware import Middleware
from unrolled.serving.problems import Problem
from unrolled.serving.resources import Hold
from unrolled.serving.state import ServerOptions, ServerState

TOKEN = "a-token-of-some-length"
JSON = {"Content-Type": "application/json"}
PREDICT = "/v1/models/feeling/predict"


@pytest.fixture(scope="module")
def strict(models: dict[str, Path]) -> Iterator[Running]:
    """Small limits, and a token."""
    limits = Limits(max_body=10_000, body_timeout=0.6, connections=20, grace=2, drain=0.05, pending_bytes=50_000)
    with running({"feeling": models["feeling"]}, limits=limits, token=TOKEN) as server:
        yield server


@pytest.fixture
def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def refused(connection: socket.socket, data: bytes) -> bool:
    """Send the same until the other side has had enough."""
    try:
        while True:
            connection.sendall(data)
    except OSError:
        return True


def test_tokens(strict: Running, bearer: dict[str, str]) -> None:
    for headers in (
        {}, {"Authorization": TOKEN}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": b"Bearer \xff"},
    ):  # fmt: skip
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing", "/static", "/healthz/x"):
            found = strict.ask("GET", path, headers=headers)
            wrong = headers.get("Authorization", "") not in ("", TOKEN, "Bearer", f"Basic {TOKEN}")
            said = "the token is wrong" if wrong else "a token is needed"
            assert problem(found, 401)["detail"] == f"{said}: Authorization: Bearer …"
            assert found.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/healthz", "/readyz", "/static/app.js", "/favicon.ico"):
        assert strict.ask("GET", path).status_code == 200
    assert strict.ask("GET", "/v1/models", headers=bearer).status_code == 200
    document = strict.ask("GET", "/openapi.json", headers=bearer).json()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"token": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in document["paths"]["/v1/models"]["get"]
    for path in ("/healthz", "/readyz"):
        assert (strict.ask("HEAD", path).status_code, strict.ask("HEAD", path).content) == (200, b"")
    assert strict.ask("GET", "/v1/models", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert strict.client.models()[0]["name"] == "feeling"
    with pytest.raises(ServerError, match="a token is needed") as caught:
        Client(strict.address).models()
    assert caught.value.status == 401
    with pytest.raises(ServerError, match="a token is needed") as caught:
        Client(strict.address).stream("feeling")
    assert (caught.value.status, caught.value.problem["title"]) == (401, "Unauthorized")


def test_tokens_of_sockets(strict: Running) -> None:
    address = f"ws://127.0.0.1:{strict.port}/v1/models/feeling/stream"

    async def refused(**options: Any) -> Any:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(address, compression=None, proxy=None, **options):
                pass
        response = caught.value.response
        assert response.headers["content-type"] == "application/problem+json"
        found = json.loads(response.body)
        assert found["status"] == response.status_code
        return found

    async def run() -> None:
        assert (await refused())["status"] == 401
        assert (await refused(subprotocols=["unrolled.bearer.wrong"]))["status"] == 401
        right: Any = [f"unrolled.bearer.{TOKEN}"]
        assert (await refused(subprotocols=right, origin="http://evil.example"))["status"] == 403
        async with connect(address, compression=None, proxy=None, subprotocols=right) as connection:
            assert connection.subprotocol == right[0]
            # the time for a head is over, and this is none
            await asyncio.sleep(0.7)
            await connection.send('{"id": 1, "push": {"text": "the film"}}')
            assert json.loads(await connection.recv())["result"]["length"] == 8

    asyncio.run(run())
    with strict.client.stream("feeling") as stream:
        assert stream.push(text="the film")["length"] == 8


def test_hosts_and_origins(server: Running) -> None:
    port = server.port
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "[::1]", f"LOCALHOST:{port}"):
        assert server.ask("GET", "/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.2", "evil:8000", ""):
        assert (
            "is not a name of this server"
            in problem(server.ask("GET", "/healthz", headers={"Host": host}), 403)["detail"]
        )
    for host in ("[::1", "[x]:y"):
        problem(server.ask("GET", "/healthz", headers={"Host": host}), 400)
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert server.ask("GET", "/v1/models", headers=own).status_code == 200
    for origin in ("null", "http://evil.example", "http://localhost", f"http://127.0.0.1:{port}", "https://[::1"):
        found = server.ask("GET", "/v1/models", headers={**own, "Origin": origin})
        assert found.status_code in (400, 403)
        assert "access-control-allow-origin" not in found.headers
        problem(found, found.status_code)
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    problem(server.ask("OPTIONS", "/v1/models", headers=preflight), 403)


def test_bodies_that_are_not_taken(strict: Running, bearer: dict[str, str]) -> None:
    headers = {**JSON, **bearer}
    large = json.dumps({"inputs": ["x" * 10_000]}).encode()
    found = strict.ask("POST", PREDICT, headers=headers, content=large)
    assert problem(found, 413)["detail"] == "the body is larger than 10,000 bytes, the most that is read"
    assert found.headers["connection"] == "close"
    # in pieces, and without a length: it is not read to its end
    assert problem(strict.ask("POST", PREDICT, headers=headers, content=iter([large[:6_000]] * 2)), 413)
    bomb = gzip.compress(b'{"inputs": ["' + b"x" * 10**7 + b'"]}')
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x"):
        found = strict.ask("POST", PREDICT, headers={**headers, "Content-Encoding": encoding}, content=bomb[:9000])
        assert problem(found, 415)["detail"].startswith("Content-Encoding: ")
    ok = {"inputs": ["the film"]}
    assert strict.ask("POST", PREDICT, headers={**bearer, "Content-Encoding": "identity"}, json=ok).status_code == 200
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    for length in ("9" * 15, "9" * 18):
        assert b" 413 " in raw(strict.port, f"{head}Content-Length: {length}\r\n\r\n".encode())
    assert strict.state.budget.held == 0


@pytest.mark.parametrize(
    ("head", "left"), [((b"transfer-encoding", b"chunked"), 0), ((b"content-length", b"30000"), 5)]
)
def test_who_waits_to_be_told_to_send_hears_why_not(head: tuple[bytes, bytes], left: int) -> None:
    """What is on its way when a body is refused is read to its end: unread, it would reset the connection."""
    pieces, sent = [b"x" * 6_000] * 5, []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"expect", b"100-continue"), head]
    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": headers}

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the body was refused")

    state = ServerState(ServerOptions(limits=Limits(max_body=10_000), hosts=()))
    state.ready = True
    asyncio.run(Middleware(nobody, state)(scope, receive, send))
    state.close()
    assert [message.get("status") for message in sent] == [413, None]
    # a body that is refused for its length has not been asked for
    assert len(pieces) == left


def test_all_bodies_together(strict: Running, bearer: dict[str, str]) -> None:
    strict.state.budget.take(45_000)
    try:
        found = strict.ask("POST", PREDICT, headers={**JSON, **bearer}, content=b" " * 9_000)
        assert problem(found, 503)["detail"] == "the server's memory for requests is busy; try again in 1 s"
        assert found.headers["retry-after"] == "1"
    finally:
        strict.state.budget.give(45_000)


def test_answers_leave_at_once() -> None:
    """Head and body are two small packets, and the second would wait until the first is acknowledged."""

    async def run() -> int:
        served: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            served.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as bound:
            async with await asyncio.start_server(accept, sock=bound):
                _, writer = await asyncio.open_connection(*bound.getsockname())
                writer.close()
                return await served

    assert asyncio.run(run())


def test_slow_clients(strict: Running) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    # a body that does not come, and one without end
    late = raw(strict.port, f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{".encode())
    assert b" 408 " in late
    assert b"the body did not arrive within 0.6 s" in late
    endless = raw(strict.port, f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n".encode())
    assert b" 408 " in endless


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not end such connections")
def test_who_does_not_read(models: dict[str, Path]) -> None:
    with running({"feeling": models["feeling"]}, limits=Limits(body_timeout=0.5, grace=1)) as server:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            deaf.settimeout(20)
            ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
            assert refused(deaf, ask * 100)
        assert server.ask("GET", "/healthz").status_code == 200


def test_what_is_no_http(strict: Running) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nbad\x00: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    ):  # fmt: skip
        # of the library, but for a version that does not exist, whose request names no host
        found = raw(strict.port, data)
        assert found == b"" or found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ")), found[:100]
    broken = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert raw(strict.port, broken.encode()).startswith((b"HTTP/1.1 40", b""))
    assert strict.ask("GET", "/healthz").status_code == 200


def test_too_many_connections(strict: Running) -> None:
    many = [socket.create_connection(("127.0.0.1", strict.port), timeout=10) for _ in range(20)]
    try:
        until = time.monotonic() + 5
        while (found := strict.ask("GET", "/healthz")).status_code == 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert found.status_code == 503
        assert found.headers["connection"] == "close"
    finally:
        for one in many:
            one.close()
    until = time.monotonic() + 5
    while strict.ask("GET", "/healthz").status_code == 503 and time.monotonic() < until:
        time.sleep(0.01)
    assert strict.ask("GET", "/healthz").status_code == 200


def test_head_where_get_is(server: Running) -> None:
    for path in ("/", "/healthz", "/readyz", "/v1/models", "/v1/models/mail", "/openapi.json", "/static/app.js", "/no"):
        head, get = server.ask("HEAD", path), server.ask("GET", path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("content-type", "content-length", "content-security-policy"):
            assert head.headers[name] == get.headers[name]
    assert server.ask("HEAD", "/v1/models/mail/predict").status_code == 405
    assert server.counted("unrolled_requests_total", method="HEAD", route="/healthz", status="200") >= 1


def test_the_head_of_an_event_stream(models: dict[str, Path], tmp_path: Path) -> None:
    with running({}, runs={"run": tmp_path}, limits=Limits(grace=2, drain=0.05)) as server:
        head = server.ask("HEAD", "/v1/training/run/events")
        assert (head.status_code, head.content) == (200, b"")
        until = time.monotonic() + 5
        while server.state.watchers and time.monotonic() < until:
            time.sleep(0.01)
        assert server.state.watchers == 0


def test_it_answers_while_models_are_loaded(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    go, load = threading.Event(), Application.load

    def slow(self: Application) -> Any:
        assert go.wait(20)
        return load(self)

    monkeypatch.setattr(Application, "load", slow)
    ready = threading.Event()
    with listen("127.0.0.1", 0) as bound:
        server = Server(Application(ServerOptions({"mail": models["mail"]})), bound, ready.set)
        server.start()
        with httpx.Client(base_url=address_of(bound), trust_env=False) as client:
            assert client.get("/healthz").json() == {"status": "alive"}
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "loading"})
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/models/mail/predict"), ("GET", "/openapi.json")):
                answer = client.request(method, path)
                assert problem(answer, 503)["detail"] == "the models are being loaded"
                assert answer.headers["retry-after"] == "1"
            assert client.get("/").status_code == 200
            with pytest.raises(ServerError, match="the models are being loaded"):
                Client(address_of(bound)).stream("mail")
            go.set()
            assert ready.wait(20)
            assert client.get("/readyz").json() == {"status": "ready", "models": 1, "workers": 1}
            assert Client(address_of(bound)).predict("mail", "Thank")["typed"] == "Thank"
        server.stop()
        server.join(20)


def test_a_model_that_can_not_be_loaded_stops_the_server(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as bound:
        server = Server(Application(ServerOptions({"gone": tmp_path / "gone"}, Limits(drain=0))), bound)
        server.start()
        with pytest.raises(StorageError, match="no such model folder"):
            server.join()


def test_decoded_inputs_are_counted(models: dict[str, Path]) -> None:
    limits = Limits(pending_bytes=10_000, max_characters=100_000, grace=2, drain=0.05)
    with running({"feeling": models["feeling"]}, limits=limits) as server:
        served, held = server.state.models["feeling"], []
        read = served._api.read

        def noting(model: Any, given: Any, bounds: Any) -> Any:
            held.append(server.state.budget.held)
            return read(model, given, bounds)

        with pytest.MonkeyPatch.context() as patch:
            # as if texts were images: decoded one by one, and the one before is dropped
            patch.setattr(type(served._api), "light", False)
            patch.setattr(served._api, "read", noting, raising=False)
            body = {"inputs": ["word " * 300] * 4}
            assert server.ask("POST", PREDICT, json=body).status_code == 200
        size = len(json.dumps(body, separators=(",", ":")))
        assert held == [size] * 4
        until = time.monotonic() + 5
        while server.state.budget.held and time.monotonic() < until:
            time.sleep(0.01)
        with Hold(server.state.budget, 9_000):
            assert problem(server.ask("POST", PREDICT, json={"inputs": ["x" * 600]}), 503)
        with pytest.raises(Problem, match="all requests together may hold 10,000"):
            Hold(server.state.budget, 10_001)


def test_the_log(models: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    secret = "the film was a secret"
    for log_inputs in (False, True):
        caplog.clear()
        with caplog.at_level(logging.INFO), running({"feeling": models["feeling"]}, log_inputs=log_inputs) as server:
            answer = server.ask("POST", PREDICT, json={"inputs": [secret]})
            server.ask("POST", PREDICT, json={"inputs": [secret], "options": {"top": secret}})
            with server.client.stream("feeling") as stream:
                stream.push(text=secret)
        happened = [(r.getMessage(), getattr(r, "fields", {})) for r in caplog.records]
        assert ("secret" in str(happened) + caplog.text) is log_inputs
        told = {fields["id"]: fields for event, fields in happened if event == "request"}
        first = told[answer.headers["x-request-id"]]
        assert set(first) == {"id", "method", "route", "status", "ms"}
        assert (first["method"], first["route"], first["status"]) == ("POST", PREDICT, 200)
        inputs = [fields for event, fields in happened if event == "input"]
        assert len(inputs) == (3 if log_inputs else 0)
        if log_inputs:
            assert inputs[0]["id"] == answer.headers["x-request-id"]
            assert json.loads(inputs[0]["input"]) == {"inputs": [secret]}
            assert json.loads(inputs[2]["input"]) == {"id": 1, "push": {"text": secret}}


def test_lines_of_the_log() -> None:
    from unrolled.serving.logs import JsonFormatter, TextFormatter, loggable

    record = logging.LogRecord("unrolled.serving.access", logging.INFO, "", 0, "%s", ("request",), None)
    record.fields = {"status": 200, "input": 'a "b"\nc'}
    found = json.loads(JsonFormatter().format(record))
    assert found.pop("time").endswith("Z")
    assert found == {"level": "info", "event": "request", "status": 200, "input": 'a "b"\nc'}
    assert TextFormatter().format(record).endswith('request status=200 input="a \\"b\\"\\nc"')
    assert loggable(b"\x89PNG" * 10, "image/png") == "40 bytes of image/png"
    assert loggable(b"", "") == "0 bytes of no type"
    assert loggable(b"x" * 5_000) == "x" * 2_000 + "…"
