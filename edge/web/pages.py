"""What the page's server answers besides pictures: the page, its figures, /metrics, /healthz and /readyz."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from edge.health.health import Health
from edge.health.snapshot import HealthSnapshot
from edge.web.metrics import registry
from edge.web.routing import TEXT, Answer, Message, Parameter, Route, answer
from edge.web.streams import Places, UntilGone, write

PAGE: Final = Path(__file__).parents[1] / "page"
KINDS: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Healthy(Message):
    """What /healthz says; a line for each fault."""

    healthy: bool
    faults: list[str]


class Ready(Message):
    """What /readyz says."""

    ready: bool


class Status(BaseModel):
    """What /api/status says (`HealthSnapshot.as_json`). Tables are by name, then by labels joined by "/"."""

    t_ns: int
    healthy: bool
    totals: dict[str, dict[str, int]]
    rates: dict[str, dict[str, float]]
    gauges: dict[str, dict[str, float]]
    spreads: dict[str, dict[str, dict[str, float]]]
    histograms: dict[str, dict[str, list[float]]]
    traces: dict[str, dict[str, list[tuple[float, float]]]]
    texts: dict[str, dict[str, str]]
    beats: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    events: list[dict[str, Any]]
    page: str
    viewers: int


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file of the page, in memory."""

    body: bytes
    content_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """The files of edge/page by name. Nothing else is ever served from disk."""
    assets = {}
    for file in sorted(PAGE.iterdir()):
        kind = KINDS.get(file.suffix)
        if kind is not None:
            body = file.read_bytes()
            assets[file.name] = Asset(body, kind, hashlib.sha256(body).hexdigest()[:16])
    return assets


class PageRoutes:
    """Handlers that read a `Health`, on one event loop. ``clock_ns`` is the clock its times are from."""

    def __init__(
        self, health: Health, clock_ns: Callable[[], int], *, max_events: int, events_hz: float
    ) -> None:
        self._health, self._clock_ns = health, clock_ns
        self._assets = load_assets()
        etags = "".join(asset.etag for asset in self._assets.values())
        self._page_id = hashlib.sha256(etags.encode()).hexdigest()[:12]
        self._listeners = Places("figures", max_events)
        self._period_ns = int(1e9 / events_hz)
        self._snapshot: HealthSnapshot | None = None
        self._status = ""
        self._registry = registry(self._recent)

    def routes(self) -> Iterable[Route]:
        """The page and its files, the figures in three forms, and two for supervisors."""
        yield Route("GET", "/", self.page, "The page", {200: Answer("HTML", "text/html")})
        yield Route(
            "GET",
            "/page/{name}",
            self.asset,
            "A file of the page",
            {200: Answer("the file", "*/*"), 304: Answer("unchanged", ""), 404: Answer("no such file", TEXT)},
            parameters={"name": Parameter("name of the file")},
        )
        yield Route(
            "GET",
            "/api/status",
            self.status,
            "Everything that is known now",
            {200: Answer("figures by name and labels; edge/health/series.py has the names", model=Status)},
        )
        yield Route(
            "GET",
            "/api/events",
            self.events,
            "The status, a few times a second",
            {200: Answer("server-sent events", "text/event-stream"), 503: Answer("too many listeners", TEXT)},
        )
        yield Route(
            "GET",
            "/metrics",
            self.metrics,
            "The figures for Prometheus; docs/metrics.md has the names",
            {200: Answer("text format", TEXT)},
        )
        yield Route(
            "GET",
            "/healthz",
            self.healthz,
            "Whether the recording is as it should be",
            {200: Answer("it is", model=Healthy), 503: Answer("what is wrong", model=Healthy)},
        )
        yield Route(
            "GET",
            "/readyz",
            self.readyz,
            "Whether the first frame has been recorded",
            {200: Answer("it has", model=Ready), 503: Answer("not yet", model=Ready)},
        )

    async def page(self, request: web.Request) -> web.StreamResponse:
        return self._static(request, "index.html")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        return self._static(request, request.match_info["name"])

    async def status(self, _: web.Request) -> web.StreamResponse:
        """Everything known, as JSON (`HealthSnapshot.as_json`)."""
        return web.Response(text=self._recent_json(), content_type="application/json")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the status as JSON, a few times a second."""
        if request.method == hdrs.METH_HEAD:
            return web.Response(content_type="text/event-stream")
        with self._listeners.one():
            response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream"})
            await response.prepare(request)
            with UntilGone(request):
                while True:
                    await write(response, f"data: {self._recent_json()}\n\n".encode())
                    await asyncio.sleep(self._period_ns / 1e9)
            return response

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """Prometheus text format; docs/metrics.md lists the names."""
        return web.Response(
            body=generate_latest(self._registry), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST}
        )

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """200 while the recording is as it should be, else 503; the faults in words."""
        faults = self._recent().faults()
        return answer(Healthy(healthy=not faults, faults=faults), 503 if faults else 200)

    async def readyz(self, _: web.Request) -> web.StreamResponse:
        """200 from the first recorded frame on. Unlike /healthz it stays so: a start is over once."""
        ready = self._recent().recorded
        return answer(Ready(ready=ready), 200 if ready else 503)

    def _static(self, request: web.Request, name: str) -> web.StreamResponse:
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound(text="no such page\n")
        headers = {hdrs.CACHE_CONTROL: "no-cache", hdrs.ETAG: f'"{asset.etag}"'}
        if any(tag.value == asset.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers
        )

    def _recent(self) -> HealthSnapshot:
        """At most one snapshot per period, however many ask."""
        now_ns = self._clock_ns()
        if self._snapshot is None or now_ns - self._snapshot.t_ns >= 0.8 * self._period_ns:
            self._snapshot, self._status = self._health.snapshot(now_ns), ""
        return self._snapshot

    def _recent_json(self) -> str:
        snapshot = self._recent()
        if not self._status:
            whole: dict[str, Any] = {
                **snapshot.as_json(),
                "page": self._page_id,
                "viewers": self._listeners.taken,
            }
            self._status = json.dumps(whole, separators=(",", ":"), allow_nan=False)
        return self._status
