"""Foreground objects: shape, texture and light of one thing that moves through the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge.frames import FloatImage
from hw.simulator.motion import Path

LUMINANCE = np.array((0.2126, 0.7152, 0.0722), np.float32)
"""Rec. 709."""


@dataclass(frozen=True, eq=False, slots=True)
class Sprite:
    """One object: ``rgba`` is (h, w, 4) float32, radiance premultiplied by coverage, with a clear border.

    ``path`` is relative to the slow pan of the rig (the operator follows the action), in scene-plane pixels
    from the view's centre. ``depth_m`` decides its parallax.
    """

    rgba: FloatImage
    depth_m: float
    path: Path


def make_rgba(
    rng: np.random.Generator,
    source: FloatImage,
    width: int,
    height: int,
    kind: str,
    level: float,
    edge_px: float,
) -> FloatImage:
    """Draw a random "card", "ball" or "blob" of ``width`` x ``height`` px.

    ``level`` is its mean luminance in reference units; ``source`` any radiance image to cut textures from;
    ``edge_px`` the width of its soft edge. Returns (height, width, 4) float32, premultiplied.
    """
    x: FloatImage
    y: FloatImage
    distance: FloatImage
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pad = 1.0 + (edge_px + 3.0) / (0.5 * min(width, height))
    x, y = (x * pad).astype(np.float32), (y * pad).astype(np.float32)
    half_px = 0.5 * min(width, height) / pad
    if kind == "card":
        distance = _card(x, y, width, height, float(rng.uniform(0.1, 0.6)))
    elif kind == "ball":
        distance = (np.sqrt(x * x + y * y) - 1.0).astype(np.float32)
    else:
        distance = _blob(rng, x, y)
    coverage = np.clip(0.5 - distance * (half_px / max(edge_px, 0.5)), 0.0, 1.0)
    coverage[[0, -1], :] = 0.0
    coverage[:, [0, -1]] = 0.0

    colour = _cut(rng, source, width, height) if rng.random() < 0.7 else _painted(rng, x, y)
    if kind == "ball":
        colour = _lit_ball(rng, colour, x, y)
    mean = float(np.dot(cv2.mean(colour)[:3], LUMINANCE))
    colour *= np.float32(level / max(mean, 1e-6))
    np.minimum(colour, np.float32(4.0 * level), out=colour)
    rgba = np.empty((height, width, 4), np.float32)
    for channel in range(3):
        np.multiply(colour[..., channel], coverage, out=rgba[..., channel])
    rgba[..., 3] = coverage
    return rgba


def _card(x: FloatImage, y: FloatImage, width: int, height: int, corner: float) -> FloatImage:
    """Distance to a rounded rectangle, in units of its shorter half side."""
    short = min(width, height)
    qx = np.abs(x) * (width / short) - (width / short - corner)
    qy = np.abs(y) * (height / short) - (height / short - corner)
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2)
    distance: FloatImage = outside + np.minimum(np.maximum(qx, qy), 0) - corner
    return distance


def _blob(rng: np.random.Generator, x: FloatImage, y: FloatImage) -> FloatImage:
    """Distance to a lobed outline: something between a leaf and a person's silhouette."""
    angle = np.arctan2(y, x)
    outline = np.full_like(angle, 0.78)
    for lobes in (2, 3, 5):
        outline += rng.uniform(0.02, 0.2 / lobes) * np.cos(lobes * angle + rng.uniform(0, 2 * math.pi))
    distance: FloatImage = np.sqrt(x * x + y * y) - outline
    return distance


def _cut(rng: np.random.Generator, source: FloatImage, width: int, height: int) -> FloatImage:
    """A piece of the same scene from somewhere else, its contrast bent to that of a surface."""
    h, w = source.shape[:2]
    cut_w, cut_h = max(4, min(w, int(width * 0.7))), max(4, min(h, int(height * 0.7)))
    left, top = int(rng.integers(0, w - cut_w + 1)), int(rng.integers(0, h - cut_h + 1))
    piece = source[top : top + cut_h, left : left + cut_w]
    enlarged: FloatImage = cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR)
    middle = np.float32(max(float(np.median(enlarged)), 1e-6))
    bent: FloatImage = enlarged / (enlarged + 3.0 * middle) + np.float32(0.02)
    return bent


def _painted(rng: np.random.Generator, x: FloatImage, y: FloatImage) -> FloatImage:
    """One colour, or stripes of two, under a soft gradient of light."""
    first, second = rng.uniform(0.08, 1.0, (2, 3)).astype(np.float32)
    angle = rng.uniform(0, math.pi)
    across = (x * math.cos(angle) + y * math.sin(angle)).astype(np.float32)
    stripes = rng.choice((0, 0, 2, 4, 7))
    mix = np.clip(0.5 + 4.0 * np.sin(across * np.float32(stripes * math.pi)), 0, 1) if stripes else 0 * across
    shade = 1.0 + np.float32(rng.uniform(0.0, 0.5)) * (x * math.sin(angle) - y * math.cos(angle))
    painted: FloatImage = (first + (second - first) * mix[..., None]) * np.clip(shade, 0.2, 2.0)[..., None]
    return painted.astype(np.float32)


def _lit_ball(rng: np.random.Generator, colour: FloatImage, x: FloatImage, y: FloatImage) -> FloatImage:
    """Lambert shading under one lamp from above plus ambient light and a small gloss."""
    z = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.0))
    lamp = np.array((rng.uniform(-0.7, 0.7), -0.6, 0.6), np.float32)
    lamp /= np.linalg.norm(lamp)
    facing = np.maximum(x * lamp[0] + y * lamp[1] + z * lamp[2], 0.0)
    lit: FloatImage = colour * (0.25 + 0.75 * facing)[..., None]
    lit += (np.float32(0.8 * rng.random()) * facing**24)[..., None]
    return lit
