"""The doctor's findings are true of this machine and change when the machine does."""

from __future__ import annotations

import json
import os
import shutil
import socket
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge.config.layers import Config, load_config
from edge.doctor import machine as doctor_machine
from edge.doctor import software as doctor_software
from edge.doctor.doctor import examine, run_doctor
from edge.doctor.findings import Finding
from edge.doctor.machine import check_disk, check_gpu, check_port, master_bytes_per_s, write_speed
from edge.doctor.software import check_encoders, check_models, check_packages, check_python, encoder_fault
from hw.device import probe_cuda
from tests.edge.tiny_model import write_tiny_model


def config_with(tmp_path: Path, text: str = "") -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(f"store:\n  root: {tmp_path}/sessions\n  min_free_gb: 0\n  min_free_share: 0\n{text}")
    return load_config(path)


def by_name(findings: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}  # type: ignore[attr-defined]


class TestSoftware:
    def test_this_installation_is_complete(self, tmp_path: Path) -> None:
        """A sound machine would be sent to repair what is not broken."""
        config = config_with(tmp_path)
        for check in (check_python, check_packages, check_encoders):
            assert [f for f in check(config) if f.state != "ok"] == []

    def test_an_encoder_that_is_not_there_is_found(self) -> None:
        """The recording would fail at its first frame instead."""
        assert encoder_fault("libx265", "yuv420p10le") is None
        assert "cannot be opened" in str(encoder_fault("no_such_encoder", "yuv420p10le"))
        assert encoder_fault("libx265", "gray16le") is not None

    def test_encoders_keep_quiet(self, capfd: pytest.CaptureFixture[str]) -> None:
        """x265's banner would stand in the middle of the table, or of the JSON."""
        for name in ("libx265", "libsvtav1"):
            encoder_fault(name, "yuv420p10le")
        assert capfd.readouterr() == ("", "")

    def test_a_missing_package_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A broken library would be reported as present because its metadata is."""
        monkeypatch.setitem(doctor_software.PACKAGES, "no_such_module", "no-such-package")
        (finding,) = check_packages(config_with(tmp_path))
        assert finding.state == "fail"
        assert "no-such-package (ModuleNotFoundError" in finding.found

    def test_a_network_that_answers_nonsense_fails(self, tmp_path: Path) -> None:
        """A damaged or foreign network would record hours of nonsense."""
        right = write_tiny_model(tmp_path / "right.onnx", gain=1.6)
        wrong = write_tiny_model(tmp_path / "wrong.onnx", gain=40.0)
        torn = tmp_path / "torn.onnx"
        torn.write_bytes(right.read_bytes()[:200])
        for path, expected in (
            (wrong, "dB PSNR-mu"),
            (torn, "not a readable"),
            (tmp_path / "no.onnx", "not exist"),
        ):
            config = config_with(tmp_path, f"fuse: {{model: {path}}}\n")
            finding = by_name(check_models(config))[f"network {path}"]
            assert finding.state == "fail"
            assert expected in finding.found

    def test_shipped_networks_pass(self, tmp_path: Path) -> None:
        """The doctor would fail on every sound machine."""
        shipped = [*doctor_software.MODELS.glob("eafnet-*.onnx")]
        if not shipped:
            pytest.skip("this build ships no networks")
        assert {f.state for f in check_models(config_with(tmp_path)) if "gradient" in f.found} == {"ok"}


class TestMachine:
    def test_the_gpu_is_what_the_driver_says(self, tmp_path: Path) -> None:
        """A GPU would be promised where there is none."""
        (finding,) = check_gpu(config_with(tmp_path))
        assert finding.state == ("ok" if probe_cuda().devices else "info")

    def test_the_disk_is_measured_where_sessions_go(self, tmp_path: Path) -> None:
        """Room would be looked for on another disk."""
        findings = by_name(check_disk(config_with(tmp_path), measure=True))
        assert findings["store"].state == "ok"
        assert str(tmp_path) in findings["store"].found
        assert "MB/s with sync" in findings["disk speed"].found
        assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"], "the speed test left something behind"

    def test_the_disk_is_written_only_when_asked(self, tmp_path: Path) -> None:
        """A look at a machine that records would cost it frames."""
        assert "disk speed" not in by_name(check_disk(config_with(tmp_path)))
        finding = by_name(check_disk(config_with(tmp_path, "masters: {enabled: true}\n")))["disk speed"]
        assert (finding.state, finding.advice) == ("info", "twinhdr doctor --measure-disk")
        assert "masters write 24 MB/s" in finding.found

    def test_a_disk_too_slow_for_the_masters_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Masters would lose frames, hours into a recording."""
        config = config_with(tmp_path, "masters: {enabled: true}\n")
        for speed, state in ((1e12, "ok"), (40e6, "warn")):
            monkeypatch.setattr(doctor_machine, "write_speed", lambda _folder, speed=speed: speed)
            finding = by_name(check_disk(config, measure=True))["disk speed"]
            assert finding.state == state
        assert "at least 49 MB/s" in finding.advice

    def test_a_full_disk_fails(self, tmp_path: Path) -> None:
        """The recording would end at once instead."""
        config = load_config(main_file=tmp_path / "none.yaml")
        store = config.store.model_copy(update={"root": tmp_path, "min_free_gb": 1e6})
        (finding,) = check_disk(config.model_copy(update={"store": store}))
        assert finding.state == "fail"
        assert "min_free_gb" in finding.advice

    def test_a_store_below_a_file_cannot_be_written(self, tmp_path: Path) -> None:
        """The recording would fail at its first file."""
        (tmp_path / "file").write_text("")
        config = load_config(main_file=tmp_path / "none.yaml")
        store = config.store.model_copy(update={"root": tmp_path / "file/sessions"})
        (finding,) = check_disk(config.model_copy(update={"store": store}))
        assert finding.state == "warn"
        assert "cannot be written" in finding.found

    def test_write_speed_is_plausible(self, tmp_path: Path) -> None:
        """A speed in the wrong unit would warn everybody or nobody."""
        assert 1e5 < write_speed(tmp_path, 2**20) < 1e12

    def test_masters_ask_for_the_speed_they_need(self, tmp_path: Path) -> None:
        """Lossless masters would lose frames on a disk the doctor called fast."""
        assert master_bytes_per_s(config_with(tmp_path)) == 0
        masters = config_with(tmp_path, "masters: {enabled: true}\n")
        assert master_bytes_per_s(masters) == pytest.approx(960 * 540 * 1.5 * 45 * 0.7)

    def test_a_taken_port_is_named(self, tmp_path: Path) -> None:
        """The page would not open and nobody would know why."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(1)
            port = server.getsockname()[1]
            (finding,) = check_port(config_with(tmp_path, f"web: {{port: {port}}}\n"))
            assert (finding.state, finding.found) == ("warn", f"127.0.0.1:{port}: in use")
        (finding,) = check_port(config_with(tmp_path, f"web: {{port: {port}}}\n"))
        assert finding.state == "ok"
        (finding,) = check_port(config_with(tmp_path, "web: {host: not-a-host.invalid}\n"))
        assert finding.state == "warn"
        (finding,) = check_port(config_with(tmp_path, "web: {enabled: false}\n"))
        assert finding.state == "info"


class TestReport:
    def test_a_faulty_configuration_fails_and_the_rest_is_still_examined(self, tmp_path: Path) -> None:
        """The one tool for a broken machine would give up on the first break."""
        path = tmp_path / "config.yaml"
        path.write_text("rig: {width: 961}\nlog: {level: loud}\n")
        findings = by_name(examine(path, tmp_path / "none.yaml"))
        assert findings["configuration"].state == "fail"
        assert f"{path}:1: rig.width" in findings["configuration"].found
        assert "1 more" in findings["configuration"].found
        assert findings["python"].state == "ok"

    def test_json_and_exit_code_agree(self, tmp_path: Path) -> None:
        """A script would go on with a machine that cannot record."""
        path = tmp_path / "config.yaml"
        path.write_text(f"fuse: {{model: {tmp_path}/gone.onnx}}\nstore: {{root: {tmp_path}}}\n")
        out = StringIO()
        code = run_doctor(path, True, Console(file=out), main_file=tmp_path / "none.yaml")
        report = json.loads(out.getvalue())
        assert (code, report["ok"]) == (1, False)
        assert {f["name"] for f in report["findings"] if f["state"] == "fail"} == {
            f"network {tmp_path}/gone.onnx"
        }

    def test_the_table_says_what_to_do(self, tmp_path: Path) -> None:
        """A red word without advice helps nobody."""
        path = tmp_path / "config.yaml"
        path.write_text("rig: {width: 961}\n")
        out = StringIO()
        width = shutil.get_terminal_size().columns
        assert run_doctor(path, False, Console(file=out, width=max(width, 100)), main_file=path) == 1
        assert "-> run twinhdr check" in out.getvalue()
        assert "failed" in out.getvalue()


def test_looking_at_the_encoders_leaves_the_priority_alone() -> None:
    """SVT-AV1 takes real-time priority where root runs it: after `doctor` nothing else would get a turn."""
    assert encoder_fault("libsvtav1", "yuv420p10le") is None
    policies = {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}
    assert policies == {os.SCHED_OTHER}
