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
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import process
from typer.testing import CliRunner

from unrolled.serving.client import Client
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
    assert "give another name" in refused("--port", "0", f"a={models['mail']}", f"a={models['both']}")
    assert "expected letters, digits" in refused("--port", "0", f"a/b={models['mail']}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"--port {port}: can't listen on 127.0.0.1" in refused("--port", port, str(models["mail"]))


def test_the_document_as_it_stands(models: dict[str, Path], mail: Model) -> None:
    text = DOCUMENT.read_text("utf-8").replace("http://127.0.0.1:8000", "ADDRESS")
    commands = [c.replace("\\\n", " ") for c in re.findall(r"^    (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)]
    assert len(commands) >= 3
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    served = [f"my-mail={models['mail']}", f"ner={models['feeling']}"]
    with process(*served, "--log-format", "json") as server:
        for command in commands:
            if "@" in command:
                # a picture that only the reader has
                continue
            done = subprocess.run(
                command.replace("ADDRESS", server.address), shell=True, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0
            if "text/event-stream" in command:
                assert done.stdout.startswith("event: piece\ndata: {")
                assert "event: done\ndata: {" in done.stdout
            else:
                assert "detail" not in json.loads(done.stdout)
        client = Client(server.address)
        stream = client.stream("my-mail")
        found = stream.push(text="Thank you for yo")
        assert found["suggestions"][0]["text"] == mail.stream().push("Thank you for yo").suggest()[0].text
        for message in re.findall(r'^    (\{"id": .*?\})  ', text, re.MULTILINE):
            json.loads(message)
        stream.close()
        assert server.stop() == 0
    happened = [json.loads(line) for line in server.log]
    assert [h["status"] for h in happened if h["event"] == "request"] == [200] * (len(commands) - 1)


async def asking(address: str, seconds: float, tally: Counter[str], stop: asyncio.Event) -> None:
    """A client that asks again and again, on a new connection each time, and counts what becomes of it."""
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
            if stop.is_set():
                return
            await asyncio.sleep(0.05)
            continue
        try:
            writer.write(ask)
            found = await reader.readuntil(b"\r\n")
            tally[found.split()[1].decode()] += 1
        except (OSError, asyncio.IncompleteReadError):
            tally["lost"] += 1
        finally:
            writer.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_under_load_loses_nothing(models: dict[str, Path], workers: int) -> None:
    with process(f"mail={models['mail']}", "--workers", str(workers)) as server:
        tally: Counter[str] = Counter()

        async def run() -> None:
            stop = asyncio.Event()
            clients = [asyncio.ensure_future(asking(server.address, 20, tally, stop)) for _ in range(8)]
            await asyncio.sleep(1.5)
            server.process.send_signal(signal.SIGTERM)
            stop.set()
            await asyncio.gather(*clients)

        asyncio.run(run())
        assert server.stop() == 0
        assert tally["lost"] == 0
        assert tally["200"] > 8
        assert set(tally) <= {"200", "not accepted", "lost"}
        assert not [line for line in server.log if "Traceback" in line or "error" in line]


def test_a_token_outlives_its_server(models: dict[str, Path], tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a key of more than sixteen characters".replace(" ", "-"))
    served = [f"mail={models['mail']}", "--state-key-file", str(key)]
    with process(*served) as server:
        stream = Client(server.address).stream("mail")
        stream.push(text="Thank you ")
        wanted = stream.push(text="for ")
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(Exception, match="the stream has ended"):
            while True:
                stream._answer(-1)
        assert server.stop() == 0
    assert stream.farewell is not None
    with process(*served) as server, Client(server.address).stream("mail", stream.farewell) as again:
        assert again.push(text="") == wanted


def test_several_processes(models: dict[str, Path]) -> None:
    with process(f"mail={models['mail']}", "--workers", "2") as server:
        client = Client(server.address)
        assert server.address in client.address

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
        assert server.stop() == 0
        assert [line for line in server.log if "another takes its place" in line]
        assert not [pid for pid in everybody if Path(f"/proc/{pid}").exists()]


def test_children_do_not_outlive_their_parent(models: dict[str, Path]) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc here to see processes by")
    with process(f"mail={models['mail']}", "--workers", "1") as server:
        assert server.process.poll() is None
    with process(f"mail={models['mail']}", "--workers", "2") as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert len(children) >= 2
        server.process.kill()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
