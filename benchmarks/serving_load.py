"""Latency of each keystroke of people typing into a completion model behind `unrolled serve`, all on this machine.

    python benchmarks/serving_load.py --model my-mail --text dev.txt.gz --seconds 600

Every person has a WebSocket and types a text of the file, five characters a second, as the page does: a push sends the
whole text, at most one push is pending, and the latest text is sent when it is answered. Then more and more of them
type faster and faster until the server refuses requests (503); the requests that it still accepts must not wait long.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from machine import provenance

#: the goals, seconds
P90, P99 = 0.030, 0.100
LONGEST = 400
COMMAND = "import sys; from unrolled.cli.app import main; sys.exit(main())"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a `generate` model")
    parser.add_argument("--text", type=Path, required=True, help="the text to type; may be gzipped")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5.0, help="characters per second of each person")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--n", type=int, default=3, help="suggestions of each length, as the page requests")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch-wait", type=float, default=None, help="the server's option, seconds")
    parser.add_argument("--saturation", type=float, default=20.0, help="seconds of overload; 0 for none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serving-load.json")
    return parser.parse_args()


class Person:
    """Types a text, and records how long each answer took."""

    def __init__(self, number: int, text: str, rate: float, n: int) -> None:
        self.draw = random.Random(number)
        self.text, self.rate, self.n = text, rate, n
        self.waits: list[float] = []
        self.shown = self.refused = self.errors = self.typed = 0

    async def type_(self, address: str, until: float, burst: bool) -> None:
        """Type until a time; with `burst` each character is pushed at once, even if the last is still pending."""
        from websockets.asyncio.client import connect

        loop = asyncio.get_running_loop()
        async with connect(address, compression=None, proxy=None, max_queue=None) as socket:
            sent: dict[int, float] = {}
            waiting: str | None = None
            number = 0

            async def send(text: str) -> None:
                nonlocal number
                number += 1
                sent[number] = loop.time()
                await socket.send(json.dumps({"id": number, "push": {"rewrite": text, "n": self.n}}))

            async def listen() -> None:
                nonlocal waiting
                async for message in socket:
                    answer = json.loads(message)
                    wait = loop.time() - sent.pop(answer["id"])
                    if "result" in answer:
                        self.waits.append(wait)
                        self.shown += answer["result"]["shown"] is not None
                    elif answer["error"]["status"] == 503:
                        self.refused += 1
                    else:
                        self.errors += 1
                    if waiting is not None:
                        text, waiting = waiting, None
                        await send(text)

            listening = asyncio.ensure_future(listen())
            at = self.draw.randrange(len(self.text) - LONGEST)
            typed = 0
            due = loop.time() + self.draw.random() / self.rate
            while loop.time() < until:
                await asyncio.sleep(max(0.0, due - loop.time()))
                typed += 1
                self.typed += 1
                if typed > LONGEST:
                    at, typed = self.draw.randrange(len(self.text) - LONGEST), 1
                text = self.text[at : at + typed]
                if burst or not sent:
                    await send(text)
                else:
                    waiting = text
                # people do not type at a constant rate
                due += self.draw.uniform(0.5, 1.5) / self.rate
            ended = loop.time() + 10
            while sent and loop.time() < ended:
                await asyncio.sleep(0.01)
            self.errors += len(sent)
            listening.cancel()


def typing(address: str, text: str, people: int, rate: float, n: int, seconds: float, burst: bool, pipe: Any) -> None:
    """Run all people in this process, and send the result through a pipe."""

    async def run() -> list[Person]:
        crowd = [Person(number, text, rate, n) for number in range(people)]
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        done = await asyncio.gather(*(p.type_(address, until, burst) for p in crowd), return_exceptions=True)
        for person, error in zip(crowd, done, strict=True):
            if isinstance(error, BaseException):
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                person.errors += 1
        return crowd

    begun = time.process_time()
    crowd = asyncio.run(run())
    waits = sorted(wait for person in crowd for wait in person.waits)
    pipe.send(
        {
            "people": people,
            "rate": rate,
            "seconds": seconds,
            "characters": sum(p.typed for p in crowd),
            "answers": len(waits),
            "shown": sum(p.shown for p in crowd),
            "refused": sum(p.refused for p in crowd),
            "errors": sum(p.errors for p in crowd),
            "p50_seconds": quantile(waits, 0.5),
            "p90_seconds": quantile(waits, 0.9),
            "p99_seconds": quantile(waits, 0.99),
            "longest_seconds": waits[-1] if waits else None,
            "client_cpu_seconds": round(time.process_time() - begun, 2),
        }
    )


def quantile(values: list[float], share: float) -> float | None:
    """Return a quantile of sorted values."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 5) if values else None


def crowd(server: Server, text: str, people: int, rate: float, n: int, seconds: float, burst: bool) -> dict[str, Any]:
    """Run a crowd in a process, and return its result with the server's CPU time."""
    making = multiprocessing.get_context("spawn")
    here, there = making.Pipe()
    cpu = server.cpu()
    process = making.Process(
        target=typing, args=(server.stream, text, people, rate, n, seconds, burst, there), daemon=True
    )
    process.start()
    outcome: dict[str, Any] = here.recv()
    process.join()
    return {**outcome, "server_cpu_seconds": round(server.cpu() - cpu, 2)}


class Server:
    """`unrolled serve` in a process, with its memory recorded."""

    def __init__(self, model: Path, workers: int, batch_wait: float | None) -> None:
        arguments = ["serve", f"model={model}", "--port", "0", "--workers", str(workers)]
        if batch_wait is not None:
            arguments += ["--batch-wait", str(batch_wait)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.search(r"http://([\d.]+:\d+)", line)
        if address is None:
            raise SystemExit(f"the server did not start: {line!r}")
        self.stream = f"ws://{address[1]}/v1/models/model/stream"
        self.begun, self.rss = time.monotonic(), list[tuple[float, int]]()
        threading.Thread(target=self._watch, daemon=True).start()

    def _pids(self) -> list[int]:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def _watch(self) -> None:
        while self.process.poll() is None:
            held = sum(_rss(pid) for pid in self._pids())
            self.rss.append((round(time.monotonic() - self.begun, 1), held))
            time.sleep(1)

    def cpu(self) -> float:
        """Return the server's CPU time in seconds."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def _rss(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    given = arguments()
    opened = gzip.open if given.text.suffix == ".gz" else open
    with opened(given.text, "rt", encoding="utf-8") as file:
        text = file.read(3_000_000)
    server = Server(given.model, given.workers, given.batch_wait)
    try:
        # a warm-up, so that work at the first use is not measured
        crowd(server, text, 10, given.rate, given.n, 3, False)
        began = time.monotonic() - server.begun
        usual = crowd(server, text, given.people, given.rate, given.n, given.seconds, False)
        ended = time.monotonic() - server.begun
        beyond = []
        factor = 2
        while given.saturation and factor <= 64:
            outcome = crowd(server, text, given.people, factor * given.rate, given.n, given.saturation, True)
            beyond.append(outcome)
            print(json.dumps(outcome))
            if outcome["refused"]:
                break
            factor *= 2
    finally:
        status = server.stop()
    held = [(at, size) for at, size in server.rss if began <= at <= ended]
    third = len(held) // 3
    result = {
        **provenance(),
        "model": json.loads((given.model / "config.json").read_text())["network"],
        "workers": given.workers,
        "batch_wait": given.batch_wait,
        "goal": {"p90_seconds": P90, "p99_seconds": P99},
        "usual": usual,
        "memory": {
            "first_third_bytes": max((size for _, size in held[:third]), default=None),
            "last_third_bytes": max((size for _, size in held[-third:]), default=None),
            "every_ten_seconds": [size for _, size in held[::10]],
        },
        "saturation": beyond,
        "exit_status": status,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(usual))
    missed = usual["errors"] or usual["refused"] or usual["p90_seconds"] > P90 or usual["p99_seconds"] > P99
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
