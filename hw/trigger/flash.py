"""Firmware onto a board through its boot loader, by avrdude."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hw.camera import TriggerError

FIRMWARE = Path(__file__).parent / "firmware"
SHIPPED = FIRMWARE / "twinhdr-trigger.hex"
BOOTLOADER_BAUD = 115_200
OLD_BOOTLOADER_BAUD = 57_600
"""Of a Nano made before 2018, and of many clones."""


class FlashError(TriggerError):
    """The firmware could not be built or written. The text has the tool's own last words."""


def flash_command(port: str, image: Path, baud: int) -> list[str]:
    """What avrdude is called with. -D: the boot loader erases page by page and cannot erase the chip."""
    chip = ["-p", "m328p", "-c", "arduino", "-P", port, "-b", str(baud)]
    return ["avrdude", *chip, "-D", "-U", f"flash:w:{image}:i"]


def build(folder: Path) -> Path:
    """The .hex file, compiled from the sources beside this module into ``folder``. Raises FlashError."""
    _run(["make", "-C", str(FIRMWARE), f"BUILD={folder}"], "gcc-avr avr-libc make")
    return folder / SHIPPED.name


def flash(port: str, *, image: Path = SHIPPED, baud: int = BOOTLOADER_BAUD) -> str:
    """Write and verify ``image``; returns what avrdude said. Raises FlashError."""
    try:
        return _run(flash_command(port, image, baud), "avrdude")
    except FlashError as error:
        other = OLD_BOOTLOADER_BAUD if baud == BOOTLOADER_BAUD else BOOTLOADER_BAUD
        raise FlashError(
            f"{error}\nIf it says 'not in sync' and the port is right, the boot loader has another speed: "
            f"--bootloader-baud {other}"
        ) from error


def _run(words: Sequence[str], packages: str) -> str:
    if shutil.which(words[0]) is None:
        raise FlashError(f"{words[0]} is missing; install it: sudo apt-get install {packages}")
    ended = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    said = ended.stdout + ended.stderr
    if ended.returncode != 0:
        last = "\n".join(f"  {line}" for line in said.strip().splitlines()[-8:])
        raise FlashError(f"{' '.join(words)} ended with {ended.returncode}:\n{last}")
    return said
