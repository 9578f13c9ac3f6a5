"""Device facts are those of the machine, and a machine that says nothing is no error."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.device import CudaProbe, probe_cuda, read_device

# As files of an Orin Nano developer kit on JetPack 6.2 read, NUL bytes and all.
ORIN_NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0"
    "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, "
    "DATE: Thu Sep 18 22:54:44 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
    "TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
    "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
    "proc/meminfo": "MemTotal:        7650336 kB\nMemFree:          123456 kB\nMemAvailable:    5120000 kB\n",
    "proc/sys/net/core/rmem_max": "212992\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48937\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "50312\n",
}


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    for name, text in ORIN_NANO.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_an_orin_nano_is_recognised(orin: Path) -> None:
    """The doctor would advise for the wrong machine."""
    device = read_device(orin)
    assert device.is_jetson
    assert device.model == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert device.module == "p3767-0005"
    assert device.l4t == "36.4.7"
    assert device.power_mode == "MAXN_SUPER (mode 2)"
    assert device.memory_total_bytes == 7650336 * 1024
    assert device.memory_available_bytes == 5120000 * 1024
    assert device.rmem_max_bytes == 212992


def test_sleeping_zones_are_left_out(orin: Path) -> None:
    """A zone at -256 degrees, or an error on reading it, would spoil the hottest temperature."""
    assert read_device(orin).celsius == {"cpu-thermal": 48.937, "tj-thermal": 50.312}


@pytest.mark.parametrize(
    ("module", "nvenc"), [("p3767-0005", False), ("p3767-0000", True), ("p3701-0005", True)]
)
def test_which_modules_encode_in_hardware(orin: Path, module: str, nvenc: bool) -> None:
    """An Orin Nano would be asked for an encoder that it does not have."""
    (orin / "proc/device-tree/compatible").write_text(f"nvidia,p0000-0000+{module}\0nvidia,tegra234\0")
    assert read_device(orin).nvenc is nvenc


def test_a_power_mode_without_a_name_keeps_its_number(orin: Path) -> None:
    """A custom power configuration would hide the mode."""
    (orin / "etc/nvpmodel.conf").unlink()
    assert read_device(orin).power_mode == "mode 2"


def test_a_machine_that_says_nothing_is_no_error(tmp_path: Path) -> None:
    """The doctor would end with a traceback in a container."""
    device = read_device(tmp_path)
    assert not device.is_jetson
    assert device.nvenc is None
    assert device.celsius == {}


def test_this_machine_knows_its_memory() -> None:
    """The real files would not be where we look."""
    device = read_device()
    assert device.memory_total_bytes
    assert device.rmem_max_bytes
    assert device.memory_available_bytes
    assert device.memory_available_bytes <= device.memory_total_bytes


def test_no_driver_is_an_answer() -> None:
    """A machine without a GPU would end the doctor."""
    assert probe_cuda("libno-such-cuda.so.1") == CudaProbe(
        0, "no NVIDIA driver (libno-such-cuda.so.1 is not there)"
    )


def test_the_driver_is_asked_without_harm() -> None:
    """The probe itself would crash where a driver is installed without a device."""
    probe = probe_cuda()
    assert probe.devices >= 0
    assert bool(probe.reason) == (probe.devices == 0)
