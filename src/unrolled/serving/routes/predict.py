"""`POST /v1/models/{name}/predict`, typed for each model."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.datastructures import QueryParams
from starlette.responses import Response

from unrolled.serving.models import ServedModel
from unrolled.serving.problems import Problem, invalid
from unrolled.serving.routes.bodies import USUAL, content_type, described, json_message, json_response, problems
from unrolled.settings import Settings


def predict_routes(served: ServedModel, body_types: list[type[BaseModel]]) -> APIRouter:
    """Return the route of one model, and add the types of its bodies."""
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])
    input_type, output_type, media = served.input_type, served.output_type, served.media
    options, plain = served.options, _plain(served.options)
    title = type_name(served)
    request_fields: dict[str, Any] = {
        "inputs": (Annotated[list[input_type], Field(min_length=1, max_length=served.limits.max_inputs)], ...),  # type: ignore[valid-type]
        "options": (plain, Field(default_factory=plain)),
    }
    response_fields: dict[str, Any] = {"model": (str, ...), "predictions": (list[output_type], ...)}  # type: ignore[valid-type]
    asked: Any = create_model(f"{title}Request", __config__=ConfigDict(extra="forbid"), **request_fields)
    answered: Any = create_model(f"{title}Predictions", **response_fields)
    body_types.append(asked)

    @router.post(
        "/predict",
        summary=f"Predictions of {served.name} ({served.model.task.name})",
        operation_id=f"predict_{served.name}",
        response_model=None,
        responses={200: {"model": answered}, **problems(*USUAL, 501)},
        openapi_extra=described(asked, served.example, media),
    )
    async def predict(request: Request) -> Response:
        deadline = served.deadline()
        kind = content_type(request)
        if kind in media:
            readers = [served.raw_reader(await request.body(), kind)]
            chosen = _from_query(options, plain, request.query_params)
        elif kind == "application/json":
            body: Any = json_message(await request.body(), asked)
            readers = [served.reader(given) for given in body.inputs]
            chosen = options(**body.options.model_dump(exclude_unset=True))
        else:
            raise Problem(415, f"Content-Type: expected {', '.join(('application/json', *media))}")
        return json_response({"model": served.name, "predictions": await served.predict(readers, chosen, deadline)})

    return router


def type_name(served: ServedModel) -> str:
    """Return the beginning of the names of a model's types in the OpenAPI document."""
    return "".join(part.capitalize() for part in re.split("[-_.]", served.name))


def _plain(options: type[Settings]) -> type[BaseModel]:
    """Return the same fields without the error messages of `Settings`, which are the command line's."""
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in options.model_fields.items()}
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(options.__name__, __config__=config, **fields)


def _from_query(options: type[Settings], plain: type[BaseModel], query: QueryParams) -> Settings:
    """Return the options of an address; one that is given several times is a list.

    Raises:
        Problem: 422, an option that does not fit.
    """
    given = {name: values if len(values := query.getlist(name)) > 1 else values[0] for name in query}
    try:
        return options(**plain.model_validate(given).model_dump(exclude_unset=True))
    except ValidationError as error:
        raise invalid(error) from None
