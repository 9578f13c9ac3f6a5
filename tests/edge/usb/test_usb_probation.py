"""A stick in the field: what is good and works stays, all else leaves the device as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge.settings import edit
from edge.usb.apply import Device, settle
from edge.usb.ledger import Ledger, Tried, digest
from edge.usb.probation import Kept, Reverted, Sample, Watch, step
from edge.usb.stick import CONFIG, REPORT
from edge.usb.visit import visit

GOOD = Sample(active=True, failed=False, restarts=0)
STARTING = Sample(active=False, failed=False, restarts=0, state="activating")
ILL = Sample(active=True, failed=False, restarts=0, faults=("disk: full",))
FAILED = Sample(active=False, failed=True, restarts=0, state="failed, exit-code")

MAIN = "version: 1\nrig: {width: 640}\nstore: {root: sessions}\n"
WIDER = "version: 1\nrig:\n  width: 800\n"
FINER = "hdr: {crf: 18}\n"


def no_log(_most: int) -> bytes:
    return b""


@dataclass
class Systemd:
    """In the place of systemd: the recorder is as the plan says, second by second since it was last told."""

    plan: Callable[[float], Sample] = lambda _s: GOOD
    now_s: float = 1000.0
    told_s: float = 1000.0
    told: list[str] = field(default_factory=list)

    def sample(self) -> Sample:
        return self.plan(self.now_s - self.told_s)

    def restart(self) -> None:
        self._tell("restart")

    def reload(self) -> None:
        self._tell("reload")

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.told_s = self.now_s


@dataclass
class Field:
    """A device and a stick."""

    device: Device
    systemd: Systemd
    stick: Path

    def plug_in(self, text: str | None = None) -> str:
        """Returns the report that is on the stick then."""
        if text is not None:
            (self.stick / CONFIG).write_text(text)
        visit(self.stick, self.device, "mast-7", no_log)
        return (self.stick / REPORT).read_text()

    def width(self) -> int:
        return edit.load_layers(self.device.main).config.rig.width


@pytest.fixture
def there(tmp_path: Path) -> Field:
    for name in ("etc", "stick"):
        (tmp_path / name).mkdir()
    main = tmp_path / "etc" / "config.yaml"
    main.write_text(MAIN)
    systemd = Systemd()
    ledger = Ledger(tmp_path / "usb")
    return Field(
        Device(systemd, ledger, lambda: systemd.now_s, systemd.wait, main), systemd, tmp_path / "stick"
    )


def test_a_good_configuration_stays_after_a_minute(there: Field) -> None:
    """The way to change a device that has no network."""
    report = there.plug_in(WIDER)
    assert there.width() == 800
    assert there.device.layer.read_text() == WIDER
    assert "applied. The recorder was healthy for 60 s." in report
    assert "rig.width: 640 -> 800" in report
    assert report.endswith("Done. The stick can be pulled.\n")
    assert there.systemd.told == ["restart"]
    assert there.systemd.now_s == pytest.approx(1060, abs=1)


def test_what_was_wrong_before_is_not_blamed_on_the_stick(there: Field) -> None:
    """A device with a dead secondary camera could not be changed any more, not even to do without it."""
    there.systemd.plan = lambda _s: ILL
    assert "applied" in there.plug_in(WIDER)
    worse = replace(ILL, faults=(*ILL.faults, "cameras: none answers"))
    there.systemd.plan = lambda _s: worse if len(there.systemd.told) > 1 else ILL
    assert "reverted, the configuration is as before: not healthy for 60 s" in there.plug_in(FINER)


def test_the_same_stick_again_changes_nothing(there: Field) -> None:
    """A stick that is left in would restart the recorder at each boot."""
    there.plug_in(WIDER)
    assert "seen before, nothing is changed. It was applied" in there.plug_in()
    assert there.systemd.told == ["restart"]


def test_what_can_change_while_filming_does(there: Field) -> None:
    """A recording would be cut for a value that needs no restart."""
    there.plug_in(FINER)
    assert there.systemd.told == ["reload"]


def test_a_wrong_configuration_is_refused_with_its_lines(there: Field) -> None:
    """Who plugged it in stands in a field without a screen: the report is all there is."""
    report = there.plug_in("version: 1\nrig:\n  width: 641\n  widht: 1\n")
    assert "twinhdr.yaml:3: rig.width: got 641; expected an even number" in report
    assert "twinhdr.yaml:4: rig.widht: unknown key; did you mean width?" in report
    assert there.width() == 640
    assert there.systemd.told == []
    assert "It was refused: twinhdr.yaml:3" in there.plug_in()


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (lambda s: FAILED if s > 5 else GOOD, "the recorder failed (failed, exit-code)"),
        (lambda s: Sample(True, False, int(s > 30)), "was started again 1 time(s)"),
        (lambda _s: ILL, "not healthy for 60 s within 180 s: disk: full"),
        (lambda s: ILL if int(s) % 50 == 49 else GOOD, "not healthy for 60 s within 180 s"),
        (lambda _s: STARTING, "the recorder is activating"),
    ],
)
def test_what_does_not_work_is_taken_back(there: Field, plan: Callable[[float], Sample], why: str) -> None:
    """A valid value can still be the wrong one: a camera that does not take it, a disk that is too small."""
    there.plug_in("rig: {height: 480}\n")
    there.systemd.told.clear()
    there.systemd.plan = lambda s: plan(s) if there.systemd.told else GOOD
    report = there.plug_in(WIDER)
    assert "reverted, the configuration is as before: " in report
    assert why in report
    assert there.device.layer.read_text() == "rig: {height: 480}\n", "what an earlier stick brought is lost"
    assert there.systemd.told[-1] == "restart"
    assert "It was reverted" in there.plug_in()
    assert there.width() == 640


def test_the_first_stick_is_taken_back_to_no_file(there: Field) -> None:
    """A leftover would count at the next start."""
    there.systemd.plan = lambda s: FAILED if there.systemd.told else GOOD
    there.plug_in(WIDER)
    assert not there.device.layer.exists()


def test_a_power_cut_in_the_probation_is_settled_at_the_next_start(there: Field) -> None:
    """A configuration that crashes the whole machine would be there for ever."""
    there.device.ledger.begin(Tried(digest(WIDER), None))
    edit.save(WIDER, there.device.main, edit.USB_LAYER)
    there.systemd.plan = lambda s: FAILED if not there.systemd.told else GOOD
    assert "reverted" in settle(there.device)[0]
    assert not there.device.layer.exists()
    assert settle(there.device) == []


def test_a_recorder_that_a_person_has_stopped_stays_so(there: Field) -> None:
    """A stick would start a device that somebody is working on."""
    there.systemd.plan = lambda _s: Sample(False, False, 0, stopped=True, state="inactive")
    assert "good, but not applied: the recorder is not running" in there.plug_in(WIDER)
    assert there.systemd.told == []
    there.systemd.plan = lambda _s: GOOD
    assert "applied." in there.plug_in()


def test_a_stick_pulled_in_the_middle_leaves_a_device_that_works(there: Field, tmp_path: Path) -> None:
    """The probation would never end, and nobody would know how it did."""

    def pulled(_s: float) -> Sample:
        if there.systemd.told and there.stick.exists():
            there.stick.rename(tmp_path / "in a pocket")
        return GOOD

    there.systemd.plan = pulled
    (there.stick / CONFIG).write_text(WIDER)
    visit(there.stick, there.device, "mast-7", no_log)
    assert there.width() == 800
    assert "applied." in (tmp_path / "usb" / "last-report.txt").read_text()


def test_a_stick_that_asks_for_nothing_is_left_as_it_is(there: Field) -> None:
    """Every stick that is plugged in, with anything on it, would get a file."""
    assert visit(there.stick, there.device, "mast-7", no_log) == []
    assert os.listdir(there.stick) == []


def test_hostile_files_are_refused(there: Field, tmp_path: Path) -> None:
    """What is on a stick comes from anybody: the device would hang, or show its secrets in the report."""
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2\n")
    file = there.stick / CONFIG
    file.symlink_to(secret)
    report = there.plug_in()
    assert "cannot be read" in report
    assert "hunter2" not in report
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in there.plug_in()
    file.unlink()
    file.mkdir()
    assert "cannot be read: Is a directory" in there.plug_in()
    file.rmdir()
    file.write_bytes(b"#" * 300_000)
    assert "larger than 256 KiB" in there.plug_in()
    file.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in there.plug_in()
    assert there.systemd.told == []
    assert there.width() == 640


def test_a_probation_counts_from_the_last_fault() -> None:
    """Fifty-nine good seconds before a fault and one after it are no healthy minute."""
    watch = Watch(began_s=0.0)
    for now_s, sample in ((0.0, GOOD), (59.0, GOOD), (59.5, ILL), (60.0, GOOD), (119.0, GOOD)):
        found = step(watch, sample, now_s)
        assert isinstance(found, Watch), now_s
        watch = found
    assert step(watch, GOOD, 120.0) == Kept()
    assert isinstance(step(watch, FAILED, 120.0), Reverted)
