"""The command line: the documented syntax works, mistakes cost one line, and bugs are not hidden."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.commands import check as check_module
from edge.config.layers import DEFAULTS
from tests.edge.tiny_model import write_tiny_model

COMMANDS = ("run", "check", "fuse", "refuse", "info", "doctor", "bench", "demo")
ROOT = Path(__file__).parents[2]


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(argument) for argument in arguments])


def refused(code: int, *arguments: object) -> str:
    """The one line on standard error with which the command ended."""
    result = invoke(*arguments)
    assert result.exit_code == code, f"{result.exit_code}: {result.stderr} {result.exception!r}"
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.rstrip("\n")


@pytest.fixture
def bracket(tmp_path: Path) -> Path:
    """A folder with low.png, reference.tif, high.jpg of 45x33 and a model file tiny.onnx."""
    radiance = np.geomspace(0.01, 4, 45 * 33).reshape(33, 45, 1) * np.array([0.8, 1.0, 0.9])
    for name, ev, full in (("low.png", -2, 65535), ("reference.tif", 0, 65535), ("high.jpg", 2, 255)):
        coded = np.clip(radiance * 2.0**ev, 0, 1) ** (1 / 2.2) * full
        cv2.imwrite(str(tmp_path / name), coded.astype(np.uint16 if full > 255 else np.uint8))
    write_tiny_model(tmp_path / "tiny.onnx")
    return tmp_path


def fuse_arguments(folder: Path, **changed: object) -> list[object]:
    given = {
        "--low": folder / "low.png",
        "--reference": folder / "reference.tif",
        "--high": folder / "high.jpg",
        "--out": folder / "out.exr",
        "--model": folder / "tiny.onnx",
    } | {f"--{name}": value for name, value in changed.items() if name != "ev"}
    ev = changed.get("ev", (-2, 0, 2))
    assert isinstance(ev, tuple)
    return ["fuse", *(part for pair in given.items() for part in pair), "--ev", *ev]


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_teaches_by_example(self, command: str) -> None:
        """Someone new would have to guess the syntax."""
        result = invoke(command, "--help")
        assert result.exit_code == 0
        assert f"Example:\n    twinhdr {command}" in result.stdout
        assert invoke(command, "-h").stdout == result.stdout

    def test_the_overview_lists_every_command_whole(self) -> None:
        """Descriptions that end in dots tell half of what there is."""
        result = invoke("--help")
        for command in (*COMMANDS, "cameras", "calibrate", "trigger"):
            assert f"\n  {command} " in result.stdout
        assert "...\n" not in result.stdout.split("Commands:")[1]
        assert result.stdout in invoke().output

    def test_help_is_quick_and_loads_nothing_heavy(self) -> None:
        """Half a second of waiting for a line of help, and none at all where a library is broken."""
        code = (
            "import sys\nfrom edge.cli import main\ntry:\n  main()\nfinally:\n"
            "  heavy = {'cv2', 'numpy', 'onnxruntime', 'av', 'pydantic', 'rich', 'torch', 'aiohttp'}\n"
            "  print('loaded:', sorted(heavy & set(sys.modules)))"
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0
        assert done.stdout.endswith("loaded: []\n"), done.stdout[-200:]
        # CPU time: other work on the machine does not count. 0.15 s where this was written.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5

    def test_version(self) -> None:
        """A fault report would not say what it is about."""
        assert invoke("--version").stdout.startswith("twinhdr ")


class TestCheck:
    def test_the_effective_configuration_names_its_sources(self, tmp_path: Path) -> None:
        """An engineer would not see which of three files won."""
        path = tmp_path / "config.yaml"
        path.write_text("rig:\n  width: 640\n")
        result = invoke("check", "--config", path)
        assert result.exit_code == 0
        text = result.stdout.replace("\n", "")
        assert "640" in text
        assert f"1 set by hand.  read {DEFAULTS.name}  read {path}" in text
        assert f"{path}:2" in "".join(text.split()), "a long path is folded, never cut"

    @pytest.mark.parametrize("command", ["check", "run", "bench"])
    def test_all_faults_come_out_one_a_line_with_exit_78(self, tmp_path: Path, command: str) -> None:
        """systemd would restart a recorder for ever that cannot start (RestartPreventExitStatus=78)."""
        path = tmp_path / "config.yaml"
        path.write_text("rig:\n  widht: 640\n  height: 481\npair: {wait_ms: 5s}\n")
        result = invoke(command, "--config", path)
        assert result.exit_code == 78
        lines = result.stderr.splitlines()
        assert [line.split(": ")[:2] for line in lines] == [
            [f"{path}:2", "rig.widht"],
            [f"{path}:3", "rig.height"],
            [f"{path}:4", "pair.wait_ms"],
        ]

    def test_a_missing_file_is_one_line(self, tmp_path: Path) -> None:
        """The commonest mistake would give the longest message."""
        assert refused(78, "check", "--config", tmp_path / "gone.yaml").startswith(
            f"{tmp_path}/gone.yaml: No such"
        )


class TestFuse:
    def test_the_documented_call_writes_radiance_and_a_picture(self, bracket: Path) -> None:
        """The first thing in the manual would not work."""
        result = invoke(*fuse_arguments(bracket, preview=bracket / "p.png"))
        assert result.exit_code == 0, result.stderr
        with OpenEXR.File(str(bracket / "out.exr")) as file:
            pixels = file.channels()["RGB"].pixels
            header = dict(file.header())
        assert pixels.shape == (33, 45, 3)
        assert pixels.dtype == np.float32
        assert header["twinhdr"] == "fused by tiny from exposures at EV -2 0 2"
        assert cv2.imread(str(bracket / "p.png")).shape == (33, 45, 3)

    def test_it_works_as_a_process_too(self, bracket: Path) -> None:
        """What holds in the test runner must hold in a shell: exit code, streams, no stray output."""
        command = [sys.executable, "-m", "edge.cli", *map(str, fuse_arguments(bracket))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.strip().endswith(f"wrote {bracket}/out.exr")
        command[command.index(str(bracket / "low.png"))] = str(bracket / "gone.png")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (66, "")
        assert (
            done.stderr
            == f"twinhdr: {bracket}/gone.png: cannot be read: No such file or directory; check the path\n"
        )

    def test_wrong_order_sizes_and_names(self, bracket: Path) -> None:
        """Each mistake would cost a traceback, or the work before it is found."""
        cv2.imwrite(str(bracket / "small.png"), np.zeros((33, 44, 3), np.uint8))
        (bracket / "torn.png").write_bytes((bracket / "low.png").read_bytes()[:-30])
        expected = [
            (65, {"ev": (2, 0, -2)}, "EV 2 0 -2: they must rise"),
            (65, {"low": bracket / "small.png"}, "is 44x33"),
            (65, {"low": bracket / "torn.png"}, "it was cut off"),
            (65, {"low": bracket / "tiny.onnx"}, "not a PNG, TIFF, JPEG or EXR"),
            (73, {"out": bracket / "out.gif"}, "must end with one of .exr"),
            (73, {"out": bracket / "gone/out.exr"}, "there is no folder"),
            (73, {"preview": bracket / "p.jpg"}, "must end with .png"),
            (1, {"model": bracket / "gone.onnx"}, "does not exist"),
            (1, {"model": bracket / "low.png"}, "not a readable ONNX file"),
        ]
        for code, changed, text in expected:
            assert text in refused(code, *fuse_arguments(bracket, **changed))  # type: ignore[arg-type]
        assert not (bracket / "out.exr").exists()

    def test_swapped_files_bring_a_warning(self, bracket: Path) -> None:
        """The picture would be wrong without a word."""
        result = invoke(*fuse_arguments(bracket, low=bracket / "high.jpg", high=bracket / "low.png"))
        assert result.exit_code == 0
        assert "were the files swapped?" in result.stderr

    def test_a_missing_number_is_a_usage_error(self, bracket: Path) -> None:
        """Two EV values would swallow the next option."""
        result = invoke(*fuse_arguments(bracket, ev=(-2, 0)))
        assert result.exit_code == 2
        assert "--ev" in result.stderr


class TestOtherCommands:
    @pytest.mark.parametrize("command", ["info", "refuse"])
    def test_what_is_no_session_is_one_line(self, tmp_path: Path, command: str) -> None:
        """A wrong folder would end in a traceback."""
        for path in (tmp_path, tmp_path / "gone"):
            result = invoke(command, path)
            assert result.exit_code not in (0, 2)
            assert result.stderr.count("\n") == 1
            assert str(path) in result.stderr

    def test_doctor_answers_in_json(self, tmp_path: Path) -> None:
        """A script could not read the answer."""
        path = tmp_path / "config.yaml"
        path.write_text(f"store: {{root: {tmp_path}}}\n")
        result = invoke("doctor", "--json", "--config", path)
        report = json.loads(result.stdout)
        assert report["ok"] == (result.exit_code == 0)
        assert {"python", "packages", "store"} <= {finding["name"] for finding in report["findings"]}

    def test_run_then_info_then_refuse(self, bracket: Path) -> None:
        """The commands would not fit each other, or the daemon not the command."""
        path, session = bracket / "config.yaml", bracket / "session"
        path.write_text(
            f"rig: {{width: 192, height: 128}}\nfuse: {{model: {bracket}/tiny.onnx}}\n"
            "masters: {enabled: true}\nweb: {enabled: false}\nlog: {level: warning}\n"
            "store: {min_free_gb: 0, min_free_share: 0}\n"
        )
        ran = invoke("run", "--config", path, "--duration", "0.5", "--session", session)
        assert ran.exit_code == 0, ran.output
        again = invoke("run", "--config", path, "--duration", "0.5", "--session", session)
        assert again.exit_code == 73
        redone = invoke("refuse", session, "--model", bracket / "tiny.onnx")
        assert redone.exit_code == 0, redone.output
        told = invoke("info", session)
        assert told.exit_code == 0, told.output
        assert "refused with tiny" in told.stdout

    @pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "ten"])
    def test_a_duration_that_never_comes_is_a_usage_error(self, seconds: str) -> None:
        """The recording would never end, or end before its first frame."""
        result = invoke("run", "--duration", seconds)
        assert result.exit_code == 2
        assert "Error" in result.stderr

    def test_bench_answers_in_json(self, tmp_path: Path) -> None:
        """The figures could not be compared from one version to the next."""
        path = tmp_path / "config.yaml"
        path.write_text("rig: {width: 192, height: 128}\n")
        result = invoke("bench", "--frames", 2, "--json", "--config", path)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["frames"] == 2


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error dressed up as a user's mistake could never be found."""

    def broken(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(check_module, "print_config", broken)
    result = invoke("check")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)
