"""The section ``web``: where the page is offered, to whom, and what it may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from edge.config.section import Section

HostName: TypeAlias = Annotated[str, Field(min_length=1, max_length=253)]
FilePath: TypeAlias = Annotated[Path, Field(strict=False)]


class WebConfig(Section):
    """The live page. Without ``password_file``, or where that file is missing, it changes nothing."""

    enabled: bool
    host: HostName
    port: int = Field(ge=0, le=65535)
    allowed_hosts: Annotated[tuple[HostName, ...], Field(max_length=16)]
    password_file: FilePath | None
    tls_certificate: FilePath | None
    tls_key: FilePath | None
    download_mb_s: float = Field(ge=0.1, le=10_000)


def web_faults(web: WebConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys that contradict each other, and what was expected."""
    if (web.tls_certificate is None) != (web.tls_key is None):
        yield (
            ("web.tls_certificate", "web.tls_key")
            if web.tls_key is None
            else ("web.tls_key", "web.tls_certificate"),
            "both web.tls_certificate and web.tls_key or neither; add the other file or remove this key",
        )
