"""Routes: what there is, predictions, writing, and what can't be done."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Running, events, problem, running

import unrolled
from unrolled.decoding import SamplingOptions
from unrolled.errors import ArgumentError
from unrolled.serving.client import ServerError
from unrolled.tasks import Model

TEXTS = ["Thank you for yo", "", "I will se", "The café ", "x" * 300, "Where is the\n"]


def test_what_there_is(server: Running, mail: Model) -> None:
    found = {model["name"]: model for model in server.client.models()}
    assert list(found) == ["mail", "feeling", "both"]
    assert found["mail"]["task"] == "generate"
    assert found["mail"]["writes"]
    assert found["mail"]["streams"]
    assert found["mail"]["parameters"] == mail.parameters
    assert not found["feeling"]["writes"]
    assert found["feeling"]["streams"]
    assert found["feeling"]["no_streams"] is None
    assert not found["both"]["streams"]
    assert "bidirectional" in found["both"]["no_streams"]
    one = server.ask("GET", "/v1/models/mail").json()
    assert one.pop("card").startswith("# ")
    assert one == found["mail"]
    gone = problem(server.ask("GET", "/v1/models/nobody"), 404)
    assert gone["detail"] == "no model of the name 'nobody'; there are mail, feeling, both"


def test_health(server: Running) -> None:
    assert server.ask("GET", "/healthz").json() == {"status": "alive"}
    assert server.ask("GET", "/readyz").json() == {"status": "ready", "models": 3, "workers": 1}


def test_predictions_are_the_librarys(server: Running, mail: Model, feeling: Model) -> None:
    for name, model, options in (("mail", mail, {"n": 2}), ("feeling", feeling, {"words": True})):
        found = server.client.predict(name, TEXTS, **options)
        # word by word one at a time, as the command does
        wanted = [p.as_json() for text in TEXTS for p in model.predictions([text], **options)]
        assert found == json.loads(json.dumps(wanted))


def test_a_prediction_does_not_depend_on_what_is_beside_it(server: Running) -> None:
    texts = [("Please let me know the film was great and long" * 2)[: 3 * n] for n in range(31)]
    for name in ("mail", "feeling", "both"):
        with ThreadPoolExecutor(len(texts)) as pool:
            beside = list(pool.map(lambda text, name=name: server.client.predict(name, text), texts))
        for n in range(0, len(texts), 5):
            assert server.client.predict(name, texts[n]) == beside[n]


def test_half_a_surrogate_pair_is_read_as_a_replacement_character(server: Running) -> None:
    sent = server.ask(
        "POST", "/v1/models/mail/predict", headers={"Content-Type": "application/json"},
        content=b'{"inputs": ["a\\ud83d", "\\ud83d\\ude00 \\udc00"]}',
    )  # fmt: skip
    assert [one["typed"] for one in sent.json()["predictions"]] == ["a\ufffd", "\U0001f600 \ufffd"]


def test_an_input_as_it_is(server: Running) -> None:
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    sent = server.ask("POST", "/v1/models/mail/predict?n=1", headers=plain, content="The café".encode())
    assert sent.json()["predictions"] == [server.client.predict("mail", "The café", n=1)]
    wrong = server.ask("POST", "/v1/models/mail/predict?n=no", headers=plain, content=b"x")
    assert problem(wrong, 422)["errors"][0]["place"] == "n"
    cut = server.ask("POST", "/v1/models/mail/predict", headers=plain, content=b"caf\xc3")
    assert problem(cut, 422)["detail"] == "input: byte 3 is not UTF-8"


def test_bytes_in_a_list_are_told_apart_by_how_they_begin(server: Running) -> None:
    with pytest.raises(ArgumentError, match=r"UTF-8 \(see byte 1\) nor an image, sound or clip"):
        server.client.predict("mail", [b"x\xff\x00"])


def test_writing_is_the_librarys(server: Running, mail: Model) -> None:
    body = {"prompt": "Thank ", "max_tokens": 60, "temperature": 0.7, "seed": 5, "stop": ["Monday"]}
    session = mail.stream().push("Thank ")
    wanted = "".join(session.generate(60, options=SamplingOptions(temperature=0.7), seed=5, stop=("Monday",)))
    whole = server.ask("POST", "/v1/models/mail/write", json=body)
    assert whole.json() == {"prompt": "Thank ", "text": wanted, "seed": 5}
    streamed = server.ask("POST", "/v1/models/mail/write", json=body, headers={"Accept": "text/event-stream"})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *pieces, (last, done) = events(streamed.text)
    assert {name for name, _ in pieces} == {"piece"}
    assert len(pieces) > 1
    assert "".join(data["text"] for _, data in pieces) == wanted
    assert (last, done) == ("done", whole.json())
    assert "".join(server.client.write("mail", **body)) == wanted


def test_writing_refused(server: Running) -> None:
    found = problem(server.ask("POST", "/v1/models/mail/write", json={"prompt": "x", "temperature": -1}), 422)
    assert found["errors"] == [{"place": "temperature", "message": "Input should be greater than or equal to 0"}]
    with pytest.raises(ServerError, match="characters") as caught:
        list(server.client.write("mail", "x" * 30_000))
    assert caught.value.status == 413
    assert (
        "nothing is at this address" in problem(server.ask("POST", "/v1/models/feeling/write", json={}), 404)["detail"]
    )


@pytest.mark.parametrize(
    ("body", "status", "place", "detail"),
    [
        (b"", 400, None, "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", 400, None, "the body is not JSON: EOF while parsing an object at line 1 column 1"),
        (b'{"inputs": ["\\ud800"', 400, None, "the body is not JSON: "),
        (b"\xff\xfe{}", 400, None, "the body is not JSON: "),
        (b"[" * 100_000, 400, None, "the body is not JSON: recursion limit exceeded"),
        (b'{"inputs": [' + b"[" * 50 + b"]" * 50 + b"]}", 422, "inputs/0", "inputs/0: Input should be a valid string"),
        (b"[]", 422, "", "body: Input should be an object"),
        (b"{}", 422, "inputs", "inputs: Field required"),
        (b'{"inputs": []}', 422, "inputs", "inputs: List should have at least 1 item"),
        (b'{"inputs": "x"}', 422, "inputs", "inputs: Input should be a valid array"),
        (b'{"inputs": ["x"], "more": 1}', 422, "more", "more: Extra inputs are not permitted"),
        (b'{"inputs": ["x"], "options": {"n": 0}}', 422, "options/n", "options/n: Input should be greater"),
        (b'{"inputs": ["x"], "options": {"n": 1e999}}', 422, "options/n", "options/n: "),
        (b'{"inputs": ["x"], "options": {"prompt_file": "/etc/passwd"}}', 422, "options/prompt_file", "options/prompt"),
        (json.dumps({"inputs": ["x"] * 65}).encode(), 422, "inputs", "inputs: List should have at most 64 items"),
        (json.dumps({"inputs": ["x" * 20_001]}).encode(), 413, None, "input: 20,001 characters, and at most 20,000"),
    ],
)  # fmt: skip
def test_bodies_that_do_not_fit(server: Running, body: bytes, status: int, place: str | None, detail: str) -> None:
    sent = server.ask("POST", "/v1/models/mail/predict", content=body, headers={"Content-Type": "application/json"})
    found = problem(sent, status)
    assert found["detail"].startswith(detail)
    assert (found["errors"][0]["place"] if place is not None else found.get("errors")) == place


def test_content_types(server: Running) -> None:
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "image/png"}):
        found = problem(server.ask("POST", "/v1/models/mail/predict", content=b"x", headers=headers), 415)
        assert found["detail"] == "Content-Type: expected application/json, text/plain"
    for address in ("streams", "step", "write"):
        sent = server.ask("POST", f"/v1/models/mail/{address}", content=b"{}", headers={"Content-Type": "text/plain"})
        assert problem(sent, 415)["detail"] == "Content-Type: expected application/json"


def test_addresses_and_methods(server: Running) -> None:
    here = "models here: mail, feeling, both"
    for path, detail in (
        ("/v1/models/no/predict", f"no model of the name 'no'; {here}"),
        ("/v1/models/mail/guess", "nothing is at this address for a model of the task 'generate'; see /openapi.json"),
        ("/v2/models/mail/predict", f"nothing is at this address; see /openapi.json ({here})"),
    ):
        assert problem(server.ask("POST", path), 404)["detail"] == detail
    found = server.ask("PUT", "/v1/models/mail/predict")
    assert problem(found, 405)["detail"] == "PUT is not answered here; expected POST"
    assert found.headers["allow"] == "POST"
    problem(server.ask("OPTIONS", "/v1/models"), 405)


def test_no_path_reaches_the_file_system(server: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    for path in (
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%2e%2e%2f%2e%2e%2f__init__.py",
        f"/static/{secret}", f"/static//{secret}", "/static/%00", "/static/" + "a" * 5000, "/static/", "/static",
        "/v1/models/%2e%2e%2fmail", f"/v1/models/{secret}", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    ):  # fmt: skip
        # httpx would tidy the path up
        url = httpx.URL(server.address).copy_with(raw_path=path.encode())
        with server.http(follow_redirects=False) as client:
            found = client.request("GET", url)
        assert found.status_code in (400, 404, 307), (path, found.status_code)
        assert "secret" not in found.text
        assert "import" not in found.text
        assert "root:" not in found.text
    for given in (str(secret), f"file://{secret}", "../../etc/passwd", "@" + str(secret)):
        answer = server.client.predict("feeling", given)
        assert answer["text"] == given


def test_every_answer_has_the_headers(server: Running) -> None:
    seen = set()
    for path in ("/", "/healthz", "/v1/models", "/nothing", "/static/app.js"):
        headers = server.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
        seen.add(headers["x-request-id"])
    assert len(seen) == 5


def test_the_document(server: Running) -> None:
    document = server.ask("GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == unrolled.__version__
    for one in ("mail", "feeling", "both"):
        assert f"/v1/models/{one}/predict" in document["paths"]
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    errors = [
        (operation["operationId"], status, list(answer.get("content", {})))
        for path in document["paths"].values()
        for operation in path.values()
        for status, answer in operation["responses"].items()
        if status >= "400" and operation["operationId"] != "readyz"
    ]
    assert [one for one in errors if one[2] != ["application/problem+json"]] == []
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        here: Any = document
        for part in reference.split("/"):
            here = here[part]
    try:
        from openapi_spec_validator import validate
    except ImportError:
        return
    validate(document)


def test_examples_are_accepted(server: Running) -> None:
    document = server.ask("GET", "/openapi.json").json()
    sent = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            if example is None:
                continue
            address = path
            if "{stream}" in path:
                begun = server.ask("POST", path.split("/{stream}")[0]).json()
                address = path.replace("{stream}", begun["stream"])
            answer = server.ask(method.upper(), address, json=example)
            assert answer.status_code in (200, 201), (path, answer.text)
            sent += 1
    assert sent >= 8


def test_metrics(models: dict[str, Path]) -> None:
    with running(models) as server:
        server.client.predict("mail", "x")
        for stream in ("abc", "mail", "models"):
            server.ask("GET", f"/v1/models/mail/streams/{stream}/state")
        server.ask("GET", "/v1/models/nobody")
        server.ask("GET", "/wp-login.php")
        server.ask("BREW", "/healthz")
        server.ask("GET", "/static/app.js")
        with server.client.stream("mail") as stream:
            stream.push(text="Thank ")
            assert server.counted("unrolled_streams") == 1
        found = server.ask("GET", "/metrics")
        assert found.headers["content-type"].startswith("text/plain; version=")
        routes = {line.split('route="')[1].split('"')[0] for line in found.text.splitlines() if 'route="' in line}
        assert routes == {
            "/v1/models/mail/predict", "/v1/models/mail/streams/{stream}/state", "/v1/models/{name}", "unknown",
            "/healthz", "/static", "/metrics",
        }  # fmt: skip
        assert server.counted("unrolled_requests_total", route="/v1/models/mail/predict", status="200") == 1
        assert server.counted("unrolled_requests_total", status="404") == 5
        assert server.counted("unrolled_requests_total", method="other", status="405") == 1
        assert server.counted("unrolled_pushes_total", model="mail", outcome="ok") == 1
        assert server.counted("unrolled_batch_size_count", model="mail", kind="push") == 1
        assert server.counted("unrolled_push_seconds_count", model="mail") == 1
