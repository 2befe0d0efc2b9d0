"""Looking inside over HTTP: every task, the arrays of the library, a report in a sandbox, and bounds on all of it."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from servers import Running, problem, running
from tests.inspection.test_every_task import MAKERS

from unrolled.errors import ArgumentError
from unrolled.inspection import integrated_gradients, unfold_network
from unrolled.serving import Limits
from unrolled.serving.inspection import Inspector
from unrolled.serving.inspection_schema import PARTS, InspectionResult, numbers
from unrolled.serving.models import ServedModel, copied
from unrolled.serving.problems import Busy
from unrolled.tasks import Model, task_named, task_names
from unrolled.tasks.uses.translate import Translate

#: units that are sent of each layer, fewer than the models have
UNITS = 6


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(image: np.ndarray[Any, Any]) -> dict[str, str]:
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG")
    return {"image": base64_of(stream.getvalue())}


def columns(path: str) -> dict[str, Any]:
    rows = list(csv.DictReader(Path(path).read_text("utf-8").splitlines()))
    return {"features": [[float(v) for k, v in row.items() if k not in ("seconds", "label")] for row in rows]}


#: how the inputs of the makers look on the wire
SPOKEN: dict[str, Callable[[Any], Any]] = {
    "recognize": png,
    "caption": lambda path: {"image": base64_of(Path(path).read_bytes())},
    "label": columns,
    "transcribe": lambda path: {"sound": base64_of(Path(path).read_bytes())},
    "signal": lambda values: {"features": values.reshape(-1, 1).tolist()},
    "forecast": lambda path: {"table": Path(path).read_text("utf-8")},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Model, Any]]:
    """Every task's tiny model, and an input as the wire has it."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Translate.output, "fitted_on", 2)
        for name, maker in MAKERS.items():
            model, given = maker(tmp_path_factory.mktemp(name))
            found[name] = (model, SPOKEN.get(name, lambda text: text)(given))
    return found


@pytest.fixture(scope="module")
def every(made: dict[str, tuple[Model, Any]]) -> Iterator[Running]:
    """A server of them all."""
    folders = {name: model.folder for name, (model, _) in made.items() if model.folder}
    with running(folders, limits=Limits(grace=2, drain=0.05, inspect_steps=40, max_characters=300)) as server:
        yield server


def inspected(server: Running, name: str, given: Any, **more: Any) -> dict[str, Any]:
    response = server.ask("POST", f"/v1/models/{name}/inspect", json={"input": given, **more}, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("name", task_names())
def test_every_task_can_be_looked_into(name: str, every: Running, made: dict[str, tuple[Model, Any]]) -> None:
    found = InspectionResult.model_validate(inspected(every, name, made[name][1], limit=12, units=UNITS))
    assert (found.model, found.task, found.refused) == (name, name, {})
    assert 1 <= len(found.steps) <= 12
    assert len(found.outputs) == len(found.targets)
    assert found.at == len(found.outputs) - 1
    parts = found.parts
    assert parts.unfolding
    assert parts.gates
    assert parts.gradients
    assert parts.mattered
    assert parts.connectivity
    for layer in parts.unfolding.layers:
        steps = len(layer.steps)
        for values in (*layer.values.values(), *layer.errors.values()):
            assert len(values) == steps
            assert {len(row) for row in values} == {min(UNITS, layer.hidden_size)}
        assert len(layer.norms) == len(layer.error_norms) == steps
        assert all(len(shares) == steps for shares in layer.shares.values())
    assert len(parts.unfolding.losses) == len(parts.unfolding.likeliest) == len(found.outputs)
    assert {gate.layer for gate in parts.gates} <= {layer.name for layer in parts.unfolding.layers}
    assert len(parts.gradients.verdicts) == len(parts.gradients.layers)
    assert [one.method for one in parts.mattered] == ["integrated gradients", "occlusion", "saliency"]
    assert all(len(one.values) == len(found.steps) for one in parts.mattered)
    assert np.shape(parts.connectivity.strength) == (len(found.outputs), len(found.steps))


def test_the_arrays_are_those_of_the_library(every: Running, made: dict[str, tuple[Model, Any]]) -> None:
    model, text = made["classify"]
    answer = inspected(every, "classify", text, parts=["unfolding", "mattered"])
    assert set(answer["parts"]) == {"unfolding", "mattered"}
    probe = model.probe(text)
    unfolded = unfold_network(probe)
    for sent, layer in zip(answer["parts"]["unfolding"]["layers"], unfolded.layers, strict=True):
        assert sent["name"] == layer.name
        np.testing.assert_allclose(sent["values"]["h"], layer.values["h"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(sent["errors"]["h"], layer.errors["h"], rtol=1e-3, atol=1e-7)
        assert sent["gradients"] == pytest.approx(layer.gradients, rel=1e-4)
    # with a sign for each word, and for the label that the model says
    [found] = [one for one in answer["parts"]["mattered"] if one["method"] == "integrated gradients"]
    assert found["steps"] == text.split()
    assert found["target"] == model.predict(text).label
    np.testing.assert_allclose(found["values"], integrated_gradients(probe).values, rtol=1e-3, atol=1e-6)
    assert found["log_prob"] == pytest.approx(float(probe.scores().detach()[-1]), rel=1e-4)


def test_another_step_of_the_output_may_be_asked_about(every: Running) -> None:
    answer = inspected(every, "generate", "not to be", at=2, parts=["mattered"])
    assert answer["at"] == 2
    assert {one["output"] for one in answer["parts"]["mattered"]} == {answer["outputs"][2]}
    # what comes later can't have mattered
    assert all(value == 0 for one in answer["parts"]["mattered"] for value in one["values"][3:])
    assert answer["synced"]
    assert answer["separator"] == ""


def test_a_long_input_is_cut_and_says_so(every: Running) -> None:
    answer = inspected(every, "classify", "the film was long and good", limit=2, parts=["gradients"])
    assert answer["steps"] == ["and", "good"]
    assert "the first 4 words are left out" in answer["note"]


def test_what_is_wrong_is_a_problem(every: Running, made: dict[str, tuple[Model, Any]]) -> None:
    def detail(status: int, name: str, body: Any) -> str:
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {"Content-Type": "application/json"}
        response = every.ask("POST", f"/v1/models/{name}/inspect", headers=headers, **given)
        return str(problem(response, status)["detail"])

    assert "at: the output has 1 steps, found 5" in detail(422, "classify", {"input": "good film", "at": 5})
    assert "limit" in detail(422, "classify", {"input": "good film", "limit": 41})
    assert "parts" in detail(422, "classify", {"input": "good film", "parts": ["neurons"]})
    assert "parts" in detail(422, "classify", {"input": "good film", "parts": []})
    assert "colour" in detail(422, "classify", {"input": "good film", "colour": 1})
    assert "input" in detail(422, "classify", {"input": {"image": "aGVsbG8="}})
    assert "at least one word" in detail(422, "classify", {"input": "  "})
    assert "characters" in detail(413, "classify", {"input": "good " * 100})
    assert "not JSON" in detail(400, "classify", b"{")
    assert "not Base64" in detail(422, "recognize", {"input": {"image": "?"}})
    assert "units" in detail(422, "classify", {"input": "good film", "units": 0})


def test_a_report_is_a_document_in_a_sandbox(every: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    # to draw takes seconds, and is tested where it is done
    monkeypatch.setattr("unrolled.inspection.document.section_html", lambda section: f"<h2>{section.title}</h2>")
    body = {"input": "not <b>to</b> be", "limit": 8}
    headers = {"Accept": "text/html"}
    response = every.ask("POST", "/v1/models/generate/inspect", json=body, headers=headers, timeout=60)
    text = response.text
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(one.strip().split(" ", 1) for one in response.headers["content-security-policy"].split(";"))
    assert policy["sandbox"] == "allow-scripts"
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert text.startswith("<!doctype html>")
    assert "Unfolded over time" in text
    assert "<b>to</b>" not in text


def test_it_stands_in_the_document(every: Running) -> None:
    document = every.ask("GET", "/openapi.json").json()
    operation = document["paths"]["/v1/models/generate/inspect"]["post"]
    asking = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    properties = document["components"]["schemas"][asking]["properties"]
    assert properties["parts"]["items"]["enum"] == list(PARTS)
    assert properties["limit"]["maximum"] == 40
    answer = operation["responses"]["200"]["content"]
    assert set(answer) == {"application/json", "text/html"}
    assert answer["application/json"]["schema"]["$ref"].endswith("/InspectionResult")


@pytest.fixture
def served(made: dict[str, tuple[Model, Any]]) -> Iterator[ServedModel]:
    one = ServedModel("c", made["classify"][0], Limits(grace=2, drain=0.05))
    yield one
    one.close()


def test_the_model_at_work_is_left_alone(served: ServedModel) -> None:
    twin = copied(served.model, requires_grad=True)
    for one, other in zip(served.model.network.parameters(), twin.network.parameters(), strict=True):
        assert other.requires_grad
        assert one.data_ptr() != other.data_ptr()
        torch.testing.assert_close(one, other.detach())
    asked_for = twin.probe("good film")
    with pytest.raises(ArgumentError, match="at: the output has 1 steps"):
        integrated_gradients(asked_for, 3)
    unfold_network(asked_for)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in served.model.network.modules())


def test_more_than_may_wait_are_sent_away_and_a_deadline_ends_it(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, go = threading.Event(), threading.Event()

    def slow(model: Model, given: Any, limit: int) -> Any:
        going.set()
        go.wait(20)
        raise ArgumentError("enough")

    monkeypatch.setattr(Model, "probe", slow)
    inspector = Inspector(Limits(inspections=2, grace=2, drain=0.05))

    def ask(deadline: float) -> Any:
        return inspector.inspect(served, "good", at=-1, limit=4, units=4, parts=PARTS, deadline=deadline)

    async def all_at_once() -> list[Any]:
        late = time.monotonic() + 60
        first = asyncio.ensure_future(ask(late))
        while not going.is_set():
            await asyncio.sleep(0.005)
        second = asyncio.ensure_future(ask(time.monotonic() + 0.05))
        await asyncio.sleep(0)
        [third] = await asyncio.gather(ask(late), return_exceptions=True)
        [second_found] = await asyncio.gather(second, return_exceptions=True)
        go.set()
        [first_found] = await asyncio.gather(first, return_exceptions=True)
        # there is room again
        [fourth] = await asyncio.gather(ask(late), return_exceptions=True)
        return [first_found, second_found, third, fourth]

    first, second, third, fourth = asyncio.run(all_at_once())
    assert isinstance(first, ArgumentError)
    assert isinstance(fourth, ArgumentError)
    assert second.status == 504
    assert isinstance(third, Busy)
    assert third.status == 503
    assert int(third.headers["Retry-After"]) >= 1
    assert inspector.worker.depth == 0
    inspector.close()


def test_a_part_that_can_not_be_had_does_not_cost_the_others(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.serving import inspection_schema

    def refuses(probe: Any, at: int, units: int) -> Any:
        raise ArgumentError("gates: not here")

    monkeypatch.setattr("unrolled.serving.inspection.MAKERS", {**inspection_schema.MAKERS, "gates": refuses})
    inspector = Inspector(Limits(grace=2, drain=0.05))

    def ask(*parts: Any) -> Any:
        late = time.monotonic() + 60
        return asyncio.run(inspector.inspect(served, "good film", at=-1, limit=4, units=4, parts=parts, deadline=late))

    found = InspectionResult.model_validate_json(ask("gradients", "gates"))
    assert found.parts.gradients
    assert found.parts.gates is None
    assert found.refused == {"gates": "gates: not here"}
    with pytest.raises(ArgumentError, match="gates: not here"):
        ask("gates")
    inspector.close()


def test_numbers_are_json(made: dict[str, tuple[Model, Any]]) -> None:
    assert numbers(np.array([1 / 3, np.nan, -np.inf])) == [0.33333, None, None]
    assert set(made) == set(task_names()) == {task_named(name).name for name in made}


def test_images_are_decoded_one_at_a_time_and_counted(
    every: Running, made: dict[str, tuple[Model, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many small files as a body holds may be large when they are decoded."""
    side = 256
    image = png(np.zeros((side, side), np.uint8))
    body = json.dumps({"inputs": [image] * 8}).encode()

    def ask(room: int) -> httpx.Response:
        while every.state.budget.held:
            time.sleep(0.01)
        monkeypatch.setattr(every.state.budget, "most", len(body) + room)
        return every.ask(
            "POST", "/v1/models/recognize/predict", content=body, headers={"Content-Type": "application/json"}
        )

    assert side * side > 20 * len(image["image"])
    assert len(ask(room=2 * side * side).json()["predictions"]) == 8
    assert problem(ask(room=side * side // 2), 413)["detail"].startswith("the request takes 65,5")
