"""The page of a recorder, put together from its configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.config.schema import Config
from edge.errors import TwinhdrError
from edge.health.health import Health
from edge.viewfinder.preview import PreviewHub
from edge.web import tls
from edge.web.access import access_findings
from edge.web.archive import ArchiveRoutes
from edge.web.disk import DiskThreads
from edge.web.download import Downloads
from edge.web.server import WebServer
from edge.web.settings import SettingsRoutes

log = logging.getLogger(__name__)

DISK_THREADS: Final = 3
MOST_DOWNLOADS: Final = 4


def page_server(
    config: Config,
    health: Health,
    hub: PreviewHub,
    main: Path | None = None,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> WebServer:
    """The server that ``config`` asks for, not yet started. ``main`` is the file that was given in place of
    /etc/twinhdr/config.yaml. Raises TwinhdrError where its certificate cannot be used.
    """
    web = config.web
    encrypted = None
    if web.tls_certificate is not None and web.tls_key is not None:
        encrypted = tls.context(web.tls_certificate, web.tls_key)
    threads = DiskThreads(DISK_THREADS, "web-disk")
    downloads = Downloads(threads, most=MOST_DOWNLOADS, bytes_s=web.download_mb_s * 1e6)
    return WebServer(
        health,
        hub,
        host=web.host,
        port=web.port,
        allowed_hosts=web.allowed_hosts,
        more=[
            ArchiveRoutes(config.store.root, clock_ns, threads, downloads),
            SettingsRoutes(main, threads),
        ],
        clock_ns=clock_ns,
        password_file=web.password_file,
        tls=encrypted,
        threads=threads,
    )


def start_page(config: Config, health: Health, hub: PreviewHub, main: Path | None = None) -> WebServer | None:
    """Offer the page, if it is configured. What is wrong with it costs the page, never the recording."""
    if not config.web.enabled:
        return None
    try:
        server = page_server(config, health, hub, main)
        server.start()
    except TwinhdrError as error:
        log.error("no live page: %s", error)
        health.condition("page", False, time.monotonic_ns(), str(error), "", "warning")
        return None
    log.info("live page at %s", server.url)
    for finding in access_findings(config.web):
        if finding.state == "warn":
            now_ns = time.monotonic_ns()
            health.condition("page access", False, now_ns, finding.found, finding.advice, "warning")
    return server
