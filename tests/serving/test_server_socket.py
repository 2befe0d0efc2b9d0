"""Streams over WebSockets."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import Running, running
from test_server_batching import Slow, ask
from test_server_streams import suggested
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from unrolled.serving import Limits
from unrolled.serving.client import ServerError
from unrolled.tasks import Model

TEXT = "Thank you for your help. I will see you tomorrow. Where is the café, that we don't know?\nPlease let me know"


@asynccontextmanager
async def talk(server: Running, model: str = "mail", **options: Any) -> AsyncIterator[Any]:
    address = f"ws://127.0.0.1:{server.port}/v1/models/{model}/stream"
    async with connect(address, compression=None, proxy=None, max_size=2**26, **options) as socket:
        yield socket


async def said(socket: Any, message: Any) -> Any:
    await socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    return json.loads(await socket.recv())


async def rest(socket: Any) -> tuple[list[Any], int | None]:
    """What comes until the server closes, and its code."""
    found = []
    try:
        while True:
            found.append(json.loads(await asyncio.wait_for(socket.recv(), 20)))
    except ConnectionClosed as error:
        return found, error.rcvd.code if error.rcvd else None


def test_suggestions_are_the_librarys_with_many_at_once(server: Running, mail: Model) -> None:
    people = 12

    async def type_(number: int) -> list[tuple[str, Any]]:
        draw, text, found = random.Random(number), "", []
        async with talk(server) as socket:
            for turn in range(12):
                if text and draw.random() < 0.2:
                    # a few characters are taken back
                    text = text[: -draw.randint(1, 4)]
                else:
                    start = draw.randrange(len(TEXT) - 8)
                    text += TEXT[start : start + draw.choice((1, 1, 1, 2, 7))]
                answer = await said(socket, {"id": turn, "push": {"rewrite": text, "n": 1 + number % 3}})
                assert answer["id"] == turn
                found.append((text, answer["result"]))
        return found

    async def all_() -> list[list[tuple[str, Any]]]:
        return await asyncio.gather(*(type_(number) for number in range(people)))

    before = server.counted("unrolled_batch_size_count", kind="push"), server.counted("unrolled_batch_size_sum")
    shown = 0
    for number, found in enumerate(asyncio.run(all_())):
        for text, answer in found[number % 3 :: 3]:
            # json keeps every bit of a float
            assert answer["suggestions"] == suggested(mail, text, n=1 + number % 3)
            best = mail.stream().push(text).suggestion()
            assert (answer["shown"] or {}).get("text") == (best and best.text)
            shown += best is not None
    assert shown
    batches = server.counted("unrolled_batch_size_count", kind="push") - before[0]
    assert batches < people * 12, "nothing was computed together"


def test_the_protocol(server: Running, mail: Model) -> None:
    async def run() -> None:
        async with talk(server) as socket:
            assert await said(socket, {"id": "a", "push": {"text": "Thank "}}) == {
                "id": "a", "result": (await said(socket, {"id": 0, "push": {"text": ""}}))["result"],
            }  # fmt: skip
            saved = await said(socket, {"id": 2, "save": True})
            assert set(saved) == {"id", "state"}
            assert await said(socket, {"id": 3, "fork": "b"}) == {"id": 3, "stream": "b"}
            found = await said(socket, {"id": 4, "stream": "b", "push": {"text": "you"}})
            assert found["result"]["suggestions"] == suggested(mail, "Thank you")
            found = await said(socket, {"id": 5, "push": {"text": "everybody"}})
            assert found["result"]["suggestions"] == suggested(mail, "Thank everybody")
            assert await said(socket, {"id": 6, "restore": saved["state"]}) == {"id": 6, "result": None}
            found = await said(socket, {"push": {"text": "yo"}})
            assert found == {"id": None, "result": found["result"]}
            assert found["result"]["suggestions"] == suggested(mail, "Thank yo")
            assert await said(socket, {"id": 7, "stream": "b", "reset": True}) == {"id": 7, "result": None}
            found = await said(socket, {"id": 8, "stream": "b", "push": {"text": "I"}})
            assert found["result"]["length"] == 1
            assert await said(socket, {"id": 9, "drop": "b"}) == {"id": 9, "result": None}
            assert (await said(socket, {"id": 9, "stream": "b", "save": True}))["error"]["status"] == 404
            # many at once are answered in their order
            for n in range(20):
                await socket.send(json.dumps({"id": n, "push": {"text": "a"}} if n % 3 else {"id": n, "nonsense": 1}))
            answers = [json.loads(await socket.recv()) for _ in range(20)]
            assert [a["id"] for a in answers] == list(range(20))
            assert [a["result"]["length"] for a in answers if "result" in a] == list(range(9, 22))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "status", "detail"),
    [
        ("", 400, "the body is not JSON"),
        ("{", 400, "the body is not JSON"),
        ("[" * 5000, 400, "the body is not JSON: recursion limit"),
        ("[]", 422, "body: Input should be an object"),
        ("{}", 422, "a message asks for one of push"),
        ('{"id": 1}', 422, "a message asks for one of push"),
        ('{"save": false}', 422, "save: nothing is asked for"),
        ('{"push": null}', 422, "push: nothing is asked for"),
        ('{"save": true, "reset": true}', 422, "a message asks for one of push"),
        ('{"id": true, "save": true}', 422, "id/"),
        ('{"id": 1.5, "save": true}', 422, "id/"),
        ('{"id": ' + "9" * 500 + ', "save": true}', 422, "id/"),
        ('{"id": "' + "x" * 201 + '", "save": true}', 422, "id/"),
        ('{"push": {"text": "a", "rewrite": "b"}}', 422, "push: expected either text or rewrite"),
        ('{"push": {"text": "\\ud800"}', 400, "the body is not JSON"),
        ('{"push": {"text": "' + "x" * 20_001 + '"}}', 413, "input: 20,001 characters"),
        ('{"stream": "b", "push": {"text": ""}}', 404, "stream: this connection has none of the name 'b'"),
        ('{"drop": "b"}', 404, "stream: this connection has none of the name 'b'"),
        ('{"fork": ""}', 422, "fork: String should have at least 1 character"),
        ('{"fork": "' + "x" * 65 + '"}', 422, "fork: String should have at most 64 characters"),
        ('{"restore": "x"}', 422, "state: this server did not sign it"),
        (b"", 422, "message: this model takes messages of text"),
        (b"\x00\x01", 422, "message: this model takes messages of text"),
    ],
)  # fmt: skip
def test_messages_that_can_not_be_done(server: Running, message: str | bytes, status: int, detail: str) -> None:
    async def run() -> Any:
        async with talk(server) as socket:
            await said(socket, {"push": {"text": "Thank "}})
            found = await said(socket, message)
            # the conversation goes on, from where it was
            assert (await said(socket, {"id": 2, "push": {"text": "x"}}))["result"]["length"] == 7
            return found

    found = asyncio.run(run())
    assert found["error"]["status"] == status
    assert found["error"]["detail"].startswith(detail)
    assert set(found["error"]) <= {"type", "title", "status", "detail", "errors"}
    assert set(found) == {"id", "error"}


def test_frames_that_are_none(server: Running) -> None:
    async def run(frames: bytes) -> int | None:
        async with talk(server) as socket:
            socket.transport.write(frames)
            return (await rest(socket))[1]

    mask = b"\0\0\0\0"
    assert asyncio.run(run(b"\x81\x82" + mask + b"\xff\xff")) == 1007
    assert asyncio.run(run(b"\x81\x01x")) == 1002
    assert asyncio.run(run(b"\xf1\x81" + mask + b"x")) == 1002
    assert asyncio.run(run(b"\x81\xff" + (2**40).to_bytes(8, "big") + mask)) == 1009
    assert server.ask("GET", "/healthz").status_code == 200


def test_models_without_streams_and_addresses_without_models(server: Running) -> None:
    with server.client.stream("both") as stream, pytest.raises(ServerError, match="from both ends") as caught:
        stream.push(text="x")
    assert caught.value.status == 409
    with pytest.raises(ServerError, match="no model of the name 'nobody'") as caught:
        server.client.stream("nobody")
    assert caught.value.status == 404

    async def nobody() -> None:
        async with talk(server, "nobody"):
            pass

    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(nobody())
    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(response.body)["detail"] == "no model of the name 'nobody'; models here: mail, feeling, both"


def test_their_bounds(models: dict[str, Path]) -> None:
    limits = Limits(forks=2, stream_idle=0.5, max_message=2_000, grace=2, drain=0.05)
    with running({"mail": models["mail"]}, limits=limits) as server:

        async def run() -> None:
            async with talk(server) as socket:
                assert (await said(socket, {"id": 1, "fork": "a"}))["stream"] == "a"
                assert (await said(socket, {"id": 1, "fork": "a"}))["error"]["status"] == 409
                assert (await said(socket, {"id": 1, "fork": "b"}))["error"]["status"] == 503
                assert len(server.state.streams) == 2
                with pytest.raises(ConnectionClosed) as caught:
                    await asyncio.wait_for(socket.recv(), 10)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001
            async with talk(server) as socket:
                await socket.send("x" * 2_001)
                with pytest.raises(ConnectionClosed) as caught:
                    await asyncio.wait_for(socket.recv(), 10)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1009

        asyncio.run(run())
        for _ in range(100):
            if not len(server.state.streams):
                break
            asyncio.run(asyncio.sleep(0.02))
        assert len(server.state.streams) == 0
        assert server.state.conversations == 0
        assert server.state.budget.held == 0


def test_a_bad_message_is_answered_with_its_id_and_the_stream_goes_on(server: Running) -> None:
    """Half a surrogate pair is read as U+FFFD; what does not fit at all has its id, if there is one to be read."""

    async def run() -> list[Any]:
        async with talk(server) as socket:
            found = [
                await said(socket, '{"id": 1, "push": {"text": "ab\\ud83d"}}'),
                await said(socket, '{"id": 2, "push": {"text": 7}}'),
                await said(socket, '{"id": "x", "push": {"nonsense": "\\udc00"}}'),
                await said(socket, '{"id": [3], "push": {"text": "c"}}'),
                await said(socket, '{"id": 4, "push": {"text": "c"}'),
            ]
            assert (await said(socket, {"id": 5, "push": {"text": "d"}}))["result"]["length"] == 4
            return found

    half, number, other, no_id, cut = asyncio.run(run())
    assert (half["id"], half["result"]["length"]) == (1, 3)
    assert [(a["id"], a["error"]["status"]) for a in (number, other, no_id, cut)] == [
        (2, 422), ("x", 422), (None, 422), (None, 400),
    ]  # fmt: skip


def test_a_message_that_is_too_large_ends_the_connection_and_says_so(models: dict[str, Path]) -> None:
    with running({"mail": models["mail"]}, limits=Limits(max_message=2_000, grace=2, drain=0.05)) as server:
        with server.client.stream("mail") as stream:
            assert stream.push(text="a")["length"] == 1
            with pytest.raises(ServerError, match="the message was too large") as caught:
                stream.push(text="x" * 2_000)
            assert caught.value.status == 413
        with server.client.stream("mail") as stream:
            assert stream.push(text="a")["length"] == 1


def test_a_push_that_would_wait_too_long_is_refused(models: dict[str, Path]) -> None:
    with running({"mail": models["mail"]}, limits=Limits(queue=1, grace=2, drain=0.05)) as server:
        worker, work = server.state.models["mail"].worker, Slow()

        async def run() -> list[Any]:
            async with talk(server) as first, talk(server) as second:
                await first.send('{"id": 1, "push": {"text": "a"}}')
                while not worker.depth:
                    await asyncio.sleep(0.01)
                refused = await said(second, {"id": 2, "push": {"text": "b"}})
                work.go.set()
                answered = json.loads(await first.recv())
                # what was refused was not read
                again = await said(second, {"id": 3, "push": {"text": "b"}})
                return [refused, answered, again]

        with ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(asyncio.run, ask(worker, work, 1))
            assert work.begun.wait(10)
            refused, answered, again = asyncio.run(run())
            assert blocked.result() == 2
        assert (refused["id"], refused["error"]["status"]) == (2, 503)
        assert (answered["id"], answered["result"]["length"]) == (1, 1)
        assert (again["id"], again["result"]["length"]) == (3, 1)


def test_a_stop_is_told(models: dict[str, Path], mail: Model) -> None:
    key = b"a key of more than 16 bytes"
    with running({"mail": models["mail"]}, state_key=key, limits=Limits(grace=5)) as server:

        async def run() -> list[Any]:
            async with talk(server) as socket:
                await said(socket, {"push": {"text": "Thank yo"}})
                await said(socket, {"fork": "b"})
                await said(socket, {"stream": "b", "push": {"text": "u f"}})
                for n in range(5):
                    await socket.send(json.dumps({"id": n, "push": {"text": "u"}}))
                first = json.loads(await socket.recv())
                server.server.stop()
                found, code = await rest(socket)
                assert code == 1012
                return [first, *found]

        *answers, plain, other = asyncio.run(run())
    assert [a["id"] for a in answers] == [0, 1, 2, 3, 4]
    assert all("result" in a for a in answers)
    assert plain == {"closing": "the server is stopping", "state": plain["state"]}
    assert other == {"closing": "the server is stopping", "state": other["state"], "stream": "b"}
    with running({"mail": models["mail"]}, state_key=key) as server:
        for token, text in ((plain["state"], "Thank youuuuu"), (other["state"], "Thank you f")):
            with server.client.stream("mail", token) as stream:
                assert stream.push(text="")["suggestions"] == suggested(mail, text)
