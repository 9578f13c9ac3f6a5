"""Pictures side by side, with their names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge.tone.sdr import Rgb8

GAP = 6
LABEL_HEIGHT = 26
BACKGROUND = 24
INK = (225, 225, 225)


def labelled_row(pictures: Sequence[tuple[str, Rgb8]]) -> Rgb8:
    """Pictures of one height in a row, each under its name. Raises ValueError on none."""
    if not pictures:
        raise ValueError("a row needs at least one picture")
    columns: list[Rgb8] = []
    for name, picture in pictures:
        label = np.full((LABEL_HEIGHT, picture.shape[1], 3), BACKGROUND, np.uint8)
        cv2.putText(label, name, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
        columns.append(np.vstack([label, picture]))
        columns.append(np.full((picture.shape[0] + LABEL_HEIGHT, GAP, 3), BACKGROUND, np.uint8))
    return np.hstack(columns[:-1])


def stacked(rows: Sequence[Rgb8]) -> Rgb8:
    """Rows below each other, narrower ones filled up on the right."""
    width = max(row.shape[1] for row in rows)
    filled = [
        cv2.copyMakeBorder(row, 0, GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(BACKGROUND,) * 3)
        for row in rows
    ]
    return np.vstack(filled)
