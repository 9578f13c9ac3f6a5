"""A device's files changed by a command or the page: the one value, and nothing else, or nothing at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.config.layers import load
from edge.errors import ConfigError
from edge.settings import edit, lines
from edge.settings.files import FileError, kept_path

SITE = """\
# Two cameras on the mast; ask before you change the exposure.
version: 1

rig:            # both are the same model
  # what the lens covers
  width: 640    # px
  reference: {fps: 25, exposure_us: 5000}  # short: the mast shakes
  secondary:
    fps: 12.5
# end of rig
fuse:
  ladder:       # no network here
    - merge     # first
    # nothing between
    - reference
log:
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A main file as people write them, in a folder as /etc/twinhdr is."""
    path = tmp_path / "etc" / "config.yaml"
    path.parent.mkdir()
    path.write_text(SITE)
    return path


def set_key(key: str, written: str, main: Path) -> None:
    edit.write(edit.with_value(key, written, main), main)


def value(key: str, main: Path) -> edit.Value:
    return next(row for row in edit.effective(main) if row.key == key)


@pytest.mark.parametrize(
    ("key", "written", "before", "after"),
    [
        ("rig.width", "800", "  width: 640    # px\n", "  width: 800    # px\n"),
        ("rig.height", "480", "    fps: 12.5\n", "    fps: 12.5\n  height: 480\n"),
        ("rig.reference.gain_db", "3", "exposure_us: 5000}", "exposure_us: 5000, gain_db: 3}"),
        ("log.level", "debug", "log:\n", "log:\n  level: debug\n"),
        ("web.port", "9090", "log:\n", "log:\nweb:\n  port: 9090\n"),
        ("store.root", "/data/a b", "log:\n", 'log:\nstore:\n  root: "/data/a b"\n'),
        (
            "fuse.ladder",
            "[model, merge, reference]",
            SITE[SITE.index("  ladder:") : SITE.index("log:")],
            "  ladder: [model, merge, reference]       # no network here\n"
            "    # first\n    # nothing between\n",
        ),
    ],
)
def test_one_value_changes_and_every_other_character_stays(
    main: Path, key: str, written: str, before: str, after: str
) -> None:
    """Comments say why a value is what it is; a tool that loses them is not used twice."""
    assert before in SITE
    set_key(key, written, main)
    assert main.read_text() == SITE.replace(before, after)


def test_line_ends_and_a_byte_order_mark_stay(main: Path) -> None:
    """A file from a Windows laptop would differ in every line."""
    main.write_bytes(b"\xef\xbb\xbf" + SITE.replace("\n", "\r\n").encode())
    set_key("rig.height", "480", main)
    data = main.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert b"  height: 480\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")


def test_a_value_is_changed_where_it_counts(main: Path) -> None:
    """A change in the main file below a drop-in that sets the same key would have no effect."""
    layer = edit.layer_path("10-site.yaml", main)
    layer.parent.mkdir()
    layer.write_text("rig: {width: 320}\n")
    set_key("rig.width", "800", main)
    assert layer.read_text() == "rig: {width: 800}\n"
    assert main.read_text() == SITE
    assert value("rig.width", main).where == f"{layer}:1"


def test_reset_takes_the_key_out_of_every_layer(main: Path) -> None:
    """What is said to be the default would still be what a lower file sets."""
    edit.save("rig: {width: 320}\n", main)
    for change in edit.without_value("rig.width", main):
        edit.write(change, main)
    assert value("rig.width", main).is_default
    assert main.read_text() == SITE.replace("  width: 640    # px\n", "")
    assert edit.without_value("rig.width", main) == ()


def test_reset_of_everything_keeps_what_was(main: Path) -> None:
    """One word typed too much would cost the work of a day."""
    edit.save("rig: {width: 320}\n", main)
    for change in edit.without_all(main):
        edit.write(change, main)
    assert all(row.is_default for row in edit.effective(main) if row.key != "version")
    assert kept_path(main).read_text() == SITE
    assert kept_path(edit.layer_path(edit.PAGE_LAYER, main)).read_text() == "rig: {width: 320}\n"


def test_a_bad_value_changes_nothing_and_is_named(main: Path) -> None:
    """The device would not start any more."""
    with pytest.raises(ConfigError, match="got 641; expected an even number"):
        set_key("rig.width", "641", main)
    with pytest.raises(ConfigError, match="did you mean width"):
        set_key("rig.widht", "640", main)
    with pytest.raises(ConfigError, match=r"a section; name one of rig\.reference\.fps"):
        set_key("rig.reference", "640", main)
    with pytest.raises(ConfigError, match="at most one frame period"):
        set_key("rig.reference.exposure_us", "90000", main)
    assert main.read_text() == SITE
    assert os.listdir(main.parent) == ["config.yaml"]


def test_a_wrong_file_can_be_set_right(main: Path) -> None:
    """Whoever has only this command could not repair what stops the device."""
    main.write_text(SITE.replace("640", "many"))
    set_key("rig.width", "800", main)
    assert main.read_text() == SITE.replace("640", "800")
    assert not kept_path(main).exists(), "what was kept as the last good one was not good"


def test_what_is_typed_is_taken_as_it_is_meant(main: Path) -> None:
    """A serial number of digits needs quotes in a file, which a shell takes away."""
    set_key("gige.reference.serial", "00815", main)
    assert value("gige.reference.serial", main).value == "00815"
    assert '    serial: "00815"\n' in main.read_text()
    set_key("gige.reference.serial", "null", main)
    assert value("gige.reference.serial", main).value is None


def test_the_page_writes_its_own_layer_only_when_it_is_good(main: Path) -> None:
    """A device in the field that cannot start cannot be reached by its page either."""
    path = edit.layer_path(edit.PAGE_LAYER, main)
    assert edit.check_text("rig:\n  width: 641\n", main)[0].startswith(f"{path}:2: rig.width: got 641")
    with pytest.raises(ConfigError):
        edit.save("rig:\n  width: 641\n", main)
    assert not path.exists()
    assert edit.check_text("rig:\n  width: 800\n", main) == []
    assert edit.save("rig:\n  width: 800\n", main).config.rig.width == 800
    assert edit.read_text(main) == "rig:\n  width: 800\n"
    assert path.stat().st_mode & 0o777 == 0o644
    edit.save("rig:\n  width: 960\n", main)
    assert kept_path(path).read_text() == "rig:\n  width: 800\n"
    assert load(main_file=main).config.rig.width == 960, "the kept file is no layer"
    edit.save("  \n", main)
    assert not path.exists()


def test_mode_stays_and_links_are_left_alone(main: Path, tmp_path: Path) -> None:
    """Root following a link that the service made could be led to any file of the system."""
    main.chmod(0o640)
    set_key("rig.width", "800", main)
    assert main.stat().st_mode & 0o777 == 0o640
    precious = tmp_path / "precious"
    precious.write_text("rig: {width: 320}\n")
    link = edit.layer_path(edit.PAGE_LAYER, main)
    link.parent.mkdir()
    link.symlink_to(precious)
    with pytest.raises(FileError, match="a link to"):
        set_key("rig.width", "400", main)
    assert precious.read_text() == "rig: {width: 320}\n"
    assert link.is_symlink()


def test_a_password_in_an_address_is_not_shown() -> None:
    """It would stand in the log, and in a report on a stick that lies about."""
    assert lines.shown("rtsp://me:hunter2@10.0.0.7/live") == '"rtsp://***@10.0.0.7/live"'
    assert lines.shown(("csi://0", 1)) == "[csi://0, 1]"


def test_a_text_that_only_a_person_can_change_is_refused() -> None:
    """A guess at an unusual way of writing would damage the file."""
    with pytest.raises(lines.NotEditableError, match="edit the file"):
        lines.set_value("? rig\n: ? width\n  : 640\n", "rig.height", 480, "odd.yaml")
