"""What a calibration is worth, for programs (JSON), for people (Markdown) and for the eye (a picture)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.calibration.features import grey_at
from edge.calibration.file import CalibrationWriteError
from edge.calibration.measure import Measured
from edge.calibration.model import Calibration
from edge.frames import FloatImage
from edge.images.imageio import write_png
from edge.images.panel import labelled_row
from edge.register.rectify import Rectifier
from edge.tone.sdr import Rgb8

USUAL_PX = 0.5
"""Reprojection error below which a calibration is called good."""


def verdict(calibration: Calibration) -> str:
    """In a sentence."""
    quality = calibration.quality
    off = quality.get("reprojection_rms_px", quality.get("uncertain_px"))
    if off is None:
        return "not measured"
    word = "good" if off <= USUAL_PX else "usable" if off <= 2 * USUAL_PX else "poor"
    return f"{word} ({off:.2f} px)"


def write_report(folder: Path, stem: str, measured: Measured) -> tuple[Path, ...]:
    """``stem``.report.json, .report.md and .report.png in ``folder``; the files written."""
    paths = tuple(folder / f"{stem}.report.{suffix}" for suffix in ("json", "md", "png"))
    try:
        paths[0].write_text(json.dumps(report_data(measured), indent=1) + "\n", "utf-8")
        paths[1].write_text(markdown(measured, paths[2].name), "utf-8")
    except OSError as error:
        raise CalibrationWriteError(f"{error.filename}: cannot be written: {error.strerror}") from None
    write_png(paths[2], overlay(measured))
    return paths


def report_data(measured: Measured) -> dict[str, Any]:
    """Everything, as plain values."""
    calibration = measured.calibration
    return {"verdict": verdict(calibration), "notes": list(measured.notes), **calibration.to_dict()}


def overlay(measured: Measured) -> Rgb8:
    """Before and after: the reference in red, the secondary in cyan; what coincides is grey."""
    calibration, shown = measured.calibration, measured.shown
    after, name = calibration, "after"
    if measured.shown_m is not None and calibration.mode == "rectify":
        # At the board's own distance: what is left then is error, not parallax.
        after, name = replace(calibration, plane_m=measured.shown_m), f"after, at {measured.shown_m:.2f} m"
    rectifier = Rectifier(after)
    scale = max(shown.ratio, 1.0), max(1.0 / shown.ratio, 1.0)
    before = _red_cyan(shown.reference, shown.secondary, scale)
    rectified = _red_cyan(
        rectifier.rectify_reference(shown.reference), rectifier.rectify(shown.secondary), scale
    )
    return labelled_row([("before: reference red, secondary cyan", before), (name, rectified)])


def _red_cyan(reference: FloatImage, secondary: FloatImage, scale: tuple[float, float]) -> Rgb8:
    red, cyan = grey_at(reference, scale[0]), grey_at(secondary, scale[1])
    return np.dstack((red, cyan, cyan))


def markdown(measured: Measured, picture: str) -> str:
    """The report for people."""
    calibration = measured.calibration
    quality = calibration.quality
    lines = [f"# Calibration: {verdict(calibration)}", "", f"![before and after]({picture})", ""]
    lines += [f"- {note}" for note in measured.notes]
    lines += ["", "| | |", "|---|---|"]
    lines.append(f"| picture | {calibration.width} x {calibration.height} |")
    lines.append(f"| mode | {calibration.mode}, {_distance(calibration)} |")
    lines += [f"| {text} | {value} |" for text, value in _figures(quality)]
    lines += _lens_rows(calibration)
    if calibration.photometry is not None:
        lines += _light_rows(calibration, quality.get("light", {}))
    lines += _views(quality)
    return "\n".join(lines) + "\n"


def _distance(calibration: Calibration) -> str:
    if calibration.mounting is None:
        return "at the distance of most of the scene"
    return "views meet " + ("at infinity" if calibration.plane_m is None else f"at {calibration.plane_m:g} m")


def _figures(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of what was measured; absent figures are left out."""
    known = (
        ("views used", "views", "{}"),
        ("reprojection error, rms", "reprojection_rms_px", "{:.3f} px"),
        ("registration across the baseline, rms", "epipolar_rms_px", "{:.3f} px"),
        ("a homography instead of the lenses' maps is off by, rms", "homography_fit_px", "{:.3f} px"),
        ("distance of the cameras", "baseline_mm", "{:.2f} mm"),
        ("details that agree", "agreeing", "{}"),
        ("of details found", "matches", "{}"),
        ("model", "model", "{}"),
        ("median distance of the details", "residual_px", "{:.3f} px"),
        ("uncertainty of the map, rms", "uncertain_px", "{:.3f} px"),
    )
    return [(text, form.format(quality[key])) for text, key, form in known if key in quality]


def _lens_rows(calibration: Calibration) -> list[str]:
    rows = []
    for name, lens in (("reference", calibration.reference), ("secondary", calibration.secondary)):
        if lens is not None:
            k = ", ".join(f"{value:.4f}" for value in lens.distortion)
            rows.append(
                f"| {name} lens | f {lens.fx:.1f} {lens.fy:.1f}, centre {lens.cx:.1f} {lens.cy:.1f}, k {k} |"
            )
    if calibration.mounting is not None:
        x, y, z = (1e3 * value for value in calibration.mounting.secondary_at_m)
        a, b, c = calibration.mounting.rotation_deg
        rows.append(f"| secondary stands | {x:.2f} mm right, {y:.2f} down, {z:.2f} forward |")
        rows.append(f"| secondary is turned by | {a:.3f}, {b:.3f}, {c:.3f} degrees about x, y, z |")
    return rows


def _light_rows(calibration: Calibration, light: Mapping[str, float]) -> list[str]:
    found = calibration.photometry
    assert found is not None, "the caller asks only then"
    red, green, blue = found.secondary_gain
    corner = [1.0 + sum(falloff) for falloff in (found.reference_falloff, found.secondary_falloff)]
    rows = [
        f"| gains on the secondary's R, G, B | {red:.4f}, {green:.4f}, {blue:.4f} |",
        f"| light in the corners, reference and secondary | {corner[0]:.3f}, {corner[1]:.3f} |",
        f"| black beyond the cameras' own | {found.reference_black:.5f}, {found.secondary_black:.5f} |",
    ]
    if light:
        rows.append(
            f"| difference of the cameras' light, median | {light['off_before_percent']:.2f} % before, "
            f"{light['off_after_percent']:.2f} % after |"
        )
    return rows


def _views(quality: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if quality.get("view_rms_px"):
        lines += ["", "| view | error, rms px |", "|---|---|"]
        lines += [f"| {name} | {value:.3f} |" for name, value in quality["view_rms_px"].items()]
    if quality.get("left_out"):
        lines += ["", "Left out:", ""]
        lines += [f"- {name}: {why}" for name, why in quality["left_out"].items()]
    return lines
