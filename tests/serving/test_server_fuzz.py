"""Malformed bodies and frames, and what Schemathesis makes of the OpenAPI document: refused, and nothing worse."""

from __future__ import annotations

import asyncio
import http.client
import json
import time

import pytest
from malformed import Sent, bodies, frames
from servers import Running
from websockets.asyncio.client import connect

MODELS = {"mail": "generate", "feeling": "classify"}


def status_of(connection: http.client.HTTPConnection, sent: Sent) -> tuple[int, str, bytes]:
    """What comes of a request; headers and paths go as they are."""
    connection.putrequest(sent.method, sent.path, skip_accept_encoding=True)
    for name, value in sent.headers.items():
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("Content-Length", str(len(sent.body)))
    connection.endheaders(sent.body)
    response = connection.getresponse()
    return response.status, response.headers.get("content-type", ""), response.read()


def test_malformed_bodies(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    # a client that would not send such addresses and headers is made to
    monkeypatch.setattr(http.client.HTTPConnection, "_validate_path", lambda *_: None)
    monkeypatch.setattr(http.client, "_is_illegal_header_value", lambda _: None)
    monkeypatch.setattr(
        http.client.HTTPConnection, "_encode_request", lambda _, request: request.encode("latin-1"), raising=False
    )
    seen = set()
    for sent in bodies(300, 5, MODELS):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            status, kind, body = status_of(connection, sent)
        finally:
            connection.close()
        seen.add(status)
        assert status < 500, (sent, body)
        if body == b"Invalid HTTP request received.":
            # of the library, which has not found a request to answer
            assert (status, kind) == (400, "text/plain; charset=utf-8")
        elif status >= 400 and sent.method != "HEAD":
            assert kind == "application/problem+json", (sent, status, body)
            assert json.loads(body)["status"] == status
    assert {200, 400, 404, 405, 415, 422} <= seen
    # what the last request held is given back just after its answer
    until = time.monotonic() + 5
    while server.state.budget.held and time.monotonic() < until:
        time.sleep(0.01)
    assert server.state.budget.held == 0


def test_malformed_frames(server: Running) -> None:
    async def run() -> set[int]:
        seen = set()
        address = f"ws://127.0.0.1:{server.port}/v1/models/mail/stream"
        async with connect(address, compression=None, proxy=None) as socket:
            for frame in frames(400, 5):
                await socket.send(frame)
                answer = json.loads(await asyncio.wait_for(socket.recv(), 20))
                status = answer["error"]["status"] if "error" in answer else 200
                seen.add(status)
                assert status < 500 or status == 503, (frame, answer)
        return seen

    assert {200, 400, 404, 422} <= asyncio.run(run())


def test_schemathesis(server: Running) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    hypothesis = pytest.importorskip("hypothesis")
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
        checks.response_schema_conformance,
    ]  # fmt: skip
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if "/training/" in operation.path:
            continue

        @hypothesis.settings(
            max_examples=8, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: object) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=wanted, timeout=20)  # type: ignore[attr-defined]

        ask()
    assert tried > 40
