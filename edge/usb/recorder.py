"""The recorder as systemd runs it: how it is, and how it is told to take a new configuration."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from edge.config.web import WebConfig
from edge.errors import UnavailableError
from edge.usb.probation import Sample

log = logging.getLogger(__name__)

UNIT: Final = "twinhdr.service"
COMMAND_S: Final = 150.0
"""Type=notify: a restart returns when the first frame is recorded, or gives up after its own time."""
PAGE_S: Final = 3.0


class Recorder(Protocol):
    """What a probation needs of the recorder."""

    def sample(self) -> Sample:
        """How it is now."""

    def restart(self) -> None:
        """End it and start it again; how that went shows in the next samples."""

    def reload(self) -> None:
        """Have it read its configuration again."""


class SystemdRecorder:
    """``twinhdr.service``. ``page`` gives the section web of the configuration in force, None for no page."""

    def __init__(self, page: Callable[[], WebConfig | None]) -> None:
        if shutil.which("systemctl") is None:
            raise UnavailableError("there is no systemctl here, so nothing can be tried; see twinhdr config")
        self._page = page

    def sample(self) -> Sample:
        said = self._systemctl("show", UNIT, "--property=ActiveState,SubState,Result,NRestarts")
        values = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
        state = values.get("ActiveState", "unknown")
        active = state in ("active", "reloading")
        restarts = values.get("NRestarts", "0")
        return Sample(
            active=active,
            failed=state == "failed",
            restarts=int(restarts) if restarts.isdigit() else 0,
            faults=self._faults() if active else (),
            stopped=state in ("inactive", "deactivating"),
            state=", ".join(filter(None, (state, values.get("SubState"), values.get("Result")))),
        )

    def restart(self) -> None:
        self._systemctl("reset-failed", UNIT)
        self._systemctl("restart", UNIT)

    def reload(self) -> None:
        if self._systemctl("reload", UNIT).returncode:
            self.restart()

    def _systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            ended = subprocess.run(
                ["systemctl", *arguments], capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
        except subprocess.TimeoutExpired:
            log.warning("systemctl %s has not ended within %g s", arguments[0], COMMAND_S)
            return subprocess.CompletedProcess(arguments, 1, "", "")
        if ended.returncode:
            log.warning("systemctl %s: %s", " ".join(arguments), ended.stderr.strip() or ended.returncode)
        return ended

    def _faults(self) -> tuple[str, ...]:
        """What /healthz says. A page that cannot be reached is no fault of the recording."""
        web = self._page()
        if web is None or not web.enabled or web.port == 0:
            return ()
        try:
            return ask_page(web)
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.info("the page does not answer: %s", error)
            return ()


def ask_page(web: WebConfig) -> tuple[str, ...]:
    """The faults that the page of this machine names. Raises OSError, HTTPException or ValueError."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web.host, web.host)
    connection: http.client.HTTPConnection
    if web.tls_certificate is None:
        connection = http.client.HTTPConnection(host, web.port, timeout=PAGE_S)
    else:
        context = ssl.create_default_context(cafile=Path(web.tls_certificate))
        context.check_hostname = False  # asked by address; the certificate is the device's own
        connection = http.client.HTTPSConnection(host, web.port, timeout=PAGE_S, context=context)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        told = json.loads(answer.read(65536))
        return tuple(str(fault) for fault in told["faults"]) if answer.status == 503 else ()
    except (KeyError, TypeError) as error:
        raise ValueError(f"an answer of another kind: {error}") from None
    finally:
        connection.close()
