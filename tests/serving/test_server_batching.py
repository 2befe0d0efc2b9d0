"""The batching worker: what is computed together, in which order, what is refused and what is dropped."""

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
from servers import Running, problem, running

from unrolled.errors import ArgumentError
from unrolled.serving import Limits
from unrolled.serving.batching import SLICE, BatchingWorker, Costs, Priority
from unrolled.serving.models import ServedModel
from unrolled.serving.problems import Busy, Problem
from unrolled.serving.resources import MAX_PENDING, DecodingThreads
from unrolled.tasks import Model

PUSH, REQUEST, PIECE = Priority


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
def worker() -> Iterator[BatchingWorker]:
    made = BatchingWorker("m", queue=4, max_batch=3, batch_wait=0)
    yield made
    made.close()


def ask(
    worker: BatchingWorker, work: Any, payload: Any, priority: Priority = REQUEST, kind: str = "k", seconds: float = 20
) -> Any:
    return worker.run(priority, kind, payload, work, time.monotonic() + seconds)


async def begun(work: Slow) -> None:
    await asyncio.to_thread(work.begun.wait, 20)


def test_batches_gather_while_one_is_computed(worker: BatchingWorker) -> None:
    async def run() -> list[Any]:
        work = Slow()
        jobs = [asyncio.ensure_future(ask(worker, work, 0))]
        await begun(work)
        jobs += [asyncio.ensure_future(ask(worker, work, n)) for n in range(1, 6)]
        await asyncio.sleep(0.01)
        assert worker.depth == 5
        with pytest.raises(Busy, match="the model 'm' is busy; try again in 1 s") as caught, worker.admit(PUSH, 0, 9):
            pass
        assert caught.value.headers == {"Retry-After": "1"}
        work.go.set()
        assert work.batches == [[0]]
        results = await asyncio.gather(*jobs)
        assert work.batches == [[0], [1, 2, 3], [4, 5]]
        return results

    assert asyncio.run(run()) == [0, 2, 4, 6, 8, 10]


def test_jobs_of_one_kind_go_together_and_pushes_go_first(worker: BatchingWorker) -> None:
    async def run() -> None:
        work = Slow()
        jobs = [asyncio.ensure_future(ask(worker, work, 0))]
        await begun(work)
        for payload, priority, kind in ((1, REQUEST, "a"), (2, REQUEST, "b"), (3, REQUEST, "a"), (4, PUSH, "p")):
            jobs.append(asyncio.ensure_future(ask(worker, work, payload, priority, kind)))
            await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*jobs)
        assert work.batches == [[0], [4], [1, 3], [2]]

    asyncio.run(run())


def test_a_push_waits_for_one_slice_of_requests_and_one_piece_at_most(worker: BatchingWorker) -> None:
    """However many jobs wait, no batch between two of pushes is expected to take longer than a slice."""

    async def run() -> list[list[Any]]:
        for kind in ("request", "piece", "push"):
            worker.costs.learn(kind, 1, 0.4 * SLICE)
        work = Slow()
        jobs = [asyncio.ensure_future(ask(worker, work, "piece 0", PIECE, "piece"))]
        await begun(work)
        for n in range(1, 4):
            jobs.append(asyncio.ensure_future(ask(worker, work, f"piece {n}", PIECE, "piece")))
            jobs.append(asyncio.ensure_future(ask(worker, work, f"request {n}", REQUEST, "request")))
            jobs.append(asyncio.ensure_future(ask(worker, work, f"push {n}", PUSH, "push")))
        await asyncio.sleep(0.01)
        work.go.set()
        await asyncio.gather(*jobs)
        return work.batches

    # two jobs fit into a slice, and pieces are never joined
    assert asyncio.run(run()) == [
        ["piece 0"],
        ["push 1", "push 2"],
        ["request 1", "request 2"],
        ["piece 1"],
        ["push 3"],
        ["request 3"],
        ["piece 2"],
        ["piece 3"],
    ]


def test_costs_are_learned_by_size() -> None:
    costs = Costs()
    assert costs.expected("a", 1_000) == pytest.approx(0.025)
    assert costs.expected("a", 10**9) == 2 * SLICE
    costs.learn("a", 1_000, 0.5)
    assert costs.expected("a", 1_023) == 0.5
    costs.learn("a", 513, 1.0)
    assert costs.expected("a", 1_000) == pytest.approx(0.6)
    # of other sizes and kinds nothing is known
    assert costs.expected("a", 1_024) == pytest.approx(0.0256)
    assert costs.expected("b", 1_000) == pytest.approx(0.025)


def test_work_that_would_wait_too_long_is_refused_at_once(worker: BatchingWorker) -> None:
    with worker.admit(REQUEST, 2.5, patience=1.0) as first:
        # what goes first is not held up by what goes after it
        with worker.admit(PUSH, 0.1, patience=0.2), pytest.raises(Busy) as caught, worker.admit(PUSH, 0.15, 0.2):
            pass
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        with pytest.raises(Busy, match="try again in 3 s"), worker.admit(PIECE, 1.0, patience=3.0):
            pass
        # it has come further
        first.seconds = 0.5
        with worker.admit(PIECE, 1.0, patience=3.0):
            pass
    # nothing waits: it may take longer than its patience
    with worker.admit(PIECE, 100.0, patience=3.0):
        pass


def test_jobs_that_nobody_waits_for_are_not_computed(worker: BatchingWorker) -> None:
    async def run() -> None:
        work = Slow()
        first = asyncio.ensure_future(ask(worker, work, 0))
        await begun(work)
        left = asyncio.ensure_future(ask(worker, work, 1))
        late = asyncio.ensure_future(ask(worker, work, 2, seconds=0.05))
        stays = asyncio.ensure_future(ask(worker, work, 3))
        await asyncio.sleep(0.01)
        left.cancel()
        with pytest.raises(Problem, match="did not answer within the deadline") as caught:
            await late
        assert caught.value.status == 504
        assert worker.depth == 1
        work.go.set()
        assert (await first, await stays) == (0, 6)
        assert work.batches == [[0], [3]]

    asyncio.run(run())


def test_one_that_fails_fails_alone(worker: BatchingWorker) -> None:
    def work(payloads: Sequence[int]) -> list[Any]:
        if 2 in payloads:
            raise ArgumentError("two: not this one")
        return [payload * 2 for payload in payloads]

    async def run() -> list[Any]:
        slow = Slow()
        first = asyncio.ensure_future(ask(worker, slow, 0, kind="slow"))
        await begun(slow)
        jobs = [ask(worker, work, n) for n in (1, 2, 3)]
        gathered = asyncio.gather(*jobs, return_exceptions=True)
        await asyncio.sleep(0.01)
        slow.go.set()
        await first
        return await gathered

    one, two, three = asyncio.run(run())
    assert (one, three) == (2, 6)
    assert isinstance(two, ArgumentError)


def test_defects_are_logged_and_the_worker_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    broken = True

    def observe(*_: Any) -> None:
        if broken:
            raise RuntimeError("no metrics")

    worker = BatchingWorker("m", batch_wait=0, observe=observe)
    with pytest.raises(RuntimeError, match="no metrics"):
        asyncio.run(ask(worker, list, 1))
    broken = False
    with pytest.raises(RuntimeError, match="1 jobs have 0 results"):
        asyncio.run(ask(worker, lambda _: [], 1))
    assert asyncio.run(ask(worker, list, 1)) == 1
    worker.close()
    assert "a computation failed" in caplog.text
    with pytest.raises(Problem, match="the server is stopping") as caught:
        asyncio.run(ask(worker, list, 1))
    assert caught.value.status == 503


def test_a_full_queue_and_deadlines(models: dict[str, Path]) -> None:
    limits = Limits(queue=2, max_batch=1, batch_wait=0, deadline=1.5, grace=2, drain=0.05)
    with running({"mail": models["mail"]}, limits=limits) as server:
        worker, work = server.state.models["mail"].worker, Slow()
        blocked = ThreadPoolExecutor(1).submit(asyncio.run, ask(worker, work, 1))
        assert work.begun.wait(10)
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(server.ask, "POST", "/v1/models/mail/predict", json={"inputs": ["x"], "options": {"n": n}})
                for n in range(1, 7)
            ]
            answers = [one.result() for one in asked]
        busy = [one for one in answers if one.status_code == 503]
        late = [one for one in answers if one.status_code == 504]
        assert (len(busy), len(late)) == (4, 2)
        for one in busy:
            assert problem(one, 503)["detail"].startswith("the model 'mail' is busy; try again in ")
            assert int(one.headers["retry-after"]) >= 1
        assert "within the deadline" in problem(late[0], 504)["detail"]
        stream = server.ask("POST", "/v1/models/mail/streams").json()["stream"]
        push = server.ask("POST", f"/v1/models/mail/streams/{stream}", json={"text": "x"})
        problem(push, 504)
        written = server.ask("POST", "/v1/models/mail/write", json={"prompt": "x"})
        problem(written, 504)
        work.go.set()
        assert blocked.result() == 2
        # none of it was computed when the worker was free again, and the push was not read
        assert server.client.predict("mail", "x")
        assert server.ask("POST", f"/v1/models/mail/streams/{stream}", json={"text": ""}).json()["length"] == 0
        assert server.counted("unrolled_batch_size_count", kind="predict") == 1
        assert server.counted("unrolled_pushes_total", outcome="504") == 1


def test_a_push_that_has_waited_is_refused_only_while_others_are_computed(feeling: Model) -> None:
    served = ServedModel("m", feeling, Limits(max_wait=0.5))

    async def push(waited: float) -> Any:
        return await served.push(1, lambda payloads: [one + 1 for one in payloads], time.monotonic() - waited)

    assert asyncio.run(push(waited=2.0)) == 2
    with served.worker.admit(PUSH, 0.1, patience=1.0):
        assert asyncio.run(push(waited=0.1)) == 2
        with pytest.raises(Busy):
            asyncio.run(push(waited=2.0))
    served.close()


def blocking(monkeypatch: pytest.MonkeyPatch, word: str) -> Slow:
    """Hold predictions whose first input begins with a word, until they are let go."""
    slow, answers = Slow(), ServedModel._answers

    def held(self: ServedModel, model: Model, options: Any, pieces: Sequence[list[Any]]) -> Any:
        if str(pieces[0][0]).startswith(word):
            slow([0])
        return answers(self, model, options, pieces)

    monkeypatch.setattr(ServedModel, "_answers", held)
    return slow


def test_who_types_does_not_wait_for_a_batch(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """While a piece of somebody's batch is computed, pushes and short requests are answered."""
    slow = blocking(monkeypatch, "batch")
    with running({"mail": models["mail"]}) as server, ThreadPoolExecutor(1) as pool:
        batch = [f"batch {n}" for n in range(64)]
        asked = pool.submit(server.client.predict, "mail", batch)
        assert slow.begun.wait(20)
        with server.client.stream("mail") as stream:
            for letter in "Thank":
                stream.push(text=letter)
        assert server.client.predict("mail", "Thank")["typed"] == "Thank"
        assert not asked.done()
        slow.go.set()
        assert [one["typed"] for one in asked.result()] == batch
        # it came in pieces
        assert server.counted("unrolled_batch_size_count", kind="predict") >= 9


def test_batches_share_their_worker(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second batch need not wait until the first one is done."""
    slow = blocking(monkeypatch, "first 0")
    order: list[str] = []
    answers = ServedModel._answers

    def noted(self: ServedModel, model: Model, options: Any, pieces: Sequence[list[Any]]) -> Any:
        order.append(pieces[0][0].split()[0])
        return answers(self, model, options, pieces)

    monkeypatch.setattr(ServedModel, "_answers", noted)
    with running({"feeling": models["feeling"]}) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.client.predict, "feeling", [f"first {n}" for n in range(6)])
        assert slow.begun.wait(20)
        second = pool.submit(server.client.predict, "feeling", [f"second {n}" for n in range(6)])
        worker = server.state.models["feeling"]._second
        assert worker is not None
        while not worker[0].depth:
            time.sleep(0.005)
        slow.go.set()
        first.result()
        second.result()
    assert order == ["first", *["second", "first"] * 5, "second"]


def test_who_leaves_costs_nothing(models: dict[str, Path]) -> None:
    with running({"mail": models["mail"]}, limits=Limits(grace=2, batch_wait=0, drain=0.05)) as server:
        worker, work = server.state.models["mail"].worker, Slow()
        with ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(asyncio.run, ask(worker, work, 1))
            assert work.begun.wait(10)
            for address in ("predict", "write", "step"):
                given = {"predict": {"inputs": ["x"]}, "write": {"prompt": "x"}, "step": {"push": {"text": "x"}}}[
                    address
                ]
                with server.http() as client, pytest.raises(httpx.ReadTimeout):
                    client.post(f"/v1/models/mail/{address}", json=given, timeout=0.3)
            deadline = time.monotonic() + 5
            while worker.depth and time.monotonic() < deadline:
                time.sleep(0.01)
            assert worker.depth == 0
            work.go.set()
            assert blocked.result() == 2
        assert server.counted("unrolled_batch_size_count", kind="predict") == 0
        assert server.counted("unrolled_batch_size_count", kind="push") == 0
        assert server.counted("unrolled_requests_total", status="499") == 3


def test_a_batch_ends_when_its_client_leaves(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    slow = blocking(monkeypatch, "batch")
    with running({"feeling": models["feeling"]}) as server:
        body = {"inputs": [f"batch {n}" for n in range(20)]}
        with server.http() as client, pytest.raises(httpx.ReadTimeout):
            client.post("/v1/models/feeling/predict", json=body, timeout=0.5)
        while not left(server):
            time.sleep(0.01)
        slow.go.set()
        assert server.client.predict("feeling", "a film")
        # the piece that was under way, and nothing of the rest
        assert len(slow.batches) == 1
        while server.state.budget.held:
            time.sleep(0.01)


def left(server: Running) -> bool:
    return server.counted("unrolled_requests_total", status="499") == 1


def test_the_decoder_is_bounded() -> None:
    go, decoder = threading.Event(), DecodingThreads()

    async def run() -> None:
        jobs = [
            asyncio.ensure_future(decoder.run(lambda: go.wait(20), time.monotonic() + 20)) for _ in range(MAX_PENDING)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="the decoder of inputs is busy"):
            await decoder.run(lambda: 1, time.monotonic() + 20)
        # of those whose clients leave, the ones that a thread is at still count
        for job in jobs:
            job.cancel()
        await asyncio.sleep(0.05)
        assert decoder.pending == 2
        go.set()
        while decoder.pending:
            await asyncio.sleep(0.01)
        assert await decoder.run(lambda: 1, time.monotonic() + 20) == 1
        with pytest.raises(Problem, match="not decoded within the deadline"):
            await decoder.run(lambda: time.sleep(0.2), time.monotonic() + 0.01)

    asyncio.run(run())
    decoder.close()
