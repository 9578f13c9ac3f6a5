"""From the pictures of one scene to a bracket of three: which three, in what order, and on what scale.

Where there are more than three, low is the darkest usable picture, high the brightest usable one and the
reference that whose exposure is nearest the middle between them (the darker of two), as Sen et al. 2012 take
the middle picture. A picture is usable when at least one value in a hundred is neither black nor clipped.

The scale of a ground truth is stated by its layout and verified here: where the reference is well exposed,
truth and reference must agree within a stop. Datasets differ in their unit, and a truth in another unit than
the network's teaches it a wrong brightness without any other sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from edge.frames import FloatImage
from edge.images.imageio import GAMMA
from export.layouts.bracket import Bracket, DatasetError
from export.layouts.exposures import FEWEST, WELL_EXPOSED, exposure_file, read_light
from export.layouts.pixels import read_exposure, read_radiance

Unit: TypeAlias = Literal["darkest", "reference"]
"""What 1.0 of a ground truth saturates: the darkest picture of the scene, or its reference."""

USABLE = (0.02, 0.98)
"""Gamma-domain range of values that are neither black nor clipped."""
USABLE_SHARE = 0.01
WRONG_STOPS = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """All pictures of one scene. ``light`` of each over any one; ``truth`` (H, W, 3) linear in ``unit``."""

    names: tuple[str, ...]
    images: tuple[FloatImage, ...]
    light: tuple[float, ...]
    truth: FloatImage | None = None
    unit: Unit = "darkest"


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """One bracket of a dataset, found by the names of its files; ``load`` reads them."""

    name: str
    folder: Path
    load: Callable[[], Stack]

    def bracket(self, fit: bool = False) -> Bracket:
        """Read it. ``fit`` scales the truth to the reference instead of trusting the layout's unit.

        Raises DatasetError, or ImageError where a picture cannot be read.
        """
        try:
            return to_bracket(self.name, self.load(), fit)
        except DatasetError as error:
            told = str(error)
            raise DatasetError(told if str(self.folder) in told else f"{self.folder}: {told}") from None


def text_stack(
    folder: Path, pictures: Sequence[Path], text: Path | None, truth: Path | None, gamma: float = GAMMA
) -> Stack:
    """``pictures`` with the exposures of the file ``text``: the way of most layouts. Raises DatasetError."""
    if text is None:
        raise DatasetError(
            f"{folder}: no exposures; a file exposure.txt with one value a line, stops or seconds, is missing"
        )
    need_three(folder, pictures)
    images = tuple(read_exposure(path, gamma) for path in pictures)
    names = tuple(path.name for path in pictures)
    need_one_size(names, images)
    light = read_light(text, names, images)
    return Stack(names, images, tuple(light), None if truth is None else read_radiance(truth))


def folder_stack(folder: Path, pictures: Sequence[Path], truth: Path | None) -> Stack:
    """``text_stack`` with the exposure file of ``folder``."""
    return text_stack(folder, pictures, exposure_file(folder), truth)


def need_three(folder: Path, pictures: Sequence[Path]) -> None:
    """Raise DatasetError for fewer than three pictures."""
    if len(pictures) < 3:
        there = ", ".join(path.name for path in pictures) or "none"
        raise DatasetError(f"{folder}: a bracket needs three pictures, here is {there}; copy the others")


def need_one_size(names: Sequence[str], images: Sequence[FloatImage]) -> None:
    """Raise DatasetError where pictures differ in size."""
    for name, image in zip(names, images, strict=True):
        if image.shape != images[0].shape:
            (height, width), (first_height, first_width) = image.shape[:2], images[0].shape[:2]
            raise DatasetError(
                f"{name} is {width} x {height} pixels and {names[0]} {first_width} x {first_height}; "
                "one of them was scaled, turned or cropped; copy both again"
            )


def to_bracket(name: str, stack: Stack, fit: bool = False) -> Bracket:
    """The bracket of a stack. Raises DatasetError where it is none or the truth is on another scale."""
    need_one_size(stack.names, stack.images)
    low, middle, high = chosen(stack)
    _need_ascending(stack, (low, middle, high))
    light = np.array([stack.light[i] for i in (low, middle, high)])
    exposure = light / light[1]
    truth = stack.truth
    if truth is not None:
        need_one_size((*stack.names[:1], "the ground truth"), (stack.images[0], truth))
        per_reference = min(stack.light) / light[1] if stack.unit == "darkest" else 1.0
        truth = _on_scale(truth / np.float32(per_reference), stack.images[middle], fit)
        truth = np.clip(truth * np.float32(exposure[0]), 0.0, 1.0)
    images = (stack.images[low], stack.images[middle], stack.images[high])
    return Bracket(name, *images, exposure.astype(np.float32), truth)


def chosen(stack: Stack) -> tuple[int, int, int]:
    """Indices of low, reference and high; see the module's docstring. Raises DatasetError."""
    order = sorted(range(len(stack.light)), key=stack.light.__getitem__)
    if len(order) > 3:
        usable = [index for index in order if is_usable(stack.images[index])]
        order = usable if len(usable) >= 3 else order
    low, high = order[0], order[-1]
    middle = 0.5 * (math.log2(stack.light[low]) + math.log2(stack.light[high]))
    between = [i for i in order if stack.light[low] < stack.light[i] < stack.light[high]]
    if not between:
        stated = ", ".join(f"{math.log2(x / min(stack.light)):g}" for x in sorted(stack.light))
        raise DatasetError(f"exposures of {stated} EV are not three different ones; correct them")
    # 0.01 EV: the darker of two that a rounded exposure time sets equally far from the middle
    return low, min(between, key=lambda i: round(abs(math.log2(stack.light[i]) - middle), 2)), high


def is_usable(image: FloatImage) -> bool:
    """Whether at least one value in a hundred is neither black nor clipped."""
    black, white = (level**GAMMA for level in USABLE)
    return float(np.mean((image > black) & (image < white))) >= USABLE_SHARE


def _need_ascending(stack: Stack, order: tuple[int, int, int]) -> None:
    """A picture of more light cannot be darker: then exposures belong to other pictures."""
    means = [float(stack.images[i].mean()) for i in order]
    if means[0] > means[1] * 1.02 + 1e-4 or means[1] > means[2] * 1.02 + 1e-4:
        names = ", ".join(stack.names[i] for i in order)
        raise DatasetError(
            f"by their exposures {names} grow brighter, by their pixels they do not; "
            "the lines of the exposure file are in another order than the file names"
        )


def _on_scale(truth: FloatImage, reference: FloatImage, fit: bool) -> FloatImage:
    """``truth``, in units of the reference, as it is or fitted. Raises DatasetError where it does not fit."""
    stops = _stops_apart(truth, reference)
    if stops is None:
        return truth
    if fit:
        fitted: FloatImage = truth * np.float32(2.0**stops)
        return fitted
    if abs(stops) > WRONG_STOPS:
        way = "darker" if stops > 0 else "brighter"
        raise DatasetError(
            f"the ground truth is {abs(stops):.1f} EV {way} than the reference picture and its exposure say; "
            "correct the exposures, or let the truth be scaled to the picture (--fit-truth)"
        )
    return truth


def _stops_apart(truth: FloatImage, reference: FloatImage) -> float | None:
    """Median of reference over truth in stops where the reference is well exposed and truth is not black."""
    low, high = WELL_EXPOSED
    a, b = truth[::2, ::2], reference[::2, ::2]
    told = (b > low) & (b < high) & (a > 0)
    if np.count_nonzero(told) < FEWEST:
        return None
    return float(np.median(np.log2(b[told] / a[told])))
