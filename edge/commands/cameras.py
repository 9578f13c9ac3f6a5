"""``twinhdr cameras``: which GigE Vision and USB3 Vision cameras are there, and what to write for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hw.gige.discovery import Found

NOTHING = """\
No GigE Vision or USB3 Vision camera answers. Check, in this order:
  its power, and the link light of its network socket
  that this computer has an address in its network: ip -4 addr; a camera without a DHCP server takes one of
    169.254.0.0/16 for itself, so this computer needs one there too
  that no firewall drops UDP from port 3956
  for USB3 Vision: that the user may open the device (udev rules of Aravis), and that its port is USB 3"""


def cameras() -> None:
    """List the cameras that answer, and what to write for them.

    The exit code is 1 where none does.

    \b
    Example:
      twinhdr cameras
    """
    from rich.console import Console

    raise typer.Exit(print_cameras(Console()))


def print_cameras(console: Console) -> int:
    """List what answers within a second. Returns 0, or 1 where nothing does. Raises UnavailableError."""
    from hw.gige.discovery import discover

    found = discover()
    if not found:
        console.print(NOTHING, markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(camera_table(found))
    console.print("For the configuration:", highlight=False)
    console.print(snippet(found), markup=False, highlight=False, soft_wrap=True)
    return 0


def camera_table(found: Sequence[Found]) -> Table:
    """One row a camera, and who controls it."""
    from rich import box
    from rich.table import Table

    from hw.gige.gvcp import controller

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("model", "serial", "address", "MAC", "link", "in use by"):
        table.add_column(title, overflow="fold")
    for camera in found:
        holder = controller(camera.address) if camera.is_gige else None
        table.add_row(
            f"{camera.vendor} {camera.model}",
            camera.serial,
            camera.address,
            camera.mac,
            "GigE" if camera.is_gige else "USB3",
            "" if holder is None else str(holder),
        )
    return table


def snippet(found: Sequence[Found]) -> str:
    """YAML that makes the first camera the reference and the second one the secondary."""
    lines = ["rig: {source: gige}", "gige:"]
    for name, camera in zip(("reference", "secondary"), found, strict=False):
        lines.append(f'  {name}: {{serial: "{camera.serial}"}}  # {camera.vendor} {camera.model}')
    if len(found) == 1:
        lines.append('  secondary: {serial: "?"}  # a second camera is needed')
    lines.append("trigger: {kind: none}  # started by software; see docs/gige.md for a trigger board")
    return "\n".join(lines)
