"""`POST /v1/models/{name}/predict`: typed for each model that is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from starlette.responses import Response

from unrolled.serving.decoding import reading
from unrolled.serving.models import Served
from unrolled.serving.problems import Problem, invalid
from unrolled.serving.routes.bodies import USUAL, answer, content_type, described, json_message, problems
from unrolled.serving.state import Work
from unrolled.settings import Settings


def predict_routes(served: Served, work: Work) -> APIRouter:
    """The route of one model."""
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])
    wire, options = served.wire, served.options
    read, written, plain = wire.Input, wire.Output, _plain(options)
    title = _title(served)
    asking: dict[str, Any] = {
        "inputs": (Annotated[list[read], Field(min_length=1, max_length=served.limits.max_inputs)], ...),  # type: ignore[valid-type]
        "options": (plain, Field(default_factory=plain)),
    }
    answering: dict[str, Any] = {"model": (str, ...), "predictions": (list[written], ...)}  # type: ignore[valid-type]
    asked: Any = create_model(f"{title}Request", __config__=ConfigDict(extra="forbid"), **asking)
    answered: Any = create_model(f"{title}Predictions", **answering)

    work.reads.append(asked)

    @router.post(
        "/predict",
        summary=f"Predictions of {served.name} ({served.model.task.name})",
        operation_id=f"predict_{served.name}",
        response_model=None,
        responses={200: {"model": answered}, **problems(*USUAL, 501)},
        openapi_extra=described(asked, wire.example_of(served.model), wire.media),
    )
    async def predict(request: Request) -> Response:
        deadline = served.deadline()
        kind = content_type(request)
        if kind in wire.media:
            data = await request.body()
            chosen = _from_query(options, request.query_params.multi_items())
            given = [await _read(served, deadline, wire.raw, data, kind)]
        elif kind == "application/json":
            body: Any = json_message(await request.body(), asked)
            chosen = options(**body.options.model_dump(exclude_unset=True))
            given = await _read_all(served, deadline, body.inputs)
        else:
            raise Problem(415, f"Content-Type: expected {', '.join(('application/json', *wire.media))}")
        return answer({"model": served.name, "predictions": await served.predict(given, chosen, deadline)})

    return router


def _title(served: Served) -> str:
    return "".join(part.capitalize() for part in served.name.replace(".", "-").replace("_", "-").split("-"))


def _plain(options: type[Settings]) -> type[BaseModel]:
    """The same fields without `Settings`' own way to complain, which is the command line's."""
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in options.model_fields.items()}
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(options.__name__, __config__=config, **fields)


def _from_query(options: type[Settings], items: Sequence[tuple[str, str]]) -> Settings:
    """Options from an address, where all is text.

    Raises:
        Problem: 422, one that does not fit.
    """
    plain = _plain(options)
    found: dict[str, Any] = {}
    for name, value in items:
        found[name] = (
            [*found[name], value]
            if isinstance(found.get(name), list)
            else [found[name], value]
            if name in found
            else value
        )
    try:
        return options(**TypeAdapter(plain).validate_python(found).model_dump(exclude_unset=True))
    except ValidationError as error:
        raise invalid(error) from None


async def _read(served: Served, deadline: float, read: Any, *given: Any) -> Any:
    """Decoding an image or a sound takes a while, and is not done in the loop that answers everybody."""
    return await reading(lambda: read(served.model, *given, served.limits.bounds), deadline)


async def _read_all(served: Served, deadline: float, inputs: Sequence[Any]) -> list[Any]:
    wire, model, bounds = served.wire, served.model, served.limits.bounds
    if wire.light:
        return [wire.read(model, one, bounds) for one in inputs]
    found: list[Any] = await reading(lambda: [wire.read(model, one, bounds) for one in inputs], deadline)
    return found
