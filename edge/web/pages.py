"""What the page's server answers besides pictures: the page, its figures, /metrics and /healthz."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge.health import Health
from edge.snapshot import HealthSnapshot
from edge.web.metrics import registry
from edge.web.streams import Places, UntilGone, write

PAGE: Final = Path(__file__).parents[1] / "page"
KINDS: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


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

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/", self.page)
        app.router.add_get("/page/{name}", self.asset)
        app.router.add_get("/api/status", self.status)
        app.router.add_get("/api/events", self.events)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/healthz", self.healthz)

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
        return web.json_response({"healthy": not faults, "faults": faults}, status=503 if faults else 200)

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
