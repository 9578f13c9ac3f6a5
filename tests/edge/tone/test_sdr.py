"""What people watch live: a steady, well exposed picture, whatever the scene and the frames do."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from edge.tone.sdr import SdrPreview, ToneCurve, apply_curve, meter, to_jpeg

FRAME_NS = 33_333_333


def scene(
    level: float = 0.15, size: tuple[int, int] = (54, 96)
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rng = np.random.default_rng(5)
    return (rng.random((*size, 3)) * 2 * level).astype(np.float32)


def test_curve_is_the_paper_s() -> None:
    """Wrong shoulders clip the highlights that the whole device exists to recover."""
    curve = ToneCurve(gain=2.0, white=4.0)
    radiance = np.array([[[0.0] * 3, [0.1] * 3, [1.0] * 3, [4.0] * 3, [9.0] * 3]], np.float32)
    x = 2.0 * radiance[0, :, 0].astype(float)
    toned = np.clip(x * (1 + x / 64) / (1 + x), 0, 1)
    srgb = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * toned ** (1 / 2.4) - 0.055)
    assert np.abs(apply_curve(radiance, curve)[0, :, 0] - 255 * srgb).max() <= 1.0
    assert apply_curve(radiance, curve)[0, 3, 0] == 255


def test_bad_pixels_stay_single() -> None:
    """One NaN must not blacken, blind or freeze the preview."""
    radiance = scene()
    curve = meter(radiance)
    radiance[3, 3] = np.nan
    radiance[4, 4] = np.inf
    radiance[5, 5] = -1.0
    rgb = apply_curve(radiance, curve)
    assert (rgb[3, 3] == 0).all()
    assert (rgb[4, 4] == 255).all()
    assert (rgb[5, 5] == 0).all()
    bad = meter(radiance)
    assert np.isfinite([bad.gain, bad.white]).all()
    assert meter(np.full((4, 4, 3), np.nan, np.float32)).gain == 8.0


def test_preview_adds_no_flicker() -> None:
    """A lamp that blinks in one corner must not make the rest of the picture breathe."""
    preview = SdrPreview(width=96)
    steady = scene()
    levels = []
    for i in range(60):
        frame = steady.copy()
        if i % 2:
            frame[:10, :10] = 40.0
        levels.append(float(preview.render(frame, i * FRAME_NS)[20:].mean()))
    assert max(abs(b - a) for a, b in itertools.pairwise(levels[2:])) < 2.0
    alone = [float(apply_curve(steady, meter(f))[20:].mean()) for f in (steady, frame)]
    assert abs(alone[0] - alone[1]) > 4.0  # so the scene would have shown it


def test_preview_follows_the_scene_in_time_not_in_frames() -> None:
    """After a cloud the picture settles in about a second, at 60 and at 5 frames per second alike."""
    before, settled = meter(scene(0.2)).gain, meter(scene(0.02)).gain
    for fps in (5, 60):
        preview = SdrPreview(width=96)
        preview.render(scene(0.2), 0)
        for i in range(1, fps + 1):
            preview.render(scene(0.02), round(i * 1e9 / fps))
        assert preview.curve is not None
        assert preview.curve.gain == pytest.approx(before**0.368 * settled**0.632, rel=0.01)


def test_reference_beside_fused_shares_its_curve() -> None:
    """Side by side both pictures must differ by what fusion did, not by their exposure."""
    preview = SdrPreview(width=48)
    frame = scene()
    fused = preview.render(frame, 0)
    assert fused.shape == (27, 48, 3)
    curve = preview.curve
    assert (preview.render_like_last(frame) == fused).all()
    preview.render_like_last(scene(1.0))
    assert preview.curve == curve
    assert SdrPreview(width=48).render_like_last(frame).shape == (27, 48, 3)


def test_never_enlarged() -> None:
    """A preview wider than the video would cost time and show nothing more."""
    assert SdrPreview(width=4000).render(scene(), 0).shape == (54, 96, 3)


def test_jpeg_has_the_colours() -> None:
    """Swapped channels make faces blue."""
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[..., 0] = 200
    back = cv2.imdecode(np.frombuffer(to_jpeg(rgb, 95), np.uint8), cv2.IMREAD_COLOR)
    assert back[8, 8, 2] > 180
    assert back[8, 8, 0] < 30
