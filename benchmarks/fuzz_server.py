"""Ten thousand malformed bodies and frames against `unrolled serve`: no 5xx, no hang, no leaked memory.

python benchmarks/fuzz_server.py --generate my-mail --classify sentiment
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from machine import provenance

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "serving"))
from malformed import Sent, bodies, frames

COMMAND = "import sys; from unrolled.cli.app import main; sys.exit(main())"
#: seconds after which an answer counts as a hang
HANG = 30


def loosened() -> None:
    """Make the standard library's client send malformed requests."""
    http.client.HTTPConnection._validate_path = lambda *_: None  # type: ignore[attr-defined]
    http.client._is_illegal_header_value = lambda _: None  # type: ignore[attr-defined]
    http.client.HTTPConnection._encode_request = lambda _, request: request.encode("latin-1")  # type: ignore[attr-defined]


def status_of(port: int, sent: Sent) -> str:
    """Return the status, or what happened instead."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG)
    try:
        connection.putrequest(sent.method, sent.path, skip_accept_encoding=True)
        for name, value in sent.headers.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(sent.body)))
        connection.endheaders(sent.body)
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except TimeoutError:
        return "hang"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


async def talked(port: int, model: str, count: int, seed: int) -> Counter[str]:
    """Return the outcomes of malformed messages, a hundred on each connection."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    tally: Counter[str] = Counter()
    waiting = list(frames(count, seed))
    while waiting:
        some, waiting = waiting[:100], waiting[100:]
        try:
            address = f"ws://127.0.0.1:{port}/v1/models/{model}/stream"
            async with connect(address, compression=None, proxy=None) as socket:
                for frame in some:
                    await socket.send(frame)
                    answer = json.loads(await asyncio.wait_for(socket.recv(), HANG))
                    tally[str(answer["error"]["status"]) if "error" in answer else "200"] += 1
        except asyncio.TimeoutError:
            tally["hang"] += 1
        except ConnectionClosed:
            tally["closed"] += 1
    return tally


def held(pid: int) -> int:
    """Return the resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--generate", type=Path, required=True, help="folder of a `generate` model")
    parser.add_argument("--classify", type=Path, required=True, help="folder of a `classify` model")
    parser.add_argument("--bodies", type=int, default=7_000)
    parser.add_argument("--frames", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "server-fuzz.json")
    given = parser.parse_args()
    loosened()
    served = [f"mail={given.generate}", f"feeling={given.classify}"]
    log = given.out.with_suffix(".log")
    with log.open("w") as errors:
        server = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", *served, "--port", "0", "--log-format", "json"],
            stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    assert server.stdout is not None
    address = re.search(r":(\d+)", server.stdout.readline().partition("//")[2])
    if address is None:
        raise SystemExit(f"the server did not start; see {log}")
    port, models = int(address[1]), {"mail": "generate", "feeling": "classify"}
    requests: Counter[str] = Counter()
    memory: list[int] = []
    begun = time.monotonic()
    try:
        for number, sent in enumerate(bodies(given.bodies, given.seed, models)):
            if number % max(1, given.bodies // 10) == 0:
                memory.append(held(server.pid))
            requests[status_of(port, sent)] += 1
        messages: Counter[str] = Counter()
        for part in range(10):
            memory.append(held(server.pid))
            messages += asyncio.run(talked(port, "mail", given.frames // 10, given.seed + part))
        memory.append(held(server.pid))
        seconds = time.monotonic() - begun
    finally:
        server.terminate()
        status = server.wait(60)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    defects = [line for line in lines if line["level"] == "error"]
    result: dict[str, Any] = {
        **provenance(),
        "bodies": given.bodies,
        "frames": given.frames,
        "seed": given.seed,
        "seconds": round(seconds, 1),
        "statuses_of_bodies": dict(sorted(requests.items())),
        "statuses_of_frames": dict(sorted(messages.items())),
        "errors_in_the_log": len(defects),
        "resident_bytes": memory,
        "exit_status": status,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if not defects:
        log.unlink()
    counted = requests + messages
    # 503 answers requests for more streams than are allowed
    bad = [kind for kind in counted if kind in ("hang", "closed") or (kind.startswith("5") and kind != "503")]
    return int(bool(bad or defects or status))


if __name__ == "__main__":
    sys.exit(main())
