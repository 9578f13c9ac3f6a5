"""The page that guides a person through a calibration: both views, what they cover, what to do next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from edge.web.routing import Answer, Route

PAGE: Final = "/page/calibrate.html"


class CalibrationRoutes:
    """Adds the figures of a calibration under way to the server; the page itself is one of its files.

    ``status`` is called on the server's thread and gives plain values.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def routes(self) -> Iterable[Route]:
        """The one route."""
        figures = {200: Answer("what is known so far; see docs/calibration.md")}
        yield Route("GET", "/api/calibration", self.figures, "A calibration under way", figures)

    async def figures(self, _: web.Request) -> web.StreamResponse:
        """What is known so far, as JSON; see docs/calibration.md."""
        text = json.dumps(self._status(), separators=(",", ":"), allow_nan=False)
        return web.Response(text=text, content_type="application/json")
