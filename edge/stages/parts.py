"""What a recording is put together from."""

from __future__ import annotations

from dataclasses import dataclass

from edge.capture.rig import OpenRig
from edge.config.schema import Config
from edge.fuse.ladder_plan import Fusion
from edge.health.report import Reporter
from edge.session.recording import SessionWriter
from edge.viewfinder.preview import PreviewHub


@dataclass(frozen=True, slots=True)
class Parts:
    """Opened and measured, before anything runs."""

    config: Config
    opened: OpenRig
    fusion: Fusion
    session: SessionWriter
    reporter: Reporter
    hub: PreviewHub
