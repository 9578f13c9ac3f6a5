"""What the doctor says of boards: each finding fires on a tree where it should and is silent on another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge.config.layers import Config, load_config
from edge.doctor.cameras import video_findings
from edge.doctor.doctor import DEVICE_CHECKS, run_doctor
from edge.doctor.findings import Finding
from edge.doctor.machine import medium_findings
from edge.doctor.network import Stream, bits_on_the_wire
from hw.device import read_device
from tests.hw.device.boards import BOARDS, grow

Look = Callable[..., dict[str, Finding]]
GIGE = "rig: {source: gige}\ntrigger: {kind: none}\n"
SYNCED = "run/systemd/timesync/synchronized"


def config_with(folder: Path, text: str = "") -> Config:
    path = folder / "config.yaml"
    path.write_text(text or "version: 1\n")
    return load_config(path)


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Findings by name for a board, with changed files, under a configuration."""
    number = itertools.count()

    def examine(
        board: str, files: dict[str, str | None] | None = None, config: str = ""
    ) -> dict[str, Finding]:
        root = grow(tmp_path / f"root-{next(number)}", board, files)
        device, settings = read_device(root), config_with(tmp_path, config)
        findings = [finding for check in DEVICE_CHECKS for finding in check(device, settings)]
        findings += video_findings(device, settings, root)
        assert all(f.advice for f in findings if f.state in ("warn", "fail")), "a warning without a way out"
        return {finding.name: finding for finding in findings}

    return examine


@pytest.mark.parametrize(
    ("board", "warned"),
    [
        ("agx_orin", set()),
        ("agx_thor", {"power mode", "network buffers", "jumbo frames"}),
        ("orin_nano_super", {"power mode", "network buffers", "jumbo frames"}),
        ("orin_nx", {"power mode"}),
        ("pc", set()),
        (
            "raspberry_pi_4",
            {"throttling", "clock", "network buffers", "jumbo frames", "usb sleep"},
        ),
    ],
)
def test_every_board_gets_its_own_advice(look: Look, board: str, warned: set[str]) -> None:
    """One board's advice on another is a command that does harm or nothing."""
    findings = look(board, config=GIGE)
    assert {name for name, finding in findings.items() if finding.state == "warn"} == warned
    assert not any(finding.state == "fail" for finding in findings.values())


def test_all_boards_are_looked_at() -> None:
    """A tree that nobody reads proves nothing."""
    assert len(BOARDS) == 6


class TestBoard:
    def test_a_jetson_says_what_it_is(self, look: Look) -> None:
        """Whoever asks for help would have to look up five files."""
        assert look("orin_nano_super")["jetson"].found == (
            "module p3767-0005, Jetson Linux 36.4.7 (JetPack 6.2.1), GPU tegra234: Ampere, sm_87, "
            "TensorRT 10.3.0"
        )
        assert "JetPack 7.0" in look("agx_thor")["jetson"].found
        for board in ("pc", "raspberry_pi_4"):
            assert not {"jetson", "power mode", "hardware encoder"} & set(look(board)), "none of a Jetson"

    def test_missing_tensorrt_is_named(self, look: Look) -> None:
        """The network would run on the processor, at a tenth of the speed, and nobody would know why."""
        assert look("orin_nx")["jetson"].state == "ok"
        finding = look("orin_nx", {"usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": None})["jetson"]
        assert finding.state == "warn"
        assert "sudo apt install nvidia-jetpack" in finding.advice

    @pytest.mark.parametrize(
        ("board", "advice"),
        [
            ("orin_nano_super", "sudo nvpmodel -m 2 sets MAXN_SUPER"),
            ("orin_nx", "sudo nvpmodel -m 0 sets MAXN"),
            ("agx_thor", "sudo nvpmodel -m 0 sets MAXN"),
        ],
    )
    def test_the_fastest_mode_has_another_number_on_each_board(
        self, look: Look, board: str, advice: str
    ) -> None:
        """Mode 0 is the slowest but one of an Orin Nano Super and the fastest of all others."""
        assert advice in look(board)["power mode"].advice

    def test_the_fastest_mode_is_left_alone(self, look: Look) -> None:
        """A machine in order would be sent to change it."""
        assert look("agx_orin")["power mode"].state == "ok"
        assert (
            look("orin_nano_super", {"var/lib/nvpmodel/status": "pmode:0002\n"})["power mode"].state == "ok"
        )

    def test_an_encoder_that_is_not_there_is_told(self, look: Look) -> None:
        """An Orin Nano would be asked for an encoder that it does not have."""
        assert "av1" in look("orin_nano_super")["hardware encoder"].advice
        for board in ("orin_nx", "agx_orin", "agx_thor"):
            assert look(board)["hardware encoder"].found == "present"


class TestHeat:
    def test_throttling_is_told_by_name(self, look: Look) -> None:
        """Frames would fall to a lower rung and the doctor would say that all is well."""
        assert look("agx_thor")["throttling"].state == "ok"
        finding = look("agx_thor", {"sys/class/thermal/cooling_device3/cur_state": "1\n"})["throttling"]
        assert finding.state == "warn"
        assert "gpu-throttle-alert" in finding.found
        assert "jetson_clocks --fan" in finding.advice

    def test_a_fan_that_turns_is_no_throttle(self, look: Look) -> None:
        """Every cooled board would be called slow."""
        fan = {"sys/class/thermal/cooling_device8/cur_state": "4\n"}
        assert look("orin_nano_super", fan)["throttling"].state == "ok"

    def test_a_weak_supply_is_told_from_heat(self, look: Look) -> None:
        """A larger heat sink does not help against a thin cable."""
        assert "power supply" in look("raspberry_pi_4")["throttling"].advice
        word = "sys/devices/platform/soc/soc:firmware/get_throttled"
        assert look("raspberry_pi_4", {word: "50000\n"})["throttling"].state == "ok", "that was before"
        assert "heat sink" in look("raspberry_pi_4", {word: "8\n"})["throttling"].advice

    def test_each_zone_has_its_own_limit(self, look: Look) -> None:
        """95 degrees are too hot for an Orin and nothing for a Thor."""
        zone = "sys/class/thermal/thermal_zone0/temp"
        assert look("agx_orin", {zone: "93000\n"})["temperature"].state == "warn"
        assert look("agx_thor", {zone: "93000\n"})["temperature"].state == "ok"
        assert look("pc", {"sys/class/thermal/thermal_zone1/temp": "91000\n"})["temperature"].state == "warn"


class TestMemory:
    def test_little_memory_is_told(self, look: Look) -> None:
        """The kernel would end the recorder instead."""
        little = {"proc/meminfo": "MemTotal: 7801856 kB\nMemAvailable: 900000 kB\n"}
        assert look("orin_nano_super")["memory"].state == "ok"
        assert look("orin_nano_super", little)["memory"].state == "warn"

    def test_swap_in_use_no_swap_and_zram(self, look: Look) -> None:
        """A machine that swaps loses frames; one without swap cannot build an engine."""
        head = "Filename Type Size Used Priority\n"
        assert look("orin_nano_super")["swap"].state == "info", "zram, idle"
        used = look("orin_nano_super", {"proc/swaps": f"{head}/dev/zram0 partition 650144 320000 5\n"})
        assert used["swap"].state == "warn"
        none = look("orin_nano_super", {"proc/swaps": head})["swap"]
        assert (none.state, "fallocate" in none.advice) == ("warn", True)
        assert "swap" not in look("agx_thor"), "128 GB need none"
        assert look("pc")["swap"].state == "ok"


class TestClock:
    def test_a_clock_that_nobody_sets_is_told(self, look: Look) -> None:
        """Sessions would be named by the year 1970."""
        assert look("pc")["clock"].state == "ok"
        finding = look("raspberry_pi_4")["clock"]
        assert "no hardware clock" in finding.found
        assert "timedatectl set-ntp true" in finding.advice
        assert "names of sessions" in finding.advice

    def test_without_anybody_who_knows_it_is_no_warning(self, look: Look, tmp_path: Path) -> None:
        """A container has no time service and needs none."""
        (finding,) = [
            f for check in DEVICE_CHECKS for f in check(read_device(tmp_path), config_with(tmp_path))
            if f.name == "clock"
        ]  # fmt: skip
        assert finding.state == "info"


class TestNetwork:
    def test_small_buffers_cost_gige_frames_only(self, look: Look) -> None:
        """Two frames of three are lost with the kernel's usual buffer; a webcam does not care."""
        finding = look("orin_nano_super", config=GIGE)["network buffers"]
        assert finding.state == "warn"
        assert "sudo sysctl -w net.core.rmem_max=4194304" in finding.advice
        assert look("orin_nano_super")["network buffers"].state == "info"
        assert look("orin_nx", config=GIGE)["network buffers"].state == "ok"
        larger = f"{GIGE}gige: {{socket_buffer_mib: 16}}\n"
        assert "rmem_max=16777216" in look("orin_nx", config=larger)["network buffers"].advice

    def test_jumbo_frames_name_the_port(self, look: Look) -> None:
        """A command for another port would cut the line that the user sits on."""
        assert (
            "sudo ip link set enP8p1s0 mtu 9000"
            in look("orin_nano_super", config=GIGE)["jumbo frames"].advice
        )
        assert look("pc", config=GIGE)["jumbo frames"].state == "ok"
        assert "jumbo frames" not in look("orin_nano_super")

    def test_two_cameras_must_fit_the_link(self, look: Look) -> None:
        """A link that is too narrow loses packets at random, and each packet costs a frame."""
        assert look("orin_nx", config=GIGE)["camera bandwidth"].state == "ok"
        large = "rig: {source: gige, width: 2048, height: 1536}\ntrigger: {kind: none}\n"
        finding = look("orin_nx", config=large)["camera bandwidth"]
        assert finding.state == "fail"
        assert "1713 Mbit/s in packets of 9000 bytes, of the 1000 of enP8p1s0" in finding.found
        assert "rig.reference.fps: 15 and rig.secondary.fps: 7" in finding.advice
        assert look("agx_orin", config=large)["camera bandwidth"].state == "ok", "10 Gbit/s"

    def test_no_link_is_told(self, look: Look) -> None:
        """A plug that is out would look like a camera that is off."""
        down = {"sys/class/net/enP8p1s0/operstate": "down\n", "sys/class/net/enP8p1s0/speed": "-1\n"}
        assert look("orin_nx", down, GIGE)["network link"].state == "warn"

    def test_what_a_stream_takes(self) -> None:
        """By hand: 960 x 540 at 12 bits is 777600 bytes, in 533 packets of 1464 bytes and the rest."""
        stream = Stream(960, 540, 12, 30.0)
        packets = 532  # 777600 / 1464 = 531.1
        wire = 777_600 + packets * (36 + 38) + 2 * 36 + 44 + 2 * 38
        assert stream.mbit_s(1500) == pytest.approx(wire * 8 * 30 / 1e6)
        assert stream.mbit_s(9000) < stream.mbit_s(1500)

    @pytest.mark.parametrize(
        ("name", "bits"),
        [("Mono8", 8), ("BayerRG12p", 12), ("BayerRG12", 16), ("BayerRG10p", 10), ("RGB8", 24), ("Odd", 12)],
    )
    def test_what_a_pixel_takes(self, name: str, bits: int) -> None:
        """An unpacked 12-bit format takes a third more than its name says."""
        assert bits_on_the_wire(name, 12) == bits


class TestUsb:
    def test_usb3_vision_needs_memory(self, look: Look) -> None:
        """With the kernel's 16 MB a second camera does not start."""
        assert look("pc")["usb memory"].state == "ok"
        finding = look("pc", {"sys/module/usbcore/parameters/usbfs_memory_mb": "16\n"})["usb memory"]
        assert finding.state == "warn"
        assert "1000 | sudo tee /sys/module/usbcore" in finding.advice
        assert (
            look("pc", {"sys/module/usbcore/parameters/usbfs_memory_mb": "0\n"})["usb memory"].state == "ok"
        )
        assert "usb memory" not in look("raspberry_pi_4"), "webcams do not use it"

    def test_a_usb3_camera_on_a_usb2_line_is_told(self, look: Look) -> None:
        """It would film at a tenth of its rate."""
        assert "usb speed" not in look("pc")
        slow = {"sys/bus/usb/devices/2-1/speed": "480\n", "sys/bus/usb/devices/2-1/version": " 2.10\n"}
        assert "480 Mbit/s" in look("pc", slow)["usb speed"].found

    def test_cameras_that_may_sleep_are_told(self, look: Look) -> None:
        """A camera that sleeps misses the start."""
        finding = look("raspberry_pi_4")["usb sleep"]
        assert "/sys/bus/usb/devices/1-1.2/power/control" in finding.advice
        assert "usb sleep" not in look("pc")

    def test_a_hub_without_supply_is_too_weak_for_two(self, look: Look) -> None:
        """Cameras that brown out drop off the bus at random."""
        assert "usb current" not in look("raspberry_pi_4"), "the board's own hub has a supply"
        weak = look("raspberry_pi_4", {"sys/bus/usb/devices/1-1/bmAttributes": "80\n"})["usb current"]
        assert "1000 mA, its port gives 500" in weak.found


class TestCameras:
    CSI = "rig: {source: video, bit_depth: 8}\nvideo: {reference: {uri: 'csi://0'}, secondary: {uri: 'csi://3'}}\n"
    WEBCAMS = CSI.replace("csi://0", "/dev/video0").replace("csi://3", "v4l2:///dev/video2")

    def test_webcams_that_are_there_and_not(self, look: Look) -> None:
        """The recording would fail at its start instead."""
        findings = look("raspberry_pi_4", config=self.WEBCAMS)
        assert findings["reference camera"].found == "v4l2:///dev/video0 (HD Webcam C270)"
        assert findings["secondary camera"].state == "ok"
        gone = look("pc", config=self.WEBCAMS)["reference camera"]
        assert (gone.state, "v4l2-ctl --list-devices" in gone.advice) == ("fail", True)

    def test_csi_needs_sensor_and_jetson_utils(self, look: Look) -> None:
        """Two causes with two remedies would look the same."""
        findings = look("orin_nano_super", config=self.CSI)
        assert "jetson-utils" in findings["reference camera"].found
        assert "nvargus-daemon" in findings["secondary camera"].advice
        assert "vi-output, imx219 9-0010" in findings["secondary camera"].found

    def test_files_are_looked_for(self, look: Look, tmp_path: Path) -> None:
        """A film with a wrong name is found before the recording begins."""
        film = tmp_path / "film.mp4"
        film.write_bytes(b"x")
        config = self.CSI.replace("csi://0", str(film)).replace("csi://3", str(tmp_path / "gone.mp4"))
        findings = look("pc", config=config)
        assert findings["reference camera"].state == "ok"
        assert findings["secondary camera"].state == "fail"


@pytest.mark.parametrize(
    ("mounts", "state", "told"),
    [
        ("/dev/nvme0n1p1 / ext4 rw 0 0\n", "ok", "nvme0n1p1"),
        ("/dev/mmcblk0p2 / ext4 rw 0 0\n", "warn", "an SD card"),
        ("/dev/mmcblk1p1 / ext4 rw 0 0\n", "ok", "mmcblk1p1"),
        ("/dev/nvme0n1p1 / ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n", "warn", "in memory"),
        ("/dev/nvme0n1p1 / ext4 rw 0 0\nnas:/a\\040b /srv/films nfs4 rw 0 0\n", "warn", "nas:/a b"),
        ("/dev/mmcblk0p2 / ext4 rw 0 0\n/dev/sda1 /srv ext4 rw 0 0\n", "ok", "sda1"),
        ("tmpfs /srv/film tmpfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n", "ok", "sda1"),
    ],
)
def test_what_sessions_are_written_to(tmp_path: Path, mounts: str, state: str, told: str) -> None:
    """Sessions in memory are gone with the power; an SD card stops for seconds and wears out."""
    files: dict[str, str | None] = {
        "proc/mounts": mounts,
        "sys/block/mmcblk0/device/type": "SD\n",
        "sys/block/mmcblk1/device/type": "MMC\n",
        "sys/block/sda/queue/rotational": "0\n",
    }
    root = grow(tmp_path / "root", "raspberry_pi_4", files)
    (finding,) = medium_findings(config_with(tmp_path, "store: {root: /srv/films}\n"), root)
    assert (finding.state, told in finding.found) == (state, True)


def test_the_json_of_a_board_is_for_a_program(tmp_path: Path) -> None:
    """A fleet is watched by scripts: names, states and advice must be there, and the exit code agree."""
    root = grow(tmp_path / "root", "orin_nano_super")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"rig: {{source: replay}}\nreplay: {{session: {tmp_path}}}\nstore: {{root: {tmp_path}}}\n"
    )
    out = StringIO()
    code = run_doctor(path, True, Console(file=out), main_file=tmp_path / "none.yaml", root=root)
    report = json.loads(out.getvalue())
    rows = {row["name"]: row for row in report["findings"]}
    assert rows["power mode"]["state"] == "warn"
    assert rows["power mode"]["advice"].startswith("sudo nvpmodel -m 2")
    assert set(rows["machine"]) == {"name", "state", "found", "advice"}
    assert (code == 0) is report["ok"]
