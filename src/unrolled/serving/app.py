"""The ASGI application: models, limits and who may ask → everything of `docs/server.md`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response

import unrolled
from unrolled.errors import UnrolledError
from unrolled.serving.inspection import Inspector
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Metrics
from unrolled.serving.middleware import OPEN, Guard
from unrolled.serving.models import Served, loaded_models
from unrolled.serving.problems import MEDIA_TYPE, Problem, problem_of
from unrolled.serving.routes.about import about_routes
from unrolled.serving.routes.bodies import ProblemBody, answer
from unrolled.serving.routes.inspect import inspect_routes
from unrolled.serving.routes.page import STATIC, Files, page_routes
from unrolled.serving.routes.predict import predict_routes
from unrolled.serving.routes.socket import socket_routes
from unrolled.serving.routes.streams import stream_routes
from unrolled.serving.routes.training import training_routes
from unrolled.serving.routes.write import write_routes
from unrolled.serving.security import Signer
from unrolled.serving.state import Work
from unrolled.serving.streams import Streams

#: what a server that is bound to loopback goes by
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(
    models: Iterable[str] = (),
    *,
    limits: Limits | None = None,
    hosts: Iterable[str] = LOOPBACK,
    token: str | None = None,
    state_key: bytes | None = None,
    workers: int = 1,
    runs: Mapping[str, Path] | None = None,
    log_inputs: bool = False,
    device: str = "cpu",
) -> Guard:
    """An ASGI application that serves some models.

    Args:
        models: folders, each as `FOLDER` or `NAME=FOLDER`.
        limits: of everything that grows.
        hosts: the names in `Host` that it answers to; empty for any.
        token: what requests must carry; None asks for nothing.
        state_key: what states are signed with; None draws a key.
        workers: processes that serve at the same address.
        runs: folders of training runs to be watched, by name.
        log_inputs: whether what people send may be logged.
        device: where the networks are.

    Raises:
        UnrolledError: a model that can't be served, named.
        MissingDependencyError: a library of the extra `serve` is not installed.
    """
    bounds, metrics = limits or Limits(), Metrics()
    served = loaded_models(list(models), bounds, metrics.batches, device)
    work = Work(
        served, bounds, metrics, Signer(state_key), Streams(bounds, metrics.streams), workers, runs or {}, log_inputs
    )
    inspector = Inspector(bounds, metrics.batches("inspection"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.ensure_future(_sweep(work))
        yield
        sweeping.cancel()
        inspector.close()
        for one in served.values():
            one.close()

    app = FastAPI(
        title="Unrolled", version=unrolled.__version__, summary="Recurrent networks at work",
        docs_url=None, redoc_url=None, lifespan=lifespan,
    )  # fmt: skip
    app.state.work = work
    app.include_router(about_routes(work))
    for one in served.values():
        app.include_router(predict_routes(one, work))
        app.include_router(inspect_routes(one, work, inspector))
        app.include_router(stream_routes(one, work))
        app.include_router(socket_routes(one, work))
        if one.writes:
            app.include_router(write_routes(one, work))
    app.include_router(training_routes(work))
    app.include_router(page_routes())
    app.mount("/static", Files(directory=STATIC), name="static")
    _explain(app, served)
    _document(app, needs_token=token is not None)
    names = frozenset(h.lower() for h in hosts)
    return Guard(app, limits=bounds, metrics=metrics, hosts=names, token=token, log_inputs=log_inputs)


async def _sweep(work: Work) -> None:
    """Let go of idle streams also when nobody asks for any."""
    while True:
        await asyncio.sleep(min(15.0, work.limits.stream_idle / 2))
        work.streams.expire()


def _models(served: Mapping[str, Served]) -> str:
    return f"models here: {', '.join(served) or 'none'}"


def _nowhere(path: str, served: Mapping[str, Served]) -> str:
    """Why nothing is at an address."""
    if path.startswith("/v1/models/"):
        name = path.split("/")[3]
        if name not in served:
            return f"no model of the name {name[:80]!r}; {_models(served)}"
        task = served[name].model.task.name
        return f"nothing is at this address for a model of the task {task!r}; see /openapi.json"
    return f"nothing is at this address; see /openapi.json ({_models(served)})"


def _explain(app: FastAPI, served: Mapping[str, Served]) -> None:
    """Every error as a problem."""

    def told(request: Request, problem: Problem) -> Response:
        name = request.scope.get("state", {}).get("request_id", "")
        return answer(problem.as_json(name), problem.status, problem.headers, MEDIA_TYPE)

    @app.exception_handler(Problem)
    @app.exception_handler(UnrolledError)
    async def on_purpose(request: Request, error: Exception) -> Response:
        return told(request, problem_of(error))

    @app.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> Response:
        allowed = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
        detail = str(error.detail)
        if error.status_code == 404:
            detail = _nowhere(request.url.path, served)
        elif error.status_code == 405:
            detail = f"{request.method[:20]} is not answered here; expected {', '.join(allowed.values())}"
        return told(request, Problem(error.status_code, detail, allowed))

    @app.websocket("/{path:path}")
    async def nowhere(socket: WebSocket) -> None:
        name = socket.scope.get("state", {}).get("request_id", "")
        problem = Problem(404, _nowhere(socket.scope["path"], served))
        await socket.send_denial_response(answer(problem.as_json(name), 404, None, MEDIA_TYPE))

    @app.exception_handler(RequestValidationError)
    async def of_an_address(request: Request, error: RequestValidationError) -> Response:
        places = [{"place": "/".join(map(str, e["loc"]))[:200], "message": e["msg"]} for e in error.errors()[:8]]
        return told(request, Problem(422, "the address does not fit", errors=places))


def _document(app: FastAPI, needs_token: bool) -> None:
    """The OpenAPI document, with the schemas of what routes read by themselves, and that a token is needed."""
    models = [ProblemBody, *app.state.work.reads]
    _, found = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template="#/components/schemas/{model}"
    )
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = build()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in found.get("$defs", {}).items():
                schemas.setdefault(name, schema)
            if needs_token:
                document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
                for path in set(OPEN) & set(document["paths"]):
                    document["paths"][path]["get"]["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
