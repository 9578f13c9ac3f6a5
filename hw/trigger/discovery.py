"""Which serial device is the trigger board: asked of names alone, because opening one may reset it.

An Arduino restarts when a program opens its port, and what hangs at another port may be a machine that should
not. So devices are never tried in turn: with several, a person names one.
"""

from __future__ import annotations

from pathlib import Path

from hw.trigger.errors import NoBoardError

UDEV_LINK = Path("/dev/twinhdr-trigger")
BY_ID = Path("/dev/serial/by-id")

LIKELY = ("arduino", "1a86", "ch340", "wch", "ftdi", "cp210", "silicon_labs", "prolific")
"""In the by-id names of Uno, Nano and their clones: the maker of the board or of its USB chip."""


def candidates(by_id: Path = BY_ID) -> list[Path]:
    """Serial devices on USB that may be a board, in the order of their names."""
    if not by_id.is_dir():
        return []
    return sorted(path for path in by_id.iterdir() if any(word in path.name.lower() for word in LIKELY))


def find_port(setting: str, *, udev_link: Path = UDEV_LINK, by_id: Path = BY_ID) -> str:
    """The path or URL for pyserial that ``trigger.port`` means. Raises NoBoardError.

    "auto" is the link that the udev rule makes, else the only candidate in ``by_id``. Anything else is taken
    as it is.
    """
    if setting != "auto":
        return setting
    if udev_link.exists():
        return str(udev_link)
    found = candidates(by_id)
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise NoBoardError(
            f"trigger board: neither {udev_link} nor a known USB serial chip in {by_id}. "
            "Check the cable (some only charge) and run: ls /dev/serial/by-id; "
            "then set trigger.port to the board's path"
        )
    names = "\n  ".join(map(str, found))
    raise NoBoardError(
        f"trigger board: {len(found)} serial devices could be it; set trigger.port to one of\n  {names}"
    )
