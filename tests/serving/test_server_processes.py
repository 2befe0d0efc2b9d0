"""`unrolled serve` as a process, or several: what the document says is run as it stands, and stops lose nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Process, process
from typer.testing import CliRunner

from unrolled.serving.client import Client, ServerError
from unrolled.tasks import Model

DOCUMENT = Path(__file__).parents[2] / "docs" / "server.md"


def test_what_is_refused_at_the_start(models: dict[str, Path], tmp_path: Path) -> None:
    from unrolled.cli.app import app

    def refused(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["serve", *arguments])
        assert result.exit_code != 0
        return " ".join((result.output + str(result.exception or "")).split())

    assert "--token-file" in refused(str(models["mail"]), "--host", "0.0.0.0")
    assert "--token-file" in refused(str(models["mail"]), "--host", "192.0.2.1")
    short = tmp_path / "short"
    short.write_text("secret")
    for option in ("--token-file", "--state-key-file"):
        assert "expected at least 16 printable ASCII characters" in refused("--port", "0", option, str(short))
        assert "missing" in refused("--port", "0", option, str(tmp_path / "missing"))
    assert "gone" in refused("--port", "0", str(tmp_path / "gone"))
    assert "there is a model 'a' already; name it, as in other=" in refused(
        "--port", "0", f"a={models['mail']}", f"a={models['both']}"
    )
    assert "--device: 'meat' can't be used here: " in refused("--port", "0", "--device", "meat", str(models["mail"]))
    assert "expected letters, digits" in refused("--port", "0", f"a/b={models['mail']}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"--port {port}: can't listen on 127.0.0.1" in refused("--port", port, str(models["mail"]))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key for states, which two servers share."""
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text("a-key-of-more-than-sixteen-characters\n")
    return path


#: what a server said of a stream before it stopped, for the next one
farewells: list[tuple[str, Any]] = []


def test_the_document_as_it_stands(models: dict[str, Path], mail: Model, key: Path) -> None:
    text = DOCUMENT.read_text("utf-8").replace("http://127.0.0.1:8000", "ADDRESS")
    commands = [c.replace("\\\n", " ") for c in re.findall(r"^    (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)]
    assert len(commands) >= 3
    # the picture is one that only the reader has, and the run is one that only the reader trains
    commands = [command for command in commands if "@" not in command and "/training/" not in command]
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    served = [f"mail={models['mail']}", f"my-mail={models['mail']}"]
    served += [f"{name}={models['feeling']}" for name in ("ner", "sentiment")]
    with process(*served, "--log-format", "json", "--state-key-file", str(key), "--drain", "1") as server:
        for command in commands:
            done = subprocess.run(
                command.replace("ADDRESS", server.address), shell=True, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0
            if "text/event-stream" in command:
                assert done.stdout.startswith("event: piece\ndata: {")
                assert "event: done\ndata: {" in done.stdout
            else:
                assert "detail" not in json.loads(done.stdout)
        stream = Client(server.address).stream("my-mail")
        found = stream.push(text="Thank you for yo")
        assert found["suggestions"][0]["text"] == mail.stream().push("Thank you for yo").suggest()[0].text
        stops_and_loses_nothing(server)
        with pytest.raises(ServerError, match="the stream has ended"):
            stream.push(text="")
        stream.close()
    assert stream.farewell is not None
    farewells.append((stream.farewell, found))
    happened = [json.loads(line) for line in server.log]
    known = [one for one in happened if one["event"] == "request" and one["route"] != "/v1/models/mail/predict"]
    assert [one["status"] for one in known] == [200] * len(commands)


async def asking(address: str, seconds: float, tally: Counter[str]) -> None:
    """A client that asks again and again, on a new connection each time, and counts what becomes of it.

    It goes elsewhere when an answer says that the connection closes, as load balancers do, or when nobody listens.
    """
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps({"inputs": ["Thank you for yo"], "options": {"n": 1}})
    head = "POST /v1/models/mail/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    ask = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            tally["not accepted"] += 1
            return
        try:
            writer.write(ask)
            head = await reader.readuntil(b"\r\n\r\n")
            tally[head.split()[1].decode()] += 1
            if b"connection: close" in head.lower():
                tally["told"] += 1
                return
        except (OSError, asyncio.IncompleteReadError):
            tally["lost"] += 1
        finally:
            writer.close()


def stops_and_loses_nothing(server: Process) -> None:
    """Stop a server while many ask it."""
    tally: Counter[str] = Counter()

    async def run() -> None:
        clients = [asyncio.ensure_future(asking(server.address, 20, tally)) for _ in range(8)]
        await asyncio.sleep(0.7)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*clients)

    asyncio.run(run())
    assert server.stop() == 0
    assert tally["lost"] == 0
    assert tally["200"] > 8
    assert tally["told"] == 8
    assert set(tally) <= {"200", "told", "lost"}
    assert not [line for line in server.log if "Traceback" in line or "defect" in line]


def test_several_processes(models: dict[str, Path], key: Path) -> None:
    served = [f"mail={models['mail']}", "--state-key-file", str(key), "--drain", "1"]
    with process(*served, "--workers", "2") as server:
        client = Client(server.address)
        for token, found in farewells:
            with client.stream("mail", token) as stream:
                assert stream.push(text="") == found

        def ask(method: str, path: str, **given: Any) -> httpx.Response:
            # each on a connection of its own, so that either process may have it
            return httpx.request(method, server.address + path, trust_env=False, timeout=20, **given)

        assert ask("GET", "/readyz").json()["workers"] == 2
        refused = ask("POST", "/v1/models/mail/streams", json={})
        assert refused.status_code == 409
        assert "need a single process; use /step" in refused.json()["detail"]
        # a state goes from one process to the other and back
        state: str | None = None
        for piece in "Thank you for yo":
            body = {"push": {"text": piece}} | ({} if state is None else {"state": state})
            found = ask("POST", "/v1/models/mail/step", json=body).json()
            state = found["state"]
        with client.stream("mail") as stream:
            assert stream.push(text="Thank you for yo") == found["result"]

        def children() -> list[int]:
            task = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
            lines = [(int(pid), Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in task.read_text().split()]
            return [pid for pid, line in lines if b"spawn_main" in line]

        if not Path("/proc/self/task").exists():
            return
        first = children()
        assert len(first) == 2
        asked = sum(1 for _ in range(20) if ask("GET", "/healthz").status_code == 200)
        pattern = r'unrolled_requests_total\{method="GET",route="/healthz",status="200"\} (\S+)'
        for _ in range(3):
            # of both, whoever is asked
            [counted] = re.findall(pattern, ask("GET", "/metrics").text)
            assert float(counted) == asked
        os.kill(first[0], signal.SIGKILL)
        deadline = time.monotonic() + 40
        while (set(children()) == set(first) or len(children()) < 2) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert first[1] in children()
        assert len(set(children()) - set(first)) == 1
        assert ask("GET", "/healthz").status_code == 200
        [counted] = re.findall(pattern, ask("GET", "/metrics").text)
        assert float(counted) >= asked
        everybody = children()
        stops_and_loses_nothing(server)
        assert [line for line in server.log if "another takes its place" in line]
        assert not [pid for pid in everybody if alive(Path(f"/proc/{pid}"))]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_ctrl_c_ends_at_once(models: dict[str, Path], workers: str) -> None:
    with process(f"mail={models['mail']}", "--workers", workers, "--drain", "0") as server:
        # a request that takes its time, and a stream
        with socket.create_connection(("127.0.0.1", server.port)) as slow, Client(server.address).stream("mail"):
            slow.sendall(b"POST /v1/models/mail/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            time.sleep(0.3)
            server.process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(1.5)
            begun = time.monotonic()
            assert server.stop(signal.SIGINT) == 130
            assert time.monotonic() - begun < 5
        log = "".join(server.log)
        assert "unrolled: stopped at once; what was being answered is lost" in log
        assert "Traceback" not in log


def test_a_stop_that_takes_too_long_gives_up(models: dict[str, Path]) -> None:
    with process(f"mail={models['mail']}", "--grace", "1", "--drain", "0") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST /v1/models/mail/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            time.sleep(0.3)
            assert server.stop(signal.SIGINT) == 0
            assert b" 503 " in slow.recv(65536)
        assert "Traceback" not in "".join(server.log)


FOLLOWED = """
import multiprocessing, threading, time
from unrolled.serving.http.workers import _end_with

def child():
    sentinel = multiprocessing.parent_process().sentinel
    threading.Thread(target=_end_with, args=(sentinel,), daemon=True).start()
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    print(process.pid, flush=True)
    time.sleep(60)
"""


def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc here to see processes by")
    script = tmp_path / "followed.py"
    script.write_text(FOLLOWED)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists()
        parent.kill()
        deadline = time.monotonic() + 20
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(child)


def alive(process: Path) -> bool:
    """Whether a process of /proc runs; one that nobody has asked after any more may still be listed."""
    try:
        return ") Z " not in (process / "stat").read_text()
    except OSError:
        return False
