"""What qemu's emulation of another processor lacks, put right on the machine under test, and nothing else.

It shows the host's /proc/cpuinfo, on which ONNX Runtime of another processor falls; it has no call for a
namespace of System V IPC; and it is some twenty times slower than a processor.
"""

from __future__ import annotations

from pathlib import Path

CPUINFO = "/opt/emulated-cpuinfo"
_CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
"""A Neoverse N1, as its kernel shows it."""
_DROP_IN = f"""\
[Service]
PrivateIPC=no
BindReadOnlyPaths={CPUINFO}:/proc/cpuinfo
"""
_UNITS = ("twinhdr.service", "twinhdr-engine.service", "twinhdr-probation.service")
LITTLE_WORK = """\
version: 1
rig: {width: 192, height: 128, reference: {fps: 4}, secondary: {fps: 2}}
fuse: {ladder: [reference]}
preview: {fps: 0.1}
store: {min_free_gb: 0, min_free_share: 0}
"""


def prepare(root: Path, cores: int = 2) -> None:
    """Before the machine boots."""
    (root / CPUINFO.lstrip("/")).write_text("".join(_CORE.format(number=number) for number in range(cores)))
    for unit in _UNITS:
        folder = root / "etc/systemd/system" / f"{unit}.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "90-emulated.conf").write_text(_DROP_IN)
    folder = root / "etc/twinhdr/conf.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00-emulated.yaml").write_text(LITTLE_WORK)
