"""Streams over plain requests, and states that go with the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers import Running, counted, problem, running

from unrolled.errors import ArgumentError, StateError
from unrolled.serving import Limits
from unrolled.serving.security import StateSigner
from unrolled.tasks import Model


def begin(server: Running, name: str = "mail", **body: Any) -> str:
    response = server.ask("POST", f"/v1/models/{name}/streams", json=body)
    assert response.status_code == 201
    assert response.headers["location"].endswith(response.json()["stream"])
    assert response.json()["expires_in"] == server.limits.stream_idle
    return f"/v1/models/{name}/streams/{response.json()['stream']}"


def push(server: Running, stream: str, **body: Any) -> dict[str, Any]:
    response = server.ask("POST", stream, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def suggested(model: Model, text: str, **options: Any) -> list[dict[str, Any]]:
    found = model.stream().push(text).suggest(**options)
    return [{"text": s.text, "log_prob": s.log_prob, "score": s.score, "words": s.words} for s in found]


def test_pushes_are_the_librarys(server: Running, mail: Model) -> None:
    stream = begin(server)
    text = ""
    for piece in ("T", "hank you ", "for yo", "", "ur"):
        text += piece
        found = push(server, stream, text=piece)
        assert found["suggestions"] == suggested(mail, text)
        assert found["length"] == len(text)
        best = mail.stream().push(text).suggestion(found["threshold"])
        assert (found["shown"] or {}).get("text") == (best and best.text)
    found = push(server, stream, rewrite="I will se", n=1, max_words=2)
    assert found["suggestions"] == suggested(mail, "I will se", n=1, max_words=2)
    assert push(server, stream, text="x", suggest=False)["suggestions"] == []
    assert server.ask("DELETE", stream).status_code == 204


def test_a_life(server: Running, mail: Model) -> None:
    stream = begin(server)
    push(server, stream, text="Please let ")
    forked = server.ask("POST", f"{stream}/fork")
    assert forked.status_code == 201
    twin = f"/v1/models/mail/streams/{forked.json()['stream']}"
    push(server, twin, text="me know if ")
    saved = server.ask("GET", f"{twin}/state").json()["state"]
    assert push(server, stream, text="me")["suggestions"] == suggested(mail, "Please let me")
    again = begin(server, state=saved)
    assert push(server, again, text="yo")["suggestions"] == suggested(mail, "Please let me know if yo")
    assert push(server, again, rewrite="Please let m")["suggestions"] == suggested(mail, "Please let m")
    for one in (stream, twin, again):
        assert server.ask("DELETE", one).status_code == 204
        for method, address in (("POST", one), ("GET", f"{one}/state"), ("POST", f"{one}/fork"), ("DELETE", one)):
            found = problem(server.ask(method, address, **({"json": {"text": ""}} if address == one else {})), 410)
            assert found["detail"] == "this stream has ended; begin a new one, or restore a state"


def test_streams_learn_each_for_itself(models: dict[str, Path], mail: Model) -> None:
    learning = mail.asked(adapt="both")
    with running(models, adapt="both") as server:
        first, second = begin(server), begin(server)
        text = "Zweig Vlad is at home. Zweig Vl"
        pieces = (text[:20], text[20:])
        found = [push(server, first, text=piece)["suggestions"] for piece in pieces][-1]
        assert found == approx(suggested(learning, text))
        assert found != approx(suggested(mail, text))
        # the other has learned nothing of it, and a restored one has
        assert push(server, second, text="Zweig Vl")["suggestions"] == approx(suggested(learning, "Zweig Vl"))
        again = begin(server, state=server.ask("GET", f"{first}/state").json()["state"])
        assert push(server, again, text="a")["suggestions"] == approx(suggested(learning, text + "a"))
        # a task without text that could be learned from is as it was
        assert push(server, begin(server, "feeling"), text="the film was great")["prediction"]
    with pytest.raises(ArgumentError, match="--adapt: no model here has streams that learn"):
        Running({"feeling": models["feeling"]}, adapt="both")


def approx(suggestions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return suggestions with numbers that are compared as pushes in other pieces round them."""
    return [{k: pytest.approx(v, abs=1e-4) if isinstance(v, float) else v for k, v in s.items()} for s in suggestions]


def test_streams_that_are_not(server: Running) -> None:
    assert problem(server.ask("GET", "/v1/models/mail/streams/none/state"), 404)["detail"] == "mail: no such stream"
    stream = begin(server)
    elsewhere = stream.replace("/mail/", "/feeling/")
    problem(server.ask("POST", elsewhere, json={"text": "x"}), 404)
    refused = problem(server.ask("POST", "/v1/models/both/streams", json={}), 409)
    assert refused["detail"].startswith("both: ")
    assert "bidirectional" in refused["detail"]
    server.ask("DELETE", stream)


def test_pushes_that_do_not_fit(server: Running, mail: Model) -> None:
    stream = begin(server)
    push(server, stream, text="Thank ")
    for body, status in (
        ({}, 422), ({"text": "a", "rewrite": "b"}, 422), ({"text": 1}, 422), ({"text": "a", "n": 11}, 422),
        ({"text": "a", "threshold": 1}, 422), ({"text": "x" * 20_001}, 413), ({"text": "a", "more": 1}, 422),
    ):  # fmt: skip
        problem(server.ask("POST", stream, json=body), status)
    # none of it has been read
    assert push(server, stream, text="you")["suggestions"] == suggested(mail, "Thank you")
    server.ask("DELETE", stream)


def test_a_step_equals_a_stream(server: Running) -> None:
    for name, pieces in (("mail", ["Thank ", "you f", "or"]), ("feeling", ["the film ", "was gre", "at"])):
        stream, state = begin(server, name), None
        for piece in pieces:
            body = {"push": {"text": piece}} | ({} if state is None else {"state": state})
            stepped = server.ask("POST", f"/v1/models/{name}/step", json=body).json()
            assert stepped["result"] == push(server, stream, text=piece)
            state = stepped["state"]
        # the same token twice goes on from the same place twice
        body = {"push": {"rewrite": pieces[0]}, "state": state}
        first, second = (server.ask("POST", f"/v1/models/{name}/step", json=body).json() for _ in range(2))
        assert first["result"] == second["result"]
        server.ask("DELETE", stream)
    problem(server.ask("POST", "/v1/models/both/step", json={"push": {"text": "x"}}), 404)


def test_classify_says_what_the_library_says(server: Running, feeling: Model) -> None:
    stream, session = begin(server, "feeling"), feeling.stream()
    words = [w.as_json() for w in session.push("the film was gre")]
    ended = session.fork()
    words += [w.as_json() for w in ended.finish()]
    found = push(server, stream, text="the film was gre")
    assert found["words"] == json.loads(json.dumps(words))
    assert found["since"] == 0
    assert found["length"] == 16
    assert found["prediction"]["probabilities"] == ended.prediction().as_json()["probabilities"]
    server.ask("DELETE", stream)


def test_tokens_are_signed(server: Running) -> None:
    state = server.ask("POST", "/v1/models/mail/step", json={"push": {"text": "Thank "}}).json()["state"]
    other = StateSigner(b"another key of 16 bytes").token(b"anything")
    changed = state[:60] + ("A" if state[60] != "A" else "B") + state[61:]
    for token in ("", "x", ".", "u1.é", "%%%%", state[:-4], changed, other, "A" * 10**6):
        for address, body in (("step", {"push": {"text": ""}, "state": token}), ("streams", {"state": token})):
            found = problem(server.ask("POST", f"/v1/models/mail/{address}", json=body), 422)
            assert "did not sign it" in found["detail"]
    # of the same key, but of another model
    found = problem(server.ask("POST", "/v1/models/feeling/step", json={"push": {"text": ""}, "state": state}), 422)
    assert "state" in found["detail"]


def test_a_signer() -> None:
    signer = StateSigner(b"a key of 16 bytes")
    data = bytes(range(256)) * 50
    token = signer.token(data)
    assert signer.state(token, len(data)) == data
    assert len(token) < len(data)
    assert StateSigner(b"a key of 16 bytes").state(token, 10**6) == data
    with pytest.raises(StateError, match="larger than 12,799 bytes"):
        signer.state(token, len(data) - 1)
    bomb = signer.token(bytes(10**7))
    assert len(bomb) < 10**5
    with pytest.raises(StateError, match="larger than 1,000 bytes"):
        signer.state(bomb, 1_000)
    with pytest.raises(StateError, match="did not sign"):
        StateSigner().state(token, 10**6)


def test_their_number_and_size_are_bounded(models: dict[str, Path]) -> None:
    limits = Limits(streams=3, stream_bytes=60_000, forks=2, grace=2, drain=0.05)
    with running({"mail": models["mail"]}, limits=limits) as server:
        first, second = begin(server), begin(server)
        forked = server.ask("POST", f"{first}/fork")
        assert forked.status_code == 201
        for address in ("/v1/models/mail/streams", f"{first}/fork"):
            found = server.ask("POST", address)
            assert problem(found, 503)["detail"] == "3 streams are open already; end one, or try again"
            assert found.headers["retry-after"] == "10"
        with server.client.stream("mail") as socket, pytest.raises(Exception, match="3 streams are open already"):
            socket.push(text="x")
        server.ask("DELETE", f"/v1/models/mail/streams/{forked.json()['stream']}")
        with server.client.stream("mail") as socket:
            socket.push(text="x")
        # a push that makes it too large ends it
        found = problem(server.ask("POST", second, json={"text": "a" * 15_000}), 413)
        assert "and at most 60,000 are kept" in found["detail"]
        assert "cut off" in problem(server.ask("POST", second, json={"text": ""}), 410)["detail"]
        problem(server.ask("POST", f"{second}/fork"), 410)
        problem(server.ask("GET", f"{second}/state"), 410)


def test_they_expire(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.serving import streams

    class Clock:
        ahead = 0.0

        def monotonic(self) -> float:
            return kept.monotonic() + self.ahead

    clock, kept = Clock(), streams.time
    monkeypatch.setattr(streams, "time", clock)
    with running({"mail": models["mail"]}, limits=Limits(stream_idle=100, grace=2, drain=0.05)) as server:
        old, young = begin(server), begin(server)
        clock.ahead = 60
        push(server, young, text="x")
        clock.ahead = 110
        problem(server.ask("POST", old, json={"text": "x"}), 410)
        push(server, young, text="x")
        assert counted(server.ask("GET", "/metrics").text, "unrolled_streams") == 1
        clock.ahead = 500
        problem(server.ask("GET", f"{young}/state"), 410)


def test_idle_ones_go_though_nobody_asks(models: dict[str, Path]) -> None:
    import time

    with running({"mail": models["mail"]}, limits=Limits(stream_idle=0.2, grace=2, drain=0.05)) as server:
        begin(server)
        assert len(server.state.streams) == 1
        deadline = time.monotonic() + 10
        while len(server.state.streams) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(server.state.streams) == 0
