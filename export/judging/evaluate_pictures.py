"""Pictures of one case: what each row made of it, and where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from edge.frames import FloatImage
from edge.images.panel import GAP, INK, labelled_row, stacked
from edge.tone.sdr import Rgb8
from export.judging.judged import Case
from export.judging.metrics import mu_law

ERROR_FULL = 0.1
"""Error that gets the last colour, in parts of full scale of the mu-law domain; the same in every picture."""
COLUMNS = 4
MOST_WIDE = 480
"""Of each panel, in pixels: a page of a dozen rows at full size would be 20 MB."""
LEGEND_HEIGHT = 34


def case_picture(case: Case, answers: Mapping[str, FloatImage], display: frozenset[str]) -> Rgb8:
    """Each row's picture (mu-law) above its error map, four to a line, the truth first, a legend last.

    ``display`` names the rows that answered with a picture already; they have no error map.
    """
    toned = {name: a if name in display else mu_law(a) for name, a in answers.items()}
    shown = {"reference exposure": np.power(case.sample.reference, np.float32(1 / 2.2)), **toned}
    if case.has_truth:
        shown = {"truth": mu_law(case.sample.truth), **shown}
    truth = shown.get("truth")
    lines: list[Rgb8] = []
    names = list(shown)
    for start in range(0, len(names), COLUMNS):
        some = names[start : start + COLUMNS]
        lines.append(labelled_row([(name, _small(_bytes(shown[name]))) for name in some]))
        if truth is not None and set(some) & (toned.keys() - display):
            lines.append(labelled_row([_error_or_blank(name, toned, display, truth) for name in some]))
    if truth is not None:
        lines.append(legend(lines[0].shape[1]))
    return stacked(lines)


def error_map(toned: FloatImage, truth: FloatImage) -> Rgb8:
    """Largest absolute error of the three channels of mu-law pictures: black 0, bright ``ERROR_FULL``."""
    error = np.abs(toned - truth).max(axis=2)
    return _coloured(error / np.float32(ERROR_FULL))


def legend(width: int) -> Rgb8:
    """A bar of the error map's colours with the values at its ends."""
    bar = np.full((LEGEND_HEIGHT, width, 3), 24, np.uint8)
    left, right = min(250, width // 3), min(700, width - 60)
    if right > left:
        scale = np.tile(np.linspace(0.0, 1.0, right - left, dtype=np.float32), (LEGEND_HEIGHT - 2 * GAP, 1))
        bar[GAP:-GAP, left:right] = _coloured(scale)
    for text, x in (("error, mu domain:  0", 4), (f"{ERROR_FULL:g}", right + 6)):
        cv2.putText(bar, text, (x, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return bar


def _error_or_blank(
    name: str, toned: Mapping[str, FloatImage], display: frozenset[str], truth: FloatImage
) -> tuple[str, Rgb8]:
    if name in toned and name not in display:
        return f"{name}: error", _small(error_map(toned[name], truth))
    return "", np.full_like(_small(_bytes(truth)), 24)


def _coloured(share: FloatImage) -> Rgb8:
    codes = np.rint(np.clip(share, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    coloured: Rgb8 = cv2.applyColorMap(codes, cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.ascontiguousarray(coloured)


def _small(picture: Rgb8) -> Rgb8:
    height, width = picture.shape[:2]
    if width <= MOST_WIDE:
        return picture
    size = (MOST_WIDE, max(1, round(height * MOST_WIDE / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _bytes(picture: FloatImage) -> Rgb8:
    codes: Rgb8 = np.rint(np.clip(picture, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    return codes
