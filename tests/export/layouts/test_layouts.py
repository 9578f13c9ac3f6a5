"""A dataset in its published layout is read with the right pictures, exposures and scale of its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import ImageError
from edge.frames import FloatImage
from export.layouts import LAYOUTS, Bracket, DatasetError, detect, read
from export.layouts.exposures import light_in_names, read_light
from tests.export.bracket_sets import (
    LABELLED,
    SETS,
    STOPS,
    UNLABELLED,
    exposed,
    kalantari,
    kalantari_scene,
    ntire,
    prabhakar,
    radiance,
    sen,
    triples,
    write_coded,
    write_hdr,
    write_jpeg,
    write_lines,
)


def codes_apart(a: FloatImage, b: FloatImage) -> float:
    """Largest difference in the gamma domain, in 8-bit codes."""
    return float(np.max(np.abs(a ** (1 / 2.2) - b ** (1 / 2.2)))) * 255


def is_truth(truth: FloatImage, expected: FloatImage) -> bool:
    """Within what Radiance HDR keeps: a pixel's channels share one exponent, 8 bits for the brightest."""
    return bool(np.all(np.abs(truth - expected) <= 0.012 * expected.max(axis=2, keepdims=True)))


@pytest.mark.parametrize("name", SETS)
def test_a_published_layout_is_recognised_and_read(tmp_path: Path, name: str) -> None:
    """Who owns the data types one command; a wrong picture or exposure would teach or judge nonsense."""
    SETS[name](tmp_path)
    assert detect(tmp_path).layout.name == name.split()[0]
    scene, brackets = radiance(), list(read(tmp_path))
    tolerance = 6.0 if name == "tursun" else 0.8  # a JPEG is not exact; 8 bits are half a code off
    assert brackets
    for bracket in brackets:
        assert bracket.exposure == pytest.approx([0.25, 1, 4], rel=1e-3)
        assert bracket.exposure.dtype == np.float32
        images = (bracket.low, bracket.reference, bracket.high)
        for image, stop in zip(images, STOPS, strict=True):
            assert (image.dtype, image.shape) == (np.float32, scene.shape)
            assert codes_apart(image, exposed(scene, stop)) < tolerance


@pytest.mark.parametrize("name", LABELLED)
def test_truth_is_on_the_scale_of_the_low_exposure(tmp_path: Path, name: str) -> None:
    """Each set has its own unit; a factor of four here teaches pictures that are two stops too dark."""
    LABELLED[name](tmp_path)
    for bracket in read(tmp_path):
        sample = bracket.sample()
        assert sample.truth.dtype == np.float32
        assert is_truth(sample.truth, exposed(radiance(), -2))
        assert 0.99 < sample.truth.max() <= 1.0
        means = [np.mean(exposed(radiance(), stop) ** (1 / 2.2)) for stop in STOPS]
        assert sample.mean == pytest.approx(means, abs=0.003)


@pytest.mark.parametrize("name", UNLABELLED)
def test_without_ground_truth_nothing_is_scored(tmp_path: Path, name: str) -> None:
    """A made-up truth would give a figure that means nothing."""
    UNLABELLED[name](tmp_path)
    bracket = next(read(tmp_path))
    assert bracket.truth is None
    with pytest.raises(DatasetError, match="no ground truth"):
        bracket.sample()


def test_names_are_the_folders_in_the_order_a_person_counts(tmp_path: Path) -> None:
    """A score is looked up by its scene's name."""
    for name in ("2", "10", "1"):
        kalantari_scene(tmp_path / "Training" / name)
    kalantari_scene(tmp_path / "Test" / "PAPER" / "ManStanding")
    names = [bracket.name for bracket in read(tmp_path)]
    assert names == ["Test/PAPER/ManStanding", "Training/1", "Training/2", "Training/10"]


def test_one_scene_alone_is_a_dataset(tmp_path: Path) -> None:
    """To look at one bracket nobody wants to build a tree around it."""
    kalantari_scene(tmp_path / "001")
    assert [bracket.name for bracket in read(tmp_path / "001")] == ["001"]


def test_brackets_are_read_one_at_a_time(tmp_path: Path) -> None:
    """A set is larger than memory, and its first scores do not wait for its last picture."""
    kalantari(tmp_path)
    (tmp_path / "Training" / "001" / "HDRImg.hdr").write_bytes(b"")
    brackets = read(tmp_path)
    assert next(brackets).name == "Test/EXTRA/001"
    assert next(brackets).name == "Test/PAPER/ManStanding"
    with pytest.raises(DatasetError, match=r"001.HDRImg\.hdr"):
        next(brackets)


def test_what_a_file_manager_leaves_behind_is_no_picture(tmp_path: Path) -> None:
    """Archives from a Mac have ._ twins of every file."""
    kalantari_scene(tmp_path / "001")
    (tmp_path / "001" / "._262A0898.tif").write_bytes(b"\0" * 64)
    (tmp_path / "001" / "Thumbs.db").write_bytes(b"\0" * 64)
    assert len(list(read(tmp_path))) == 1


def test_a_scene_without_its_truth_is_still_a_bracket(tmp_path: Path) -> None:
    """Some scenes of the larger sets have none; the others must not suffer."""
    prabhakar(tmp_path)
    (tmp_path / "Training_set" / "01" / "GT_HDR.hdr").unlink()
    ntire(tmp_path / "ntire")
    (tmp_path / "ntire" / "0001_gt.png").unlink()
    assert [b.truth is None for b in read(tmp_path / "Training_set")] == [True, False]
    assert [b.truth is None for b in read(tmp_path / "ntire")] == [False, True]


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    """Where a folder fits two layouts a person can say which; a misspelt one is not silently another."""
    sen(tmp_path)
    assert detect(tmp_path).layout.name == "sen"
    assert detect(tmp_path, "tursun").layout.name == "tursun"
    with pytest.raises(DatasetError, match="ntire21"):
        detect(tmp_path, "ntire21")
    with pytest.raises(DatasetError, match=f"one of {', '.join(known.name for known in LAYOUTS)}"):
        read(tmp_path, "kalantary")


@pytest.mark.parametrize("stops", [(0, 1, 2, 3, 4, 5, 6), (-3, -2, -1, 0, 1, 2, 3), (5, 1, 6, 0, 2, 4, 3)])
def test_of_many_exposures_three_are_chosen(tmp_path: Path, stops: tuple[int, ...]) -> None:
    """Low the darkest, reference the middle, high the brightest, in whatever order the files are."""
    scene = radiance()
    for number, stop in enumerate(stops):
        write_coded(tmp_path / "x" / f"img{number}.tif", exposed(scene, stop - min(stops) - 3))
    write_lines(tmp_path / "x" / "exposure.txt", stops)
    (bracket,) = read(tmp_path)
    assert bracket.exposure == pytest.approx([1 / 8, 1, 8])
    assert codes_apart(bracket.reference, exposed(scene, 0)) < 1
    assert codes_apart(bracket.low, exposed(scene, -3)) < 1


def test_black_and_white_pictures_are_not_chosen(tmp_path: Path) -> None:
    """A long series starts in the dark and ends in white; a bracket of those two holds nothing."""
    scene = radiance()
    for number, stop in enumerate((-16, -2, 0, 2, 16)):
        write_coded(tmp_path / "x" / f"img{number}.tif", exposed(scene, stop))
    write_lines(tmp_path / "x" / "exposure.txt", (-16, -2, 0, 2, 16))
    (bracket,) = read(tmp_path)
    assert bracket.exposure == pytest.approx([0.25, 1, 4])


def test_truth_of_a_long_series_keeps_the_unit_of_its_darkest_picture(tmp_path: Path) -> None:
    """Where the darkest picture is not chosen as low, the truth must move with the choice."""
    scene, folder = radiance(), tmp_path / "Testing_set" / "01"
    for number, stop in enumerate((-16, -2, 0, 2), 1):
        write_coded(folder / "ghosted" / f"img{number}.tif", exposed(scene, stop))
    write_lines(folder / "ExpoBias.txt", (0, 14, 16, 18))
    write_hdr(folder / "GT_HDR.hdr", scene * np.float32(2.0**-16))
    (bracket,) = read(tmp_path)
    assert bracket.exposure == pytest.approx([0.25, 1, 4])
    assert is_truth(bracket.sample().truth, exposed(scene, -2))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("exposure.txt", "0\n2\n4\n"),
        ("exposure.txt", "-2.000000\r\n0.000000\r\n2.000000\r\n\r\n"),
        ("exposure.txt", "\ufeff-2 0 2"),
        ("exposure.txt", "0.0025\n0.01\n0.04\n"),
        ("exposure.txt", "1/400\n1/100\n1/25\n"),
        ("exposure.txt", "0.5s, 2s, 8s"),
        ("exposure.txt", "c.tif 4\nb.tif 2\na.tif 0\n"),
        ("exposure.txt", "# stops\n1\n3\n5  # long\n"),
        ("exposure.txt", "1\n4\n16\n"),
        ("ExposureTimes.txt", "1\n4\n16\n"),
        ("ExposureBias.txt", "1\n3\n5\n"),
    ],
)
def test_exposures_are_stops_or_seconds(tmp_path: Path, name: str, text: str) -> None:
    """Sets write 2, 4 for stops and for seconds alike; taken for the other, every radiance is wrong."""
    (tmp_path / name).write_bytes(text.encode())
    images = [exposed(radiance(), stop) for stop in STOPS]
    light = read_light(tmp_path / name, ("a.tif", "b.tif", "c.tif"), images)
    assert np.array(light) / light[0] == pytest.approx([1, 4, 16])


def test_exposures_in_file_names() -> None:
    """The last resort where neither a text file nor EXIF says anything."""
    assert light_in_names(["a_EV-2.png", "a_EV0.png", "a_EV+2.png"]) == [1, 4, 16]
    assert light_in_names(["-1.5ev.jpg", "0ev.jpg", "1.5ev.jpg"]) == pytest.approx([1, 2**1.5, 8])
    assert light_in_names(["x_1_400s.jpg", "x_0.01s.jpg", "x_1_25s.jpg"]) == pytest.approx([1, 4, 16])
    assert light_in_names(["scene1.jpg", "scene2.jpg", "scene3.jpg"]) is None
    assert light_in_names(["x_1_0s.jpg", "x_2s.jpg", "x_3s.jpg"]) is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_exposures_from_exif(tmp_path: Path, order: str) -> None:
    """A folder of photographs as the camera wrote them is a dataset without another line."""
    for number, stop in enumerate(STOPS):
        write_jpeg(tmp_path / "x" / f"{number}.jpg", exposed(radiance(), stop), 2.0**stop / 60, order)
    (bracket,) = read(tmp_path)
    assert bracket.exposure == pytest.approx([0.25, 1, 4], rel=1e-3)


@pytest.mark.parametrize("off", [-2.0, 2.0])
def test_a_truth_in_another_unit_is_refused_or_fitted(tmp_path: Path, off: float) -> None:
    """Taken as it is, it would be scored as a picture two stops wrong, without any other sign."""
    kalantari_scene(tmp_path / "001")
    write_hdr(tmp_path / "001" / "HDRImg.hdr", radiance() * np.float32(2.0 ** (off - 2)))
    way = "brighter" if off > 0 else "darker"
    with pytest.raises(DatasetError, match=f"001: the ground truth is 2.0 EV {way}.*--fit-truth"):
        list(read(tmp_path))
    (bracket,) = read(tmp_path, fit=True)
    assert is_truth(bracket.sample().truth, exposed(radiance(), -2))


def test_a_truth_in_its_unit_is_not_touched(tmp_path: Path) -> None:
    """Pixels move and cameras are not exact; a truth a third of a stop off is what the set says it is."""
    kalantari_scene(tmp_path / "001")
    write_hdr(tmp_path / "001" / "HDRImg.hdr", exposed(radiance(), -2) * np.float32(0.8))
    (bracket,) = read(tmp_path)
    assert is_truth(bracket.sample().truth, exposed(radiance(), -2) * np.float32(0.8))


def test_triples_may_lack_their_truth(tmp_path: Path) -> None:
    """One's own photographs have none, and their fused picture is still worth looking at."""
    triples(tmp_path)
    (tmp_path / "b" / "truth.exr").unlink()
    assert [bracket.truth is None for bracket in read(tmp_path)] == [False, True, False]


def test_a_portrait_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    """A network that sees people lie on their side was not trained for it, and the truth would not fit."""
    upright = radiance(height=64, width=48)
    for number, stop in enumerate(STOPS):
        lying = np.ascontiguousarray(np.rot90(exposed(upright, stop)))
        write_jpeg(tmp_path / "x" / f"{number}.jpg", lying, 2.0**stop, turned=6)
    (bracket,) = read(tmp_path)
    assert codes_apart(bracket.reference, exposed(upright, 0)) < 6


def test_brackets_are_plain_data() -> None:
    """What a dataset yields can be made by hand, for data in a layout of one's own."""
    scene = radiance()
    images = (exposed(scene, -2), exposed(scene, 0), exposed(scene, 2))
    exposure = np.array([0.25, 1, 4], np.float32)
    assert Bracket("mine", *images, exposure).truth is None
    assert issubclass(DatasetError, ImageError)
