"""The ASGI application: models, limits and access → everything that `docs/server.md` describes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

import unrolled
from unrolled.errors import ArgumentError, UnrolledError
from unrolled.serving.http.naming import named_folders
from unrolled.serving.limits import Limits
from unrolled.serving.middleware import Middleware
from unrolled.serving.models import ServedModel
from unrolled.serving.problems import MEDIA_TYPE, Problem, problem_of
from unrolled.serving.routes.about import about_routes
from unrolled.serving.routes.bodies import ProblemBody, json_response
from unrolled.serving.routes.inspect import inspect_routes
from unrolled.serving.routes.page import PAGE, PageFiles, page_routes
from unrolled.serving.routes.predict import predict_routes
from unrolled.serving.routes.socket import socket_routes
from unrolled.serving.routes.streams import stream_routes
from unrolled.serving.routes.training import training_routes
from unrolled.serving.routes.write import write_routes
from unrolled.serving.security import LOOPBACK, OPEN
from unrolled.serving.state import ServerOptions, ServerState
from unrolled.tasks import load

#: seconds between two searches for idle streams, at most
SWEEP = 15.0


class Application:
    """The ASGI application. It answers before its models are loaded, though with 503 to what needs them.

    Args:
        options: of the process.

    Raises:
        MissingDependencyError: a library of the extra `serve` is not installed.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.state = ServerState(options)
        self._api = Api(self.state)
        self._middleware = Middleware(self._routed, self.state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._middleware(scope, receive, send)

    def load(self) -> dict[str, ServedModel]:
        """Load the models of the options; `add` then serves them.

        Raises:
            UnrolledError: naming the model that can't be served, or an option that no model has.
        """
        state = self.state
        served: dict[str, ServedModel] = {}
        adapt, learning = state.options.adapt, 0
        try:
            for name, folder in state.options.folders.items():
                model = load(folder, state.options.device)
                if adapt is not None and "adapt" in model.task.asking_options.model_fields:
                    model, learning = model.asked(adapt=adapt), learning + 1
                served[name] = ServedModel(
                    name, model, state.limits,
                    budget=state.budget, decoder=state.decoder, observe=state.metrics.observer(name),
                )  # fmt: skip
            if adapt is not None and not learning:
                raise ArgumentError("--adapt: no model here has streams that learn from text; leave it out")
        except Exception:
            state.models.update(served)
            state.close()
            raise
        return served

    def add(self, models: Mapping[str, ServedModel]) -> None:
        """Serve models from now on."""
        self.state.models.update(models)
        self._api = Api(self.state)
        self.state.ready = True

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        sweeping = asyncio.ensure_future(self._sweep())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sweeping.cancel()
        await asyncio.to_thread(self.state.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _sweep(self) -> None:
        """End idle streams also when nobody asks for any."""
        while True:
            await asyncio.sleep(min(SWEEP, self.state.limits.stream_idle / 2))
            self.state.streams.expire()


def create_app(
    models: Iterable[str] = (),
    *,
    limits: Limits | None = None,
    hosts: Collection[str] = LOOPBACK,
    token: str | None = None,
    state_key: bytes | None = None,
    workers: int = 1,
    runs: Mapping[str, Path] | None = None,
    log_inputs: bool = False,
    device: str = "cpu",
    adapt: str | None = None,
) -> Application:
    """Return an ASGI application that serves some models.

    Args:
        models: folders, each as `FOLDER` or `NAME=FOLDER`.
        limits, hosts, token, state_key, workers, runs, log_inputs, device, adapt: as in `ServerOptions`.

    Raises:
        UnrolledError: a model that can't be served, named.
        MissingDependencyError: a library of the extra `serve` is not installed.
    """
    options = ServerOptions(
        named_folders(models, "model"), limits or Limits(), hosts, token, state_key, workers, runs or {}, log_inputs,
        device=device, adapt=adapt,
    )  # fmt: skip
    app = Application(options)
    app.add(app.load())
    return app


class Api(FastAPI):
    """The routes for the models that are loaded.

    Args:
        state: of the process.
    """

    def __init__(self, state: ServerState) -> None:
        super().__init__(
            title="Unrolled", version=unrolled.__version__, summary="Recurrent networks at work",
            docs_url=None, redoc_url=None,
        )  # fmt: skip
        self._needs_token = state.options.token is not None
        #: types of the bodies that routes parse themselves
        self._body_types: list[type[BaseModel]] = [ProblemBody]
        self.include_router(about_routes(state))
        for served in state.models.values():
            self.include_router(predict_routes(served, self._body_types))
            self.include_router(inspect_routes(served, state, self._body_types))
            self.include_router(stream_routes(served, state, self._body_types))
            self.include_router(socket_routes(served, state))
            if served.prompt_type is not None:
                self.include_router(write_routes(served, self._body_types))
        self.include_router(training_routes(state))
        self.include_router(page_routes())
        self.mount("/static", PageFiles(directory=PAGE), name="static")
        _add_errors(self, state.models)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, with the bodies that routes parse themselves, and the token."""
        if self.openapi_schema is None:
            document = super().openapi()
            known = document.setdefault("components", {}).setdefault("schemas", {})
            _, schemas = models_json_schema(
                [(model, "validation") for model in dict.fromkeys(self._body_types)],
                ref_template="#/components/schemas/{model}",
            )
            for name, schema in schemas.get("$defs", {}).items():
                known.setdefault(name, schema)
            if self._needs_token:
                document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
                for path in set(OPEN) & set(document["paths"]):
                    document["paths"][path]["get"]["security"] = []
        return super().openapi()


def _names(models: Mapping[str, ServedModel]) -> str:
    return f"models here: {', '.join(models)}" if models else "no model is loaded"


def _not_found(path: str, models: Mapping[str, ServedModel]) -> str:
    """Return what is said of an address without a route."""
    parts = path.split("/")
    if parts[:3] == ["", "v1", "models"] and len(parts) > 3:
        name = parts[3]
        if name not in models:
            return f"no model of the name {name[:80]!r}; {_names(models)}"
        task = models[name].model.task.name
        return f"nothing is at this address for a model of the task {task!r}; see /openapi.json"
    return f"nothing is at this address; see /openapi.json ({_names(models)})"


def _add_errors(api: Api, models: Mapping[str, ServedModel]) -> None:
    """Answer all errors with problems."""

    def response(request: Request | WebSocket, problem: Problem) -> Response:
        request_id = request.scope.get("state", {}).get("request_id", "")
        return json_response(problem.as_json(request_id), problem.status, problem.headers, MEDIA_TYPE)

    @api.exception_handler(Problem)
    @api.exception_handler(UnrolledError)
    async def expected(request: Request, error: Exception) -> Response:
        return response(request, problem_of(error))

    @api.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> Response:
        allowed = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
        detail = str(error.detail)
        if error.status_code == 404:
            detail = _not_found(request.url.path, models)
        elif error.status_code == 405:
            detail = f"{request.method[:20]} is not answered here; expected {', '.join(allowed.values())}"
        return response(request, Problem(error.status_code, detail, allowed))

    @api.websocket("/{path:path}")
    async def nowhere(socket: WebSocket) -> None:
        problem = Problem(404, _not_found(socket.scope["path"], models))
        await socket.send_denial_response(response(socket, problem))

    @api.exception_handler(RequestValidationError)
    async def of_an_address(request: Request, error: RequestValidationError) -> Response:
        places = [{"place": "/".join(map(str, e["loc"]))[:200], "message": e["msg"]} for e in error.errors()[:8]]
        return response(request, Problem(422, "the address does not fit", errors=places))
