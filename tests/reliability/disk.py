"""A small disk of its own, ext4 in a file, that can fill up, stall, break and be pulled out. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

TOOLS = ("mkfs.ext4", "mount", "umount", "fsfreeze", "e2fsck", "losetup", "findmnt")


def missing() -> str:
    """Why there is no such disk here; empty where there can be one."""
    if os.geteuid() != 0:
        return "needs root, to mount a disk"
    lacks = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacks:
        return f"needs {', '.join(lacks)} (apt install mount e2fsprogs util-linux)"
    probe = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    return "needs a loop device, and losetup --find fails here" if probe.returncode else ""


class Disk:
    """``root`` is where it is mounted. What is done to it is what the kernel does to a real one."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self._image = folder / "disk.img"
        self._size = size_mb * 1_000_000
        self.root = folder / "disk"
        self.root.mkdir()
        self._device = ""

    def plug_in(self) -> None:
        """A new, empty disk."""
        with self._image.open("wb") as file:
            file.truncate(self._size)
        _call("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        self.mount()

    def mount(self) -> None:
        _call("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.root))
        source = _call("findmnt", "--noheadings", "--output", "SOURCE", str(self.root))
        self._device = Path(source.split()[-1]).name

    def fill(self) -> None:
        """Somebody else writes until nothing is free."""
        with (self.root / "ballast").open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()

    def empty(self) -> None:
        """Somebody else makes room."""
        (self.root / "ballast").unlink()

    def freeze(self) -> None:
        """Every write waits, as for a card that is busy with itself."""
        _call("fsfreeze", "--freeze", str(self.root))

    def thaw(self) -> None:
        _call("fsfreeze", "--unfreeze", str(self.root))

    def find_error(self) -> None:
        """ext4 meets an error in itself, and makes itself read-only."""
        (Path("/sys/fs/ext4") / self._device / "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """As a person does: unmount, check, mount."""
        self.pull_out()
        subprocess.run(["e2fsck", "-y", str(self._image)], capture_output=True, check=False)
        self.mount()

    def pull_out(self) -> None:
        """The mount goes; open files are left without a name."""
        _call("umount", "--lazy", str(self.root))


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int = 100) -> Iterator[Disk]:
    """A mounted disk, gone at the end whatever was done to it."""
    disk = Disk(folder, size_mb)
    disk.plug_in()
    try:
        yield disk
    finally:
        for words in (["fsfreeze", "--unfreeze"], ["umount", "--lazy"]):
            subprocess.run([*words, str(disk.root)], capture_output=True, check=False)


def _call(*words: str) -> str:
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr}"
    return ended.stdout
