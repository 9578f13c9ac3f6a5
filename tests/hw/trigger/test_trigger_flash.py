"""The shipped firmware, and its way onto a board: real avrdude against a boot loader on a pseudo terminal."""

from __future__ import annotations

import hashlib
import os
import pty
import shutil
import subprocess
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.trigger.flash import FIRMWARE, SHIPPED, FlashError, build, flash, flash_command
from tests.hw.trigger.trigger_board import NEEDS_EMULATOR, Build

SUMS = FIRMWARE / "twinhdr-trigger.sha256"
COMPILER = "5.4.0"

needs_avrdude = pytest.mark.skipif(
    shutil.which("avrdude") is None, reason="avrdude is missing (package avrdude)"
)


def image_of(hexfile: Path) -> bytes:
    """The bytes of an Intel HEX file that begins at 0 and has no gap."""
    image = b""
    for line in hexfile.read_text().split():
        record = bytes.fromhex(line[1:])
        assert sum(record) % 256 == 0
        if record[3] == 0:
            assert int.from_bytes(record[1:3], "big") == len(image)
            image += record[4:-1]
    return image


class BootLoader:
    """An Arduino's boot loader (STK500 version 1, Atmel AVR061) with 32 KiB of flash."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.flash = bytearray(b"\xff" * 32_768)
        self._at = 0
        self._thread = threading.Thread(target=self._serve, name="boot loader")
        self._thread.start()

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += os.read(self._master, count - len(data))
        return data

    def _serve(self) -> None:
        lengths = {0x41: 1, 0x42: 20, 0x45: 5, 0x55: 2, 0x56: 4}  # of parameters, without the end mark
        while (command := self._take(1)[0]) != 0:
            parameters = self._take(lengths.get(command, 0))
            answer = b""
            if command == 0x41:  # get parameter
                answer = b"\x04"
            elif command == 0x75:  # read signature: ATmega328P
                answer = b"\x1e\x95\x0f"
            elif command == 0x55:  # load address, in words
                self._at = 2 * int.from_bytes(parameters, "little")
            elif command == 0x56:  # universal
                answer = b"\x00"
            elif command in (0x64, 0x74):  # program page, read page
                size = int.from_bytes(self._take(2), "big")
                assert self._take(1) == b"F"
                if command == 0x64:
                    self.flash[self._at : self._at + size] = self._take(size)
                else:
                    answer = bytes(self.flash[self._at : self._at + size])
            assert self._take(1) == b" ", "end of command"
            os.write(self._master, b"\x14" + answer + b"\x10")

    def close(self) -> None:
        os.write(self._slave, b"\0")
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def boot_loader() -> Iterator[BootLoader]:
    loader = BootLoader()
    yield loader
    loader.close()


def test_the_shipped_firmware_is_that_of_the_sources() -> None:
    """A fault that was repaired in the sources would be flashed for ever after."""
    sums = dict(reversed(line.split()) for line in SUMS.read_text().splitlines())
    sources = [p for p in FIRMWARE.iterdir() if p.is_file() and p.suffix in {".c", ".h", ".hex"}]
    names = {path.name for path in (*sources, FIRMWARE / "Makefile")}
    assert set(sums) == names
    stale = [n for n in names if hashlib.sha256((FIRMWARE / n).read_bytes()).hexdigest() != sums[n]]
    assert stale == [], "run: make -C hw/trigger/firmware release"


@NEEDS_EMULATOR
def test_the_shipped_firmware_is_what_the_compiler_makes(trigger_build: Build) -> None:
    """The tests would prove one program and users would flash another."""
    version = subprocess.run(["avr-gcc", "-dumpversion"], capture_output=True, text=True).stdout.strip()
    if version != COMPILER:
        pytest.skip(f"the shipped file was made by avr-gcc {COMPILER}, here is {version}")
    built = trigger_build.firmware().with_suffix(".hex")
    assert built.read_text() == SHIPPED.read_text()


@NEEDS_EMULATOR
def test_it_fits_with_room_for_the_stack(trigger_build: Build) -> None:
    """The stack would run into the variables at the deepest interrupt, once a day."""
    sizes = subprocess.run(
        ["avr-size", "-A", trigger_build.firmware()], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in sizes.stdout.splitlines() if line.startswith(".")]
    by_name = {name: int(size) for name, size, _ in rows}
    assert by_name[".text"] + by_name[".data"] < 8_192
    assert by_name[".data"] + by_name[".bss"] + by_name[".noinit"] < 1_024


@needs_avrdude
def test_what_is_flashed_is_what_is_shipped(boot_loader: BootLoader) -> None:
    """A board would come back from its update without a program."""
    image = image_of(SHIPPED)
    assert "verified" in flash(boot_loader.port)
    assert boot_loader.flash[: len(image)] == image


@needs_avrdude
def test_a_port_without_a_boot_loader_says_what_to_try(tmp_path: Path) -> None:
    """The user would be left with 'not in sync: resp=0x00'."""
    with pytest.raises(FlashError, match="--bootloader-baud 57600"):
        flash(str(tmp_path / "none"))
    with pytest.raises(FlashError, match="--bootloader-baud 115200"):
        flash(str(tmp_path / "none"), baud=57_600)


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user would see a FileNotFoundError."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlashError, match="apt-get install avrdude"):
        flash("/dev/ttyACM0")
    with pytest.raises(FlashError, match="apt-get install gcc-avr"):
        build(tmp_path)
    assert flash_command("/dev/x", SHIPPED, 57_600)[-1] == f"flash:w:{SHIPPED}:i"
