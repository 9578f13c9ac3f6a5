"""A damaged or incomplete dataset is one clear error that names the file, never a wrong number."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.errors import ImageError
from export.cli import app
from export.layouts import DatasetError, detect, read
from export.layouts.exif import exif_light
from export.layouts.exposures import read_light
from export.layouts.pixels import read_radiance
from tests.export.bracket_sets import (
    STOPS,
    challenge123,
    exif,
    exposed,
    kalantari_scene,
    ntire,
    prabhakar,
    radiance,
    sen,
    triples,
    tursun,
    write_coded,
    write_hdr,
    write_jpeg,
    write_lines,
)

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("a.tif", "b.tif", "c.tif")


def one(root: Path) -> Path:
    kalantari_scene(root / "001")
    return root / "001"


def missing_exposures(root: Path) -> str:
    (one(root) / "exposure.txt").unlink()
    return r"001: no exposures; a file exposure\.txt"


def missing_picture(root: Path) -> str:
    (one(root) / "262A0899.tif").unlink()
    return r"001: a bracket needs three pictures, here is 262A0898\.tif, 262A0900\.tif"


def no_pictures(root: Path) -> str:
    for path in one(root).glob("*.tif"):
        path.unlink()
    return "001: a bracket needs three pictures, here is none"


def picture_cut_off(root: Path) -> str:
    path = one(root) / "262A0899.tif"
    os.truncate(path, path.stat().st_size // 2)
    return r"262A0899\.tif: .*cut off"


def empty_picture(root: Path) -> str:
    (one(root) / "262A0900.tif").write_bytes(b"")
    return r"262A0900\.tif: the file is empty"


def truth_cut_off(root: Path) -> str:
    path = one(root) / "HDRImg.hdr"
    os.truncate(path, path.stat().st_size // 2)
    return r"HDRImg\.hdr: damaged or cut off"


def truth_no_picture(root: Path) -> str:
    (one(root) / "HDRImg.hdr").write_text("version https://git-lfs.github.com/spec/v1\n")
    return r"HDRImg\.hdr: not a Radiance HDR picture"


def truth_that_claims_too_much(root: Path) -> str:
    (one(root) / "HDRImg.hdr").write_bytes(b"#?RADIANCE\n\n-Y 900000 +X 900000\n\2\2\0\0")
    return r"HDRImg\.hdr: its header says 900000 x 900000 pixels"


def sizes_differ(root: Path) -> str:
    write_coded(one(root) / "262A0900.tif", exposed(radiance(), 2)[:-8])
    return r"001: 262A0900\.tif is 64 x 40 pixels and 262A0898\.tif 64 x 48"


def truth_size_differs(root: Path) -> str:
    write_hdr(one(root) / "HDRImg.hdr", exposed(radiance(), -2)[:, :-1])
    return r"001: the ground truth is 63 x 48 pixels and 262A0898\.tif 64 x 48"


def too_few_exposures(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", (0, 2))
    return r"exposure\.txt: 2 exposures for 3 pictures"


def exposures_of_words(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", ("low", "mid", "high"))
    return r"exposure\.txt: no exposures that can be read"


def empty_exposures(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", ())
    return r"exposure\.txt: no exposures that can be read"


def equal_exposures(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", (0, 0, 2))
    return "001: exposures of 0, 0, 2 EV are not three different ones"


def exposures_upside_down(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", (4, 2, 0))
    return "001: by their exposures .* grow brighter, by their pixels they do not"


def exposures_beyond_all_cameras(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", (-1e6, 0, 1e6))
    return r"exposure\.txt: neither stops within 32 EV"


def exposures_gigantic(root: Path) -> str:
    write_lines(one(root) / "exposure.txt", ["0"] * 50_000)
    return r"exposure\.txt: 100000 bytes"


def moment_missing(root: Path) -> str:
    challenge123(root)
    (root / "Training" / "007_3" / "ldr_img_3.tif").unlink()
    return r"007_3.ldr_img_3\.tif: missing"


def short_missing(root: Path) -> str:
    ntire(root)
    (root / "0000_short.png").unlink()
    return r"0000_short\.png: missing; a bracket needs short, medium, long"


def ratio_missing(root: Path) -> str:
    ntire(root)
    (root / "0000_alignratio.npy").unlink()
    return r"0000_alignratio\.npy: missing"


def ratio_of_zero(root: Path) -> str:
    ntire(root)
    np.save(root / "0000_alignratio.npy", np.float64(0))
    return r"0000_alignratio\.npy: a ratio of 0\.0"


def stops_that_are_none(root: Path) -> str:
    ntire(root)
    np.save(root / "0000_exposures.npy", np.array([1.0, 100.0, 10000.0]))
    return r"0000_exposures\.npy: \[.*\] are no stops"


def array_of_objects(root: Path) -> str:
    ntire(root)
    np.save(root / "0000_exposures.npy", np.array([{"ev": 1}, None, 3]), allow_pickle=True)
    return r"0000_exposures\.npy: cannot be read as numbers"


def array_of_two(root: Path) -> str:
    ntire(root)
    np.save(root / "0000_exposures.npy", np.array([1.0, np.nan, 3.0]))
    return r"0000_exposures\.npy: holds 3 numbers, needs 3 finite ones"


def array_cut_off(root: Path) -> str:
    ntire(root)
    os.truncate(root / "0000_exposures.npy", 60)
    return r"0000_exposures\.npy: cannot be read as numbers"


def png_cut_off(root: Path) -> str:
    ntire(root)
    os.truncate(root / "0000_medium.png", 400)
    return r"0000_medium\.png: damaged image: .*cut off"


def moving_pictures_missing(root: Path) -> str:
    prabhakar(root)
    for path in (root / "Training_set" / "01" / "ghosted").iterdir():
        path.unlink()
    return "01: a bracket needs three pictures, here is none"


def exposures_nowhere(root: Path) -> str:
    tursun(root)
    write_coded(root / "Cafe" / "DSC_0002.jpg", exposed(radiance(), 0), 8)
    return "Cafe: no exposures, neither in a text file nor in EXIF nor in the file names"


def two_photographs(root: Path) -> str:
    for number in (1, 2):
        write_jpeg(root / "x" / f"{number}.jpg", exposed(radiance(), number), number)
    return r"x: a bracket needs three pictures, here is 1\.jpg, 2\.jpg"


def text_missing_in_one(root: Path) -> str:
    sen(root)
    (root / "BabyAtWindow" / "BabyAtWindow.txt").unlink()
    return "BabyAtWindow: no exposures"


def role_missing(root: Path) -> str:
    triples(root)
    (root / "a" / "high.png").unlink()
    return r"a: needs one picture named high \(.*\), has nothing"


def role_twice(root: Path) -> str:
    triples(root)
    write_coded(root / "a" / "low.tif", exposed(radiance(), -2))
    return r"a: needs one picture named low \(.*\), has low\.png, low\.tif"


def json_of_nonsense(root: Path) -> str:
    triples(root)
    (root / "b" / "exposure.json").write_text('{"light": [0.25, 0, 4]}')
    return r"exposure\.json: write"


def roles_swapped(root: Path) -> str:
    triples(root)
    (root / "b" / "exposure.json").write_text('{"ev": [2, 0, -2]}')
    return r"exposure\.json: low, reference and high must have ever more light"


def triple_without_exposures(root: Path) -> str:
    triples(root)
    (root / "a" / "exposure.txt").unlink()
    return r"a: no exposure\.txt"


def truth_no_exr(root: Path) -> str:
    triples(root)
    (root / "a" / "truth.exr").write_bytes(b"\x76\x2f\x31\x01" + b"\0" * 100)
    return r"a.truth\.exr: cannot be read as EXR"


FAULTS = [
    missing_exposures,
    missing_picture,
    no_pictures,
    picture_cut_off,
    empty_picture,
    truth_cut_off,
    truth_no_picture,
    truth_that_claims_too_much,
    sizes_differ,
    truth_size_differs,
    too_few_exposures,
    exposures_of_words,
    empty_exposures,
    equal_exposures,
    exposures_upside_down,
    exposures_beyond_all_cameras,
    exposures_gigantic,
    moment_missing,
    short_missing,
    ratio_missing,
    ratio_of_zero,
    stops_that_are_none,
    array_of_objects,
    array_of_two,
    array_cut_off,
    png_cut_off,
    moving_pictures_missing,
    exposures_nowhere,
    two_photographs,
    text_missing_in_one,
    role_missing,
    role_twice,
    json_of_nonsense,
    roles_swapped,
    triple_without_exposures,
    truth_no_exr,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_fault_is_one_clear_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: Callable[[Path], str]
) -> None:
    """Downloads of tens of gigabytes are never whole; the text must lead to the file and say what to do."""
    expected = fault(tmp_path)
    capfd.readouterr()
    with pytest.raises(ImageError, match=expected) as caught:
        list(read(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # C libraries stay silent: the error says it all


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_folder_that_is_no_dataset(tmp_path: Path, what: str) -> None:
    """A mistyped path must not be an empty table of scores."""
    folder = tmp_path / "set"
    if what == "empty":
        folder.mkdir()
    elif what == "file":
        folder.write_text("")
    with pytest.raises(DatasetError, match=r"no dataset|no such folder"):
        read(folder)


def test_unreadable_names_end_the_search_and_not_the_program(tmp_path: Path) -> None:
    """A folder tree of any depth, with links that lead back, is looked through in finite time."""
    kalantari_scene(tmp_path / "a" / "b" / "001")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(detect(tmp_path).scenes) == 1


@FEW
@given(data=st.binary(max_size=60))
@example(b"1e999999999\n0\n2")
@example(b"1/0 2 3")
@example(b"nan inf 1")
@example(b"-0 1 2")
@example(b"\xff\xfe0\x00")
def test_any_exposure_file_gives_light_or_an_error(tmp_path: Path, data: bytes) -> None:
    """A text file from anywhere must not end a run with a traceback, nor give light that is none."""
    path = tmp_path / "exposure.txt"
    path.write_bytes(data)
    images = [exposed(radiance(), stop) for stop in STOPS]
    try:
        light = read_light(path, NAMES, images)
    except DatasetError:
        return
    assert len(light) == 3
    assert all(np.isfinite(light))
    assert min(light) == 1.0


@FEW
@given(st.lists(st.floats(-8, 8), min_size=3, max_size=3), st.floats(-8, 8))
def test_stops_count_from_anywhere(tmp_path: Path, stops: list[float], offset: float) -> None:
    """Sets write 0 2 4, -2 0 2 or camera values; only differences mean anything."""
    path = tmp_path / "ExposureBias.txt"
    images = [exposed(radiance(), stop) for stop in STOPS]
    path.write_text("\n".join(f"{stop:.9f}" for stop in stops))
    first = read_light(path, NAMES, images)
    path.write_text("\n".join(f"{stop + offset:.9f}" for stop in stops))
    assert read_light(path, NAMES, images) == pytest.approx(first, rel=1e-6)


@FEW
@given(
    cut=st.floats(0, 1, exclude_max=True), flip=st.none() | st.tuples(st.floats(0, 1), st.integers(1, 255))
)
def test_a_damaged_truth_never_passes_for_a_whole_one(
    tmp_path: Path, cut: float, flip: tuple[float, int] | None
) -> None:
    """A truth that is black from the middle on would be scored as one."""
    path = tmp_path / "truth.hdr"
    write_hdr(path, exposed(radiance(), -2))
    data = bytearray(path.read_bytes())
    if flip is not None:
        data[min(int(flip[0] * len(data)), len(data) - 1)] ^= flip[1]
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(DatasetError, match=r"truth\.hdr"):
        read_radiance(path)


@FEW
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_exif_is_light_or_nothing(tmp_path: Path, noise: bytes, at: int) -> None:
    """EXIF is written by thousands of programs; a strange one is a picture without exposure."""
    path = tmp_path / "x.tif"
    whole = exif(0.01)
    path.write_bytes(whole)
    assert exif_light(path) == pytest.approx(0.01 * 2 / 16)
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    light = exif_light(path)
    assert light is None or light > 0


def test_the_command_names_every_fault_and_ends_with_one(tmp_path: Path) -> None:
    """After a long download one call says which scenes to fetch again."""
    for number in (1, 2, 3):
        kalantari_scene(tmp_path / f"00{number}")
    (tmp_path / "001" / "exposure.txt").unlink()
    os.truncate(tmp_path / "003" / "HDRImg.hdr", 900)
    result = CliRunner().invoke(app, ["dataset", str(tmp_path)])
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["FAULT", "ok", "FAULT"]
    assert "2 of 3 brackets cannot be used" in result.stderr


def test_the_command_describes_a_whole_set(tmp_path: Path) -> None:
    """Size, stops and whether there is a truth are what one wants to know of a set."""
    kalantari_scene(tmp_path / "001", stops=(-3, 0, 3))
    result = CliRunner().invoke(app, ["dataset", str(tmp_path)])
    assert result.exit_code == 0
    assert "Kalantari, SIGGRAPH 2017, 1 brackets" in result.stdout
    assert "ok    001: 64 x 48, -3.0 and +3.0 EV, ground truth" in result.stdout


def test_the_command_refuses_a_folder_without_a_traceback(tmp_path: Path) -> None:
    """A wrong path is one line and what to do."""
    result = CliRunner().invoke(app, ["dataset", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert "nowhere: no such folder" in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
