"""The description of the API in OpenAPI 3.1, made from the table of routes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from edge.web.routing import JSON, TEXT, Access, Answer, Parameter, Route

PATH: Final = "/api/openapi.json"
COOKIE: Final = "login"
TOKEN: Final = "token"
REFUSALS: Final = {
    401: "not logged in, or the login has ended",
    403: "from another site, or without the token of the login",
    413: "the body is longer than this route takes",
}
PREFACE: Final = (
    "What the page of a twinhdr recorder answers. Reading needs no login unless said; changes need one, and "
    "the header X-CSRF-Token with the token that POST /api/login gave. Errors are one line of text."
)


class Description:
    """Serves the description of a table that it is itself part of."""

    def __init__(self) -> None:
        self.text = ""

    def routes(self) -> Iterable[Route]:
        """The one route."""
        yield Route("GET", PATH, self.show, "This description", {200: Answer("OpenAPI 3.1")})

    def describe(self, table: Iterable[Route]) -> None:
        """Take up the whole table, once it is known."""
        self.text = json.dumps(document(table, _version()), separators=(",", ":"))

    async def show(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self.text, content_type=JSON)


def document(table: Iterable[Route], software: str) -> dict[str, Any]:
    """The description as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for route in table:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "twinhdr", "version": software, "description": PREFACE},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                COOKIE: {"type": "apiKey", "in": "cookie", "name": "twinhdr"},
                TOKEN: {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }


def _version() -> str:
    try:
        return version("twinhdr")
    except PackageNotFoundError:
        return "0"


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    answers = {str(status): _answer(one, schemas) for status, one in sorted(route.answers.items())}
    for status in _refusals(route):
        answers.setdefault(str(status), _answer(Answer(REFUSALS[status], TEXT), schemas))
    told: dict[str, Any] = {
        "operationId": route.handler.__qualname__.replace(".", "_"),
        "summary": route.summary,
        "responses": answers,
        "security": _security(route.access),
    }
    if route.parameters:
        told["parameters"] = [_parameter(name, one) for name, one in route.parameters.items()]
    if route.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": _schema(route.body, schemas)}}}
    return told


def _refusals(route: Route) -> list[int]:
    refused = [401] if route.access in (Access.OWNER, Access.CHANGE) else []
    refused += [403] if route.access.guarded else []
    return refused + ([413] if route.body is not None else [])


def _security(access: Access) -> list[dict[str, list[str]]]:
    if access is Access.OWNER:
        return [{COOKIE: []}]
    return [{COOKIE: [], TOKEN: []}] if access is Access.CHANGE else []


def _answer(one: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    if not one.content_type:
        return {"description": one.text}
    kind: dict[str, Any] = {}
    if one.model is not None:
        kind["schema"] = _schema(one.model, schemas)
    return {"description": one.text, "content": {one.content_type: kind}}


def _parameter(name: str, one: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if one.values:
        schema["enum"] = list(one.values)
    return {
        "name": name,
        "in": one.where,
        "required": one.required,
        "description": one.text,
        "schema": schema,
    }


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, str]:
    """A reference to ``model``, which is put among the components with what it uses."""
    whole = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(whole.pop("$defs", {}))
    schemas[model.__name__] = whole
    return {"$ref": f"#/components/schemas/{model.__name__}"}
