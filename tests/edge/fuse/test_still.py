"""Stills: three files become one radiance image, of any size, or one clear error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.engines import MODELS, Engine, mean_gamma, open_engine
from edge.errors import ImageError
from edge.frames import FloatImage
from edge.fuse import still
from edge.fuse.still import (
    Bracket,
    StillError,
    affordable_pixels,
    doubts,
    fuse_still,
    read_bracket,
    relative_light,
)
from tests.edge.tiny_model import MULTIPLE, write_tiny_model


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(str(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")), threads=1)


def scene(height: int, width: int) -> FloatImage:
    """Radiance from 0.02 to about 6 with structure at every scale."""
    rng = np.random.default_rng(3)
    log = cv2.GaussianBlur(rng.normal(0, 30, (height, width, 3)), (0, 0), 12)
    log += cv2.GaussianBlur(rng.normal(0, 2, (height, width, 3)), (0, 0), 1.5)
    return np.asarray(0.35 * np.exp(np.clip(log, -3, 3)), np.float32)


def exposures(radiance: FloatImage) -> tuple[FloatImage, FloatImage, FloatImage]:
    low, reference, high = (np.clip(radiance * 2.0**ev, 0, 1).astype(np.float32) for ev in (-2, 0, 2))
    return low, reference, high


def test_radiance_is_what_the_engine_says(engine: Engine) -> None:
    """The command would answer in other units than the video."""
    low, reference, high = exposures(scene(70, 90))
    means = [mean_gamma(image) for image in (low, reference, high)]
    merged = (low * 4 + reference + high / 4) / 3
    expected = cv2.blur(merged, (3, 3), borderType=cv2.BORDER_CONSTANT) * np.mean(means)
    radiance = fuse_still(Bracket(low, reference, high), (-2, 0, 2), engine)
    assert radiance.dtype == np.float32
    inside = slice(1, -1), slice(1, -1)  # the border's neighbours are padding, of the engine's own choice
    np.testing.assert_allclose(radiance[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("ev", [(-2, 0, 2), (0, 2, 4), (8.5, 10.5, 12.5)])
def test_only_differences_of_ev_count(engine: Engine, ev: tuple[float, float, float]) -> None:
    """The EV that a camera writes (9, 11, 13) would give another picture than -2, 0, 2."""
    images = exposures(scene(40, 40))
    np.testing.assert_allclose(
        fuse_still(Bracket(*images), ev, engine), fuse_still(Bracket(*images), (-2, 0, 2), engine)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (33, 31), (700, 1100), (384, 385)])
def test_tiles_equal_the_whole(engine: Engine, size: tuple[int, int]) -> None:
    """A photograph of 24 megapixels would show a grid, or lose a strip at its edge."""
    images = exposures(scene(*size))
    whole = fuse_still(Bracket(*images), (-2, 0, 2), engine, max_pixels=10**9)
    steps: list[tuple[int, int]] = []
    tiled = fuse_still(
        Bracket(*images), (-2, 0, 2), engine, max_pixels=400 * 400, progress=lambda *step: steps.append(step)
    )
    assert tiled.shape == whole.shape == (*size, 3)
    np.testing.assert_allclose(tiled, whole, atol=2e-6)
    assert steps[-1] == (len(steps) - 1, len(steps) - 1)
    if max(size) > 1000:
        assert len(steps) > 4, "this size was meant to need several tiles"


def test_tiles_lie_on_the_networks_grid(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention windows that move with the tile would change texture from tile to tile."""
    seen: list[tuple[int, int]] = []
    image = np.zeros((700, 900, 3), np.float32)
    image[..., 0] = np.arange(900) / 1000
    image[..., 1] = np.arange(700)[:, None] / 1000
    encode = engine.encode_pair

    def note(low: FloatImage, *rest: object) -> object:
        seen.append((round(float(low[0, 0, 0]) * 1000), round(float(low[0, 0, 1]) * 1000)))
        return encode(low, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "encode_pair", note)
    fuse_still(Bracket(image, image, image), (-2, 0, 2), engine, max_pixels=1)
    assert len(seen) > 4
    assert all(x % MULTIPLE == 0 and y % MULTIPLE == 0 for x, y in seen)


@pytest.mark.skipif(not (MODELS / "eafnet-s.onnx").is_file(), reason="this build ships no eafnet-s.onnx")
def test_tiles_of_the_shipped_network_are_invisible() -> None:
    """EAFNet also pools features over what it sees: tiles could differ in brightness."""
    images = exposures(scene(448, 640))
    engine = open_engine("s", threads=1)
    whole = fuse_still(Bracket(*images), (-2, 0, 2), engine, max_pixels=10**9)
    tiled = fuse_still(Bracket(*images), (-2, 0, 2), engine, max_pixels=384 * 384)
    difference = np.log1p(5000 * tiled / 4) / np.log1p(5000) - np.log1p(5000 * whole / 4) / np.log1p(5000)
    assert -10 * np.log10(np.mean(difference**2)) > 45


@pytest.mark.parametrize(
    ("ev", "expected"),
    [
        ((2, 0, -2), "EV 2 0 -2: they must rise"),
        ((-2, -2, 2), "EV -2 -2 2: they must rise"),
        ((float("nan"), 0, 2), "must rise"),
        ((-2, 0, float("inf")), "must rise"),
        ((-2, 0, 250), "give stops, not seconds"),
    ],
)
def test_a_wrong_order_is_named(ev: tuple[float, float, float], expected: str) -> None:
    """Swapped exposures would give a picture, and a wrong one."""
    with pytest.raises(StillError, match=expected):
        relative_light(ev)


def test_swapped_files_are_suspected() -> None:
    """Two files given in the wrong order would be fused without a word."""
    low, reference, high = exposures(scene(40, 40))
    assert doubts(Bracket(low, reference, high)) == []
    assert "swapped" in doubts(Bracket(high, reference, low))[0]


def test_sizes_that_differ_are_named_with_their_files(tmp_path: Path) -> None:
    """The user would have to open three files to find the odd one."""
    for name, width in (("a", 20), ("b", 20), ("c", 21)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((10, width, 3), np.uint8))
    with pytest.raises(ImageError) as caught:
        read_bracket(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png")
    assert f"high {tmp_path / 'c.png'} is 21x10" in str(caught.value)
    grey = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(StillError, match="differ in size"):
        fuse_still(Bracket(grey, grey, grey[:3]), (-2, 0, 2), None)  # type: ignore[arg-type]


def test_what_memory_affords(tmp_path: Path) -> None:
    """A large still would end the process on a small device, or crawl through tiny tiles on a large one."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n")
    assert affordable_pixels("eafnet-s", meminfo) == 2_048_000
    assert affordable_pixels("unknown", meminfo) == affordable_pixels("eafnet-l", meminfo) < 500_000
    meminfo.write_text("MemAvailable:    1000 kB\n")
    assert affordable_pixels("eafnet-s", meminfo) == still.MIN_TILE_PIXELS
