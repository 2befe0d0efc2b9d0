"""Lanes: what is computed together, what waits, and what is given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import problem, running

from unrolled.errors import ArgumentError
from unrolled.serving import Limits
from unrolled.serving.batching import Lane, Turn
from unrolled.serving.problems import Busy, Problem


class Slow:
    """Work that waits until it is let go, and keeps what it was given."""

    def __init__(self) -> None:
        self.go, self.begun, self.batches = threading.Event(), threading.Event(), list[list[Any]]()

    def __call__(self, payloads: Sequence[Any]) -> list[Any]:
        self.batches.append(list(payloads))
        self.begun.set()
        assert self.go.wait(20)
        return [payload * 2 for payload in payloads]


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane("m", queue=4, max_batch=3, batch_wait=0)
    yield made
    made.close()


def ask(lane: Lane, work: Any, payload: Any, turn: Turn = Turn.REQUEST, kind: str = "k", seconds: float = 20) -> Any:
    return lane.run(turn, kind, payload, work, time.monotonic() + seconds)


async def begun(work: Slow) -> None:
    await asyncio.to_thread(work.begun.wait, 20)


def test_batches_gather_while_it_computes(lane: Lane) -> None:
    async def run() -> list[Any]:
        work = Slow()
        jobs = [asyncio.ensure_future(ask(lane, work, 0))]
        await begun(work)
        jobs += [asyncio.ensure_future(ask(lane, work, n)) for n in range(1, 5)]
        await asyncio.sleep(0.01)
        assert lane.depth == 4
        with pytest.raises(Busy, match="the model 'm' is busy; try again in 1 s") as caught:
            await ask(lane, work, 9)
        assert caught.value.headers == {"Retry-After": "1"}
        # a further part of what was let in is not refused
        jobs.append(asyncio.ensure_future(lane.run(Turn.REQUEST, "k", 5, work, time.monotonic() + 9, further=True)))
        await asyncio.sleep(0.01)
        work.go.set()
        assert work.batches == [[0]]
        found = await asyncio.gather(*jobs)
        assert work.batches == [[0], [1, 2, 3], [4, 5]]
        return found

    assert asyncio.run(run()) == [0, 2, 4, 6, 8, 10]


def test_only_alike_ones_and_pushes_first(lane: Lane) -> None:
    async def run() -> None:
        work = Slow()
        jobs = [asyncio.ensure_future(ask(lane, work, 0))]
        await begun(work)
        for payload, turn, kind in (
            (1, Turn.REQUEST, "a"),
            (2, Turn.REQUEST, "b"),
            (3, Turn.REQUEST, "a"),
            (4, Turn.PUSH, "p"),
        ):
            jobs.append(asyncio.ensure_future(ask(lane, work, payload, turn, kind)))
            await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*jobs)
        assert work.batches == [[0], [4], [1, 3], [2]]

    asyncio.run(run())


def test_what_nobody_waits_for_is_not_computed(lane: Lane) -> None:
    async def run() -> None:
        work = Slow()
        first = asyncio.ensure_future(ask(lane, work, 0))
        await begun(work)
        left = asyncio.ensure_future(ask(lane, work, 1))
        late = asyncio.ensure_future(ask(lane, work, 2, seconds=0.05))
        stays = asyncio.ensure_future(ask(lane, work, 3))
        await asyncio.sleep(0.01)
        left.cancel()
        with pytest.raises(Problem, match="did not come to an answer within the deadline") as caught:
            await late
        assert caught.value.status == 504
        assert lane.depth == 1
        work.go.set()
        assert (await first, await stays) == (0, 6)
        assert work.batches == [[0], [3]]

    asyncio.run(run())


def test_one_that_fails_fails_alone(lane: Lane) -> None:
    def work(payloads: Sequence[int]) -> list[Any]:
        if 2 in payloads:
            raise ArgumentError("two: not this one")
        return [payload * 2 for payload in payloads]

    async def run() -> list[Any]:
        slow = Slow()
        first = asyncio.ensure_future(ask(lane, slow, 0, kind="slow"))
        await begun(slow)
        jobs = [ask(lane, work, n) for n in (1, 2, 3)]
        gathered = asyncio.gather(*jobs, return_exceptions=True)
        await asyncio.sleep(0.01)
        slow.go.set()
        await first
        return await gathered

    one, two, three = asyncio.run(run())
    assert (one, three) == (2, 6)
    assert isinstance(two, ArgumentError)


def test_defects_are_told_and_the_lane_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    def observe(*_: Any) -> None:
        raise RuntimeError("no metrics")

    lane = Lane("m", batch_wait=0, observe=observe)
    with pytest.raises(RuntimeError, match="no metrics"):
        asyncio.run(ask(lane, list, 1))
    lane._observe = lambda *_: None
    with pytest.raises(RuntimeError, match="1 jobs came to 0 results"):
        asyncio.run(ask(lane, lambda _: [], 1))
    assert asyncio.run(ask(lane, list, 1)) == 1
    lane.close()
    assert "a computation failed" in caplog.text
    with pytest.raises(Problem, match="the server is stopping") as caught:
        asyncio.run(ask(lane, list, 1))
    assert caught.value.status == 503


def test_a_queue_that_is_full_and_deadlines(models: dict[str, Path]) -> None:
    limits = Limits(queue=2, max_batch=1, batch_wait=0, deadline=1.5, grace=2)
    with running({"mail": models["mail"]}, limits=limits) as server:
        lane, work = server.work.models["mail"].lane, Slow()
        blocked = ThreadPoolExecutor(1).submit(asyncio.run, ask(lane, work, 1))
        assert work.begun.wait(10)
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(server.ask, "POST", "/v1/models/mail/predict", json={"inputs": ["x"], "options": {"n": n}})
                for n in range(1, 7)
            ]
            answers = [one.result() for one in asked]
        busy = [one for one in answers if one.status_code == 429]
        late = [one for one in answers if one.status_code == 504]
        assert (len(busy), len(late)) == (4, 2)
        for one in busy:
            assert problem(one, 429)["detail"].startswith("the model 'mail' is busy; try again in ")
            assert int(one.headers["retry-after"]) >= 1
        assert "within the deadline" in problem(late[0], 504)["detail"]
        stream = server.ask("POST", "/v1/models/mail/streams").json()["stream"]
        push = server.ask("POST", f"/v1/models/mail/streams/{stream}", json={"text": "x"})
        problem(push, 504)
        written = server.ask("POST", "/v1/models/mail/write", json={"prompt": "x"})
        problem(written, 504)
        work.go.set()
        assert blocked.result() == 2
        # none of it was computed when the lane was free again, and the push was not read
        assert server.client.predict("mail", "x")
        assert server.ask("POST", f"/v1/models/mail/streams/{stream}", json={"text": ""}).json()["length"] == 0
        assert server.counted("unrolled_batch_size_count", kind="predict") == 1
        assert server.counted("unrolled_pushes_total", outcome="504") == 1


def test_who_leaves_costs_nothing(models: dict[str, Path]) -> None:
    with running({"mail": models["mail"]}, limits=Limits(grace=2, batch_wait=0)) as server:
        lane, work = server.work.models["mail"].lane, Slow()
        with ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(asyncio.run, ask(lane, work, 1))
            assert work.begun.wait(10)
            for address in ("predict", "write", "step"):
                given = {"predict": {"inputs": ["x"]}, "write": {"prompt": "x"}, "step": {"push": {"text": "x"}}}[
                    address
                ]
                with server.http() as client, pytest.raises(httpx.ReadTimeout):
                    client.post(f"/v1/models/mail/{address}", json=given, timeout=0.3)
            deadline = time.monotonic() + 5
            while lane.depth and time.monotonic() < deadline:
                time.sleep(0.01)
            assert lane.depth == 0
            work.go.set()
            assert blocked.result() == 2
        assert server.counted("unrolled_batch_size_count", kind="predict") == 0
        assert server.counted("unrolled_batch_size_count", kind="push") == 0
        assert server.counted("unrolled_requests_total", status="499") == 3


def test_readers_are_bounded() -> None:
    from unrolled.serving import decoding as readers

    go = threading.Event()

    async def run() -> None:
        jobs = [
            asyncio.ensure_future(readers.reading(lambda: go.wait(20), time.monotonic() + 20))
            for _ in range(readers.WAITING)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="the reader of inputs is busy"):
            await readers.reading(lambda: 1, time.monotonic() + 20)
        # who leaves still counts while the threads are at it
        for job in jobs:
            job.cancel()
        await asyncio.sleep(0.05)
        with pytest.raises(Busy):
            await readers.reading(lambda: 1, time.monotonic() + 20)
        go.set()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if readers._waiting == 0:
                break
        assert await readers.reading(lambda: 1, time.monotonic() + 20) == 1
        with pytest.raises(Problem, match="not decoded within the deadline"):
            await readers.reading(lambda: time.sleep(0.2), time.monotonic() + 0.01)
        await asyncio.sleep(0.3)

    asyncio.run(run())
