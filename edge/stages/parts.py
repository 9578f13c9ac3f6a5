"""What a recording is put together from."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config_schema import Config
from edge.ladder_plan import Fusion
from edge.preview import PreviewHub
from edge.report import Reporter
from edge.rig import OpenRig
from edge.session import SessionWriter


@dataclass(frozen=True, slots=True)
class Parts:
    """Opened and measured, before anything runs."""

    config: Config
    opened: OpenRig
    fusion: Fusion
    session: SessionWriter
    reporter: Reporter
    hub: PreviewHub
