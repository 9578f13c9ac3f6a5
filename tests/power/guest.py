"""A virtual machine that runs this clone: qemu, a Debian kernel, the host's files read-only, one disk.

There is no image to make: the guest's root is the host's, over 9p. What it records goes to a disk whose every
write is logged, and its power can be cut.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cache import CACHE

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = ("qemu-system-x86_64", "busybox", "cpio", "apt-get", "apt-cache", "depmod", "dpkg")
MODULES = ("virtio_pci", "virtio_blk", "9pnet_virtio", "9p", "ext4", "crc32c_generic")
DISK = "/mnt"
"""Where the guest has its disk."""
PROCESSOR = ("-accel", "tcg,thread=single", "-icount", "shift=0", "-cpu", "max", "-smp", "1")
"""One core of 10^9 instructions a second of its own time, however long the host takes for them.

qemu's translation is some twenty times slower than the host. By the host's clock the guest's cameras would be
far too quick for it; so its clock runs by what it has executed, and no hardware has to virtualize.
"""
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /host
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in {modules}; do /bin/busybox insmod /$module || echo "$module is not for this kernel"; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
/bin/busybox mount -t ext4 -o errors=remount-ro /dev/vda /host{disk}
/bin/busybox mount -t devtmpfs dev /host/dev
/bin/busybox mount -t proc proc /host/proc
/bin/busybox mount -t sysfs sys /host/sys
/bin/busybox mount -t tmpfs run /host/run
/bin/busybox ip link set lo up
cd {project}
exec /bin/busybox chroot /host /usr/bin/env -i PATH=/usr/bin:/bin TMPDIR=/run HOME=/run {command}
"""


def missing() -> str:
    """Why no machine can be made here; empty where one can."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)} (apt install qemu-system-x86 busybox-static cpio kmod)"
    return "" if platform.machine() == "x86_64" else "the virtual machine is an x86_64 one"


@dataclass(frozen=True, slots=True)
class Kernel:
    """Debian's, unpacked. ``modules``: of these what MODULES need, in the order of loading."""

    image: Path
    modules: tuple[Path, ...]


def kernel() -> Kernel:
    """The newest of this Debian or Ubuntu, fetched once (70 MB)."""
    folder = CACHE / "kernel"
    if not folder.exists():
        half = folder.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        # Ubuntu keeps them in two packages.
        for pattern in ("linux-image-", "linux-modules-"):
            for name in _depends(pattern):
                subprocess.run(["apt-get", "download", name], cwd=half, check=True, capture_output=True)
        for package in half.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, half], check=True)
            package.unlink()
        (version,) = (half / "lib/modules").iterdir()
        subprocess.run(["depmod", "-b", half, version.name], check=True)
        half.rename(folder)
    (image,) = (folder / "boot").glob("vmlinuz-*")
    (version,) = (folder / "lib/modules").iterdir()
    return Kernel(image, tuple(version / name for name in _in_order((version / "modules.dep").read_text())))


def _depends(pattern: str) -> list[str]:
    meta = next(name for name in ("linux-image-amd64", "linux-image-virtual") if _known(name))
    shown = subprocess.run(["apt-cache", "depends", "--recurse", "-i", meta], check=True, capture_output=True)
    names = {line.split()[-1] for line in shown.stdout.decode().splitlines()}
    return sorted(name for name in names if re.match(rf"{pattern}\d", name))


def _known(name: str) -> bool:
    shown = subprocess.run(["apt-cache", "show", name], check=False, capture_output=True)
    return shown.returncode == 0


def _in_order(dependencies: str) -> list[str]:
    """Paths of MODULES and all that they need, from the text of modules.dep."""
    needs = {line.split(":")[0]: line.split(":")[1].split() for line in dependencies.splitlines()}
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    wanted: list[str] = []
    for name in MODULES:
        if name in by_name:  # others are part of the kernel itself
            path = by_name[name]
            wanted += [*reversed(needs[path]), path]
    return list(dict.fromkeys(wanted))


def initial_disk(made: Kernel, command: str, target: Path) -> None:
    """What the kernel starts: ``command`` in the host's files, from the project's folder."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "bin").mkdir()
        shutil.copy2(str(shutil.which("busybox")), root / "bin/busybox")
        for module in made.modules:
            shutil.copy2(module, root)
        text = INIT.format(
            modules=" ".join(module.name for module in made.modules),
            disk=DISK,
            project=f"/host{PROJECT}",
            command=f"/usr/bin/env -C {PROJECT} {command}",
        )
        (root / "init").write_text(text)
        (root / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
        with target.open("wb") as out:
            pack = ["cpio", "--create", "--format=newc", "--quiet"]
            subprocess.run(pack, cwd=root, input=names.encode(), stdout=out, check=True)


@dataclass
class Guest:
    """A machine that runs. ``lines``: what it printed, with the host's monotonic seconds of each."""

    process: subprocess.Popen[bytes]
    lines: list[tuple[float, str]] = field(default_factory=list)

    def until(self, text: str, timeout_s: float, count: int = 1) -> None:
        """Until ``count`` lines with ``text`` were printed."""
        end_s = time.monotonic() + timeout_s
        while sum(text in line for _, line in self.lines) < count:
            said = "\n".join(line for _, line in self.lines[-40:])
            assert self.process.poll() is None, f"the machine ended:\n{said}"
            assert time.monotonic() < end_s, f"no {text!r} within {timeout_s} s:\n{said}"
            time.sleep(0.05)  # polls another machine; there is nothing to wait on

    def cut_power(self) -> float:
        """Nothing in it gets another instruction. Returns the moment, in monotonic seconds."""
        self.process.kill()
        now_s = time.monotonic()
        self.process.wait()
        return now_s

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip()))


@contextlib.contextmanager
def guest(disk: Path, log: Path, script: str, *arguments: str, memory_mb: int = 2048) -> Iterator[Guest]:
    """Boots, and runs a Python file of this project. ``log`` is made new; the power is cut at the end."""
    made = kernel()
    initial = log.with_suffix(".initrd")
    words = [sys.executable, "-u", str(PROJECT / script), *arguments]
    initial_disk(made, f"PYTHONPATH={shlex.quote(str(PROJECT))} {shlex.join(words)}", initial)
    log.unlink(missing_ok=True)
    log.touch()
    block = f"driver=blklogwrites,node-name=disk,log-sector-size=512,file.driver=file,file.filename={disk}"
    command = ["qemu-system-x86_64", *PROCESSOR, "-m", str(memory_mb)]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", str(made.image), "-initrd", str(initial)]
    command += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    command += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    command += ["-blockdev", f"{block},log.driver=file,log.filename={log}"]
    command += ["-device", "virtio-blk-pci,drive=disk"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    running = Guest(process)
    listener = threading.Thread(target=running._listen, name="console", daemon=True)
    listener.start()
    try:
        yield running
    finally:
        running.cut_power()
        listener.join()
