"""Where one scene detail lies in a secondary and in a reference frame, though neither light nor time agree.

Both pictures are brought to one exposure and cut at one level, so that what clips looks the same in both.
The secondary frame's time lies between two reference frames; a detail's place in the reference at that time
is interpolated between its places in both, or a pan would pass for a misalignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage

Points = NDArray[np.float64]

MOST_FEATURES = 1500
DISTINCT = 0.75
"""Lowe's ratio of the best to the second best match (IJCV 2004, section 7.1)."""
BACK_PX = 0.3
"""A point tracked to the next reference frame and back must come home so near."""


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """A secondary frame and the reference frames around it: (H, W, 3) float32 linear in [0, 1].

    ``share`` is the secondary's time between ``before`` (0) and ``after`` (1); ``ratio`` is the secondary's
    light over the reference's.
    """

    name: str
    before: FloatImage
    after: FloatImage
    share: float
    secondary: FloatImage
    ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """(n, 2) pixels of the reference and of the secondary that show the same details."""

    reference: Points
    secondary: Points

    def __len__(self) -> int:
        return len(self.reference)


NO_MATCHES = Matches(np.empty((0, 2)), np.empty((0, 2)))


def match(instant: Instant) -> Matches:
    """SIFT features (Lowe 2004) of both views, mutual and distinct, the reference's brought to one time."""
    scale = max(instant.ratio, 1.0)
    before, after = (grey_at(image, scale) for image in (instant.before, instant.after))
    secondary = grey_at(instant.secondary, max(1.0 / instant.ratio, 1.0))
    mine, other = _paired(before, secondary)
    if not len(mine):
        return NO_MATCHES
    later, good = _tracked(before, after, mine)
    at_time = mine + instant.share * (later - mine)
    return Matches(at_time[good], other[good])


def grey_at(image: FloatImage, scale: float) -> NDArray[np.uint8]:
    """(H, W, 3) linear times ``scale``, cut at 1.0, its grey's square root in 8 bits."""
    cut = np.minimum(image * np.float32(scale), np.float32(1.0))
    grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY)
    return np.asarray(np.sqrt(np.maximum(grey, 0.0)) * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)


def _paired(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[Points, Points]:
    sift = cv2.SIFT.create(nfeatures=MOST_FEATURES, contrastThreshold=0.015)
    mine, my_words = sift.detectAndCompute(first, None)
    other, their_words = sift.detectAndCompute(second, None)
    if min(len(mine), len(other)) < 2:
        return NO_MATCHES.reference, NO_MATCHES.secondary
    there, back = _nearest(my_words, their_words), _nearest(their_words, my_words)
    mutual = [(i, j) for i, j in there.items() if back.get(j) == i]
    return (
        np.array([mine[i].pt for i, _ in mutual], np.float64).reshape(-1, 2),
        np.array([other[j].pt for _, j in mutual], np.float64).reshape(-1, 2),
    )


def _nearest(words: Any, among: Any) -> dict[int, int]:
    """The clearly best match of each word."""
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(words, among, k=2)
    return {
        best.queryIdx: best.trainIdx
        for best, second in (pair for pair in pairs if len(pair) == 2)
        if best.distance < DISTINCT * second.distance
    }


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: Points
) -> tuple[Points, NDArray[np.bool_]]:
    """Places in ``after`` and which of them can be trusted (Lucas and Kanade, there and back)."""
    start = points.astype(np.float32).reshape(-1, 1, 2)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, winSize=(17, 17), maxLevel=4)
    home, again, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(17, 17), maxLevel=4)
    off = np.hypot(*(home - start).reshape(-1, 2).T)
    return there.reshape(-1, 2).astype(np.float64), (found & again).ravel().astype(bool) & (off < BACK_PX)
