"""Device facts are those of the machine, and a machine that says nothing is no error."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.device import Clock, CudaProbe, Interface, Swap, probe_cuda, read_device
from hw.device.board import fastest as fastest_mode
from tests.hw.device.boards import grow


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """An Orin Nano developer kit on JetPack 6.2, NUL bytes and all."""
    return grow(tmp_path, "orin_nano_super")


def test_an_orin_nano_is_recognised(orin: Path) -> None:
    """The doctor would advise for the wrong machine."""
    device = read_device(orin)
    assert device.is_jetson
    assert device.model == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert device.module == "p3767-0005"
    assert device.l4t == "36.4.7"
    assert device.power_mode == "25W (mode 1)"
    assert device.memory_total_bytes == 7801856 * 1024
    assert device.memory_available_bytes == 5120000 * 1024
    assert device.rmem_max_bytes == 212992


def test_sleeping_zones_are_left_out(orin: Path) -> None:
    """A zone at -256 degrees, or an error on reading it, would spoil the hottest temperature."""
    celsius = read_device(orin).celsius
    assert (celsius["cpu-thermal"], celsius["tj-thermal"]) == (48.937, 50.312)
    assert not {"gpu-thermal", "cv0-thermal"} & set(celsius)


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
    assert read_device(orin).power_mode == "mode 1"


def test_a_machine_that_says_nothing_is_no_error(tmp_path: Path) -> None:
    """The doctor would end with a traceback in a container."""
    device = read_device(tmp_path)
    assert not device.is_jetson
    assert device.nvenc is None
    assert device.celsius == {}


@pytest.mark.parametrize(
    ("board", "model", "gpu", "jetpack", "tensorrt"),
    [
        ("orin_nano_super", "Orin Nano", "sm_87", "6.2.1", "10.3.0"),
        ("orin_nx", "Orin NX", "sm_87", "6.2.1", "10.3.0"),
        ("agx_orin", "AGX Orin", "sm_87", "6.2", "10.3.0"),
        ("agx_thor", "AGX Thor", "sm_110", "7.0", "10.13.3"),
        ("raspberry_pi_4", "Raspberry Pi 4", None, None, None),
        ("pc", "OptiPlex", "RTX 4070", None, "10.9.0"),
    ],
)
def test_boards_are_told_apart(
    tmp_path: Path, board: str, model: str, gpu: str | None, jetpack: str | None, tensorrt: str | None
) -> None:
    """Advice and engines are per board: one taken for another is wrong throughout."""
    device = read_device(grow(tmp_path, board))
    assert model in str(device.model)
    assert (gpu or "None") in str(device.gpu)
    assert (device.jetpack, device.tensorrt) == (jetpack, tensorrt)
    assert device.is_jetson is (jetpack is not None)


@pytest.mark.parametrize(
    ("board", "fastest"),
    [("orin_nano_super", 2), ("orin_nx", 0), ("agx_orin", 0), ("agx_thor", 0), ("pc", None)],
)
def test_the_fastest_power_mode_of_each_board(tmp_path: Path, board: str, fastest: int | None) -> None:
    """The number of the fastest mode is another on each board, and 0 is slow on an Orin Nano Super."""
    assert read_device(grow(tmp_path, board)).fastest_power_mode == fastest


@pytest.mark.parametrize(
    ("modes", "fastest"),
    [
        ({0: "MAXN", 4: "MAXN_SUPER"}, 4),
        ({1: "MODE_15W", 2: "MODE_50W", 3: "MODE_30W"}, 2),
        ({0: "QUIET"}, None),
    ],
)
def test_the_fastest_of_other_tables(modes: dict[int, str], fastest: int | None) -> None:
    """A carrier's own table has modes that no board of ours has."""
    assert fastest_mode(modes) == fastest


def test_only_wired_hardware_carries_cameras(tmp_path: Path) -> None:
    """A bridge of containers or the radio would be taken for the camera's port."""
    nano = read_device(grow(tmp_path / "nano", "orin_nano_super"))
    assert nano.interfaces == (Interface("enP8p1s0", 1000, 1500, True),)
    pc = read_device(grow(tmp_path / "pc", "pc"))
    assert pc.interfaces == (Interface("enp3s0", 2500, 9000, True),)
    thor = read_device(grow(tmp_path / "thor", "agx_thor"))
    assert thor.interfaces == (
        Interface("enP2p1s0", 5000, 1500, True),
        Interface("mgbe0_0", None, 1500, False),
    )


def test_cameras_on_the_bus(tmp_path: Path) -> None:
    """A mouse would be told apart from a camera by nobody."""
    pi = read_device(grow(tmp_path / "pi", "raspberry_pi_4"))
    assert [(one.port, one.kind) for one in pi.usb] == [
        ("1-1", "hub"),
        ("1-1.1", "webcam"),
        ("1-1.2", "webcam"),
    ]
    assert pi.video_nodes == {"/dev/video0": "HD Webcam C270", "/dev/video2": "HD Webcam C270"}
    (camera,) = read_device(grow(tmp_path / "pc", "pc")).usb
    assert (camera.kind, camera.mbit_s, camera.usb3, camera.may_sleep) == ("usb3_vision", 5000, True, False)


def test_swap_and_clock(tmp_path: Path) -> None:
    """Swap in compressed memory is no swap, and a clock without a battery no clock."""
    nano = read_device(grow(tmp_path / "nano", "orin_nano_super"))
    assert nano.swap == Swap(6 * 650_144 * 1024, 0, True)
    assert nano.clock == Clock(True, "nvvrs-pseq-rtc")
    pi = read_device(grow(tmp_path / "pi", "raspberry_pi_4"))
    assert pi.clock == Clock(False, None)
    assert pi.swap == Swap(524_284 * 1024, 0, False)


def test_zones_have_limits_by_name(tmp_path: Path) -> None:
    """The limit of one zone would be applied to another."""
    thor = read_device(grow(tmp_path, "agx_thor"))
    assert {trip.zone: trip.celsius for trip in thor.trips}["soc012-thermal"] == 109.0
    assert "gpu-thermal" not in thor.celsius, "asleep"
    assert thor.throttles == ()


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
