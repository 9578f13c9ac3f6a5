"""Recordings and logs taken home on a stick: whole files that can be checked, as many as fit."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.usb import export as exporting
from edge.usb.export import SUMS, copy_tree, export
from edge.usb.stick import CONFIG, EXPORT, EXPORTS, ExportFile, read_stick

EVERYTHING = ExportFile(export=("logs", "newest-session"))


def log(most: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(1000))[-most:]


def checked(folder: Path) -> list[str]:
    """The files that their checksums vouch for; fails on one that they do not."""
    names = []
    for line in (folder / SUMS).read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        names.append(name)
    return sorted(names)


def files_of(folder: Path) -> list[str]:
    return sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != SUMS
    )


@pytest.fixture
def root(tmp_path: Path, recording: Path) -> Path:
    """Where the device keeps its one session."""
    root = tmp_path / "sessions"
    root.mkdir()
    shutil.copytree(recording, root / "20260102T030405Z-1")
    return root


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def test_the_newest_session_and_the_log_arrive_whole(root: Path, stick: Path) -> None:
    """Who drives home with the stick finds out there that the recording is damaged."""
    lines = list(export(EVERYTHING, stick, root, "mast 7", log))
    home = stick / EXPORTS / "mast-7"
    session = home / "sessions" / "20260102T030405Z-1"
    assert checked(session) == files_of(root / "20260102T030405Z-1")
    assert (home / "logs" / "journal-0001.log").read_bytes() == log(10**6)
    assert lines[0] == "logs: 0.0 MB in logs/journal-0001.log"
    assert lines[1].endswith("; complete")


def test_a_second_visit_copies_only_what_is_missing(root: Path, stick: Path) -> None:
    """A stick pulled at 90 % would begin again, and be pulled again."""
    source = root / "20260102T030405Z-1"
    copy_tree(source, stick / "s", lambda: 10**9)
    lost = stick / "s" / files_of(source)[-1]
    lost.unlink()
    sums = stick / "s" / SUMS
    sums.write_bytes(sums.read_bytes() + b"0123456789abcdef")  # cut in the middle of a line
    (stick / "s" / "frames.jsonl.part").write_bytes(b"half")
    (source / "frames.jsonl").write_bytes(b"{}\n")  # another size than before
    copied = copy_tree(source, stick / "s", lambda: 10**9)
    assert copied.files == 2
    assert copied.already == len(files_of(source)) - 2
    assert copied.missing == ()
    assert checked(stick / "s") == files_of(source)


def test_a_full_stick_gets_what_fits_and_says_what_is_missing(root: Path, stick: Path) -> None:
    """Half a file is worth nothing, and a silent end less."""
    source = root / "20260102T030405Z-1"
    sizes = {name: (source / name).stat().st_size for name in files_of(source)}
    room = max(sizes.values()) - 1
    copied = copy_tree(source, stick / "s", lambda: room)
    largest = [name for name, size in sizes.items() if size > room]
    assert [text.split(" (")[0] for text in copied.missing] == largest
    assert "no room on the stick" in copied.missing[0]
    assert checked(stick / "s") == [name for name in files_of(source) if name not in largest]


def test_links_lead_nowhere(root: Path, stick: Path, tmp_path: Path) -> None:
    """Root copies: a link in a session would bring out secrets, one on the stick would let others in."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    source = root / "20260102T030405Z-1"
    (source / "link").symlink_to(secret)
    copied = copy_tree(source, stick / "s", lambda: 10**9)
    assert "link" not in files_of(stick / "s")
    assert copied.missing == ()
    (stick / EXPORTS).symlink_to(tmp_path / "etc", target_is_directory=True)
    (tmp_path / "etc").mkdir()
    with pytest.raises(OSError, match="a link on the stick"):
        list(export(EVERYTHING, stick, root, "mast", log))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("export: []\n", "twinhdr-export.yaml:1: export"),
        ("export: [logs]\nlogs_mb: 0\n", "twinhdr-export.yaml:2: logs_mb"),
        ("export: [../../etc]\n", "twinhdr-export.yaml:1: export.0"),
        ("export: logs\n", "twinhdr-export.yaml:1: export"),
        ("exprot: [logs]\n", "twinhdr-export.yaml:1: exp"),
        ("- logs\n", "twinhdr-export.yaml:1: expected sections"),
        ("export: [&a logs, *a]\n", "anchors and aliases"),
    ],
)
def test_a_wrong_request_is_named_by_its_line(stick: Path, text: str, fault: str) -> None:
    """The report would only say that there was nothing to do."""
    (stick / EXPORT).write_text(text)
    request = read_stick(stick)
    assert request.export is None
    assert any(fault in str(found) for found in request.faults), request.faults


@pytest.fixture
def vfat(tmp_path: Path) -> Iterator[Path]:
    """A real FAT file system of 24 MB, mounted as a stick is."""
    if os.geteuid() != 0 or not shutil.which("mkfs.vfat"):
        pytest.skip("needs root and mkfs.vfat (package dosfstools)")
    image, folder = tmp_path / "stick.img", tmp_path / "vfat"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.vfat", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop,noexec,nosuid,nodev", str(image), str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine cannot mount an image: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_real_fat_stick(vfat: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT knows no owners, modes or links, and has an opinion on names: each could stop an export."""
    from edge.usb.stick import write_report

    monkeypatch.setattr(exporting, "RESERVE", 1 << 20)
    (vfat / "TWINHDR.YAML").write_text("rig: {width: 800}\n")
    (vfat / EXPORT).write_text("export: [logs, newest-session]\n")
    source = root / "20260102T030405Z-1"
    (source / "a:b").write_bytes(b"no such name on FAT")
    (source / "large").write_bytes(b"\0" * (30 << 20))
    request = read_stick(vfat)
    assert request.config == "rig: {width: 800}\n", f"{CONFIG} is found in any case of letters"
    assert request.export is not None
    lines = list(export(request.export, vfat, root, "mast-7", log))
    write_report(vfat, "\n".join(lines))
    session = vfat / EXPORTS / "mast-7" / "sessions" / source.name
    assert checked(session) == [name for name in files_of(source) if name not in ("a:b", "large")]
    assert "2 are missing" in lines[1]
    assert "no room on the stick" in lines[1]
    assert not list(session.rglob("*.part"))
