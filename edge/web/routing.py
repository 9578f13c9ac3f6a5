"""The table of everything that the server answers: it makes the router, the guard's rules, the description.

A route that is not in the table does not exist; one that says nothing about access is open to readers and
takes no body.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound="Message")
JSON: Final = "application/json"
TEXT: Final = "text/plain"


class Message(BaseModel):
    """What crosses the wire as JSON: closed and strict, in both directions."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Access(enum.Enum):
    """Who may use a route."""

    OPEN = "anybody who reaches the page"
    OWNER = "who is logged in"
    CHANGE = "who is logged in, with the token of that login, from the page itself"
    LOGIN = "who hands in the password, from the page itself"

    @property
    def guarded(self) -> bool:
        """Whether a foreign site must not be able to make a browser use it."""
        return self in (Access.CHANGE, Access.LOGIN)


@dataclass(frozen=True, slots=True)
class Answer:
    """One status of a route: what it means, and what it carries."""

    text: str
    content_type: str = JSON
    model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path or of the query, always text."""

    text: str
    where: str = "path"
    required: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. ``path`` is aiohttp's template, ``body`` at most ``body_limit`` bytes."""

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, Answer]
    access: Access = Access.OPEN
    body: type[Message] | None = None
    body_limit: int = 1024
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it: without the patterns of its parts."""
        return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", self.path)


class Routes(Protocol):
    """A group of routes that belong together."""

    def routes(self) -> Iterable[Route]: ...


class RouteTable:
    """All routes of one application. Raises ValueError for two of the same method and path."""

    def __init__(self, groups: Iterable[Routes]) -> None:
        self.routes = tuple(route for group in groups for route in group.routes())
        self._by_resource: dict[web.AbstractRoute, Route] = {}
        keys = [(route.method, route.template) for route in self.routes]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"routes given twice: {sorted(twice)}")

    def add_to(self, app: web.Application) -> None:
        """Make the router. GET answers HEAD too."""
        for route in self.routes:
            methods = (hdrs.METH_GET, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,)
            for method in methods:
                self._by_resource[app.router.add_route(method, route.path, route.handler)] = route

    def of(self, request: web.Request) -> Route | None:
        """The route that ``request`` found; None where there is none."""
        return self._by_resource.get(request.match_info.route)

    def methods(self, request: web.Request) -> list[str]:
        """What the path of ``request`` takes, for an Allow header; reading where the path is unknown."""
        error = request.match_info.http_exception
        if isinstance(error, web.HTTPMethodNotAllowed):
            return sorted(error.allowed_methods)
        return [hdrs.METH_GET, hdrs.METH_HEAD]

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)


BODY: Final = web.RequestKey("body", Message)
"""Where the guard leaves a body that it has read and checked."""


def body_of(request: web.Request, model: type[M]) -> M:
    """The body that the guard has read, as the route's own model."""
    body = request[BODY]
    assert isinstance(body, model), "the guard reads what the route's table says"
    return body


def answer(message: BaseModel, status: int = 200, **more: Any) -> web.Response:
    """``message`` as JSON."""
    return web.Response(text=message.model_dump_json(), content_type=JSON, status=status, **more)
