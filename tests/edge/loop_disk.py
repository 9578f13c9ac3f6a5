"""A real disk to break: ext4 in a file, mounted through a loop device. Needs root, as mounting does."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

_EXT4_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2


def missing() -> str:
    """Why no disk can be made here; empty where one can."""
    tools = [tool for tool in ("mkfs.ext4", "mount", "umount", "fsfreeze") if shutil.which(tool) is None]
    if tools:
        return f"{', '.join(tools)} missing (apt install e2fsprogs mount util-linux)"
    if os.geteuid() != 0:
        return "mounting a disk needs root"
    return "" if Path("/dev/loop-control").exists() else "no loop devices here"


class LoopDisk:
    """``mount`` is where it is; the faults are those of real disks, made by the kernel's own means."""

    def __init__(self, folder: Path, megabytes: int = 64) -> None:
        self.image = folder / "disk.img"
        self.mount = folder / "disk"
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        _do("mkfs.ext4", "-q", "-m", "0", "-O", "^resize_inode", str(self.image))
        self.attach()

    def attach(self) -> None:
        """Plug it in. The journal is played back, as after a power cut."""
        _do("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.mount))

    def detach(self) -> None:
        """Pull it out: what is open stays open until it is closed."""
        _do("umount", "-l", str(self.mount))

    def replug(self) -> None:
        """Out and in again, which ends most faults; in as soon as nobody holds a file of it any more."""
        self.detach()
        deadline = time.monotonic() + 10.0
        while self._held():
            assert time.monotonic() < deadline, "somebody does not let go of the removed disk"
            time.sleep(0.02)  # polls the kernel; there is nothing to wait on
        self.attach()

    def _held(self) -> bool:
        listed = subprocess.run(["losetup", "-j", str(self.image)], check=True, capture_output=True)
        return bool(listed.stdout)

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.mount / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        (self.mount / "filler").unlink()

    def freeze(self) -> None:
        """Writes wait from now on."""
        _do("fsfreeze", "-f", str(self.mount))

    def thaw(self) -> None:
        _do("fsfreeze", "-u", str(self.mount))

    def cut_power(self) -> None:
        """Nothing more reaches the disk, not even the journal's buffers; every access fails from here on."""
        fd = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _EXT4_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def find_error(self) -> None:
        """The file system meets an error and makes itself read-only."""
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.mount)], check=True, capture_output=True, text=True
        ).stdout.strip()
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")

    def close(self) -> None:
        while os.path.ismount(self.mount):
            subprocess.run(["fsfreeze", "-u", str(self.mount)], capture_output=True, check=False)
            _do("umount", "-l", str(self.mount))


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
