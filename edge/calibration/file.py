"""The calibration file: YAML (old ones are JSON, which is YAML), checked in one place, replaced as a whole.

The first calibration is kept a second time as ``calibration.factory.yaml`` beside it. Nothing but an
explicit wish replaces that copy, so a rig that was calibrated badly in the field can always go back.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from edge.calibration.model import CALIBRATION_VERSION, Calibration, Homography, Lens, as_rows
from edge.config.file import Located, read
from edge.errors import EX_CANTCREAT, EX_CONFIG, EX_NOINPUT, ConfigError, TwinhdrError

MAX_SIDE = 1 << 15
TINY = 1e-9
FARTHEST = 1e6
"""No length, focal length or factor of a real rig is above it."""

Where = Callable[[Sequence[str | int]], str]


class CalibrationError(TwinhdrError):
    """A calibration file cannot be used. The text names the file, the fault and what to do."""

    exit_code = EX_CONFIG


class CalibrationWriteError(TwinhdrError):
    """A calibration cannot be kept where it was asked for."""

    exit_code = EX_CANTCREAT


class NoFactoryError(TwinhdrError):
    """There is no factory copy to go back to."""

    exit_code = EX_NOINPUT


def to_plain(calibration: Calibration) -> dict[str, Any]:
    """Plain JSON values, what is not known left out."""
    whole = {"version": CALIBRATION_VERSION, **dataclasses.asdict(calibration)}
    plain: dict[str, Any] = json.loads(json.dumps({k: v for k, v in whole.items() if v not in (None, {})}))
    return plain


def parse_calibration(data: Any, where: str) -> Calibration:
    """Check what was read from ``where``. Raises CalibrationError."""
    return _parse(data, lambda path: f"{where}: {'.'.join(map(str, path))}{': ' if path else ''}")


def load_calibration(path: Path, width: int, height: int) -> Calibration:
    """Read a calibration file for images of ``width`` x ``height``. Raises CalibrationError."""
    calibration = read_calibration(path)
    if (calibration.width, calibration.height) != (width, height):
        raise CalibrationError(
            f"{path}: measured at {calibration.width}x{calibration.height}, but the cameras deliver "
            f"{width}x{height}; calibrate at this size"
        )
    return calibration


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file of any image size. Raises CalibrationError."""
    try:
        tree, faults = read(path)
    except (ConfigError, RecursionError) as error:
        told = error.faults[0].problem if isinstance(error, ConfigError) else "nested too deeply"
        raise _unreadable(path, told) from None
    if faults or tree.value is None:
        raise _unreadable(path, str(faults[0].problem) if faults else "the file is empty")
    return _parse(tree.plain(), lambda keys: _located(tree, path, keys))


def write_calibration(path: Path, calibration: Calibration, *, factory: bool = False) -> tuple[Path, ...]:
    """Write ``path``, and its factory copy where there is none yet or ``factory`` asks for it.

    Returns the files written. Raises CalibrationWriteError; then each file is what it was.
    """
    copy = factory_path(path)
    written = [path]
    _replace(path, _text(calibration))
    if factory or not copy.exists():
        _replace(copy, _text(calibration))
        written.append(copy)
    return tuple(written)


def restore(path: Path) -> Calibration:
    """Put the factory copy back. Raises NoFactoryError, CalibrationError, CalibrationWriteError."""
    copy = factory_path(path)
    if not copy.exists():
        raise NoFactoryError(f"{copy}: there is no factory calibration to go back to; calibrate again")
    calibration = read_calibration(copy)
    _replace(path, copy.read_text("utf-8"))
    return calibration


def factory_path(path: Path) -> Path:
    """``calibration.yaml`` -> ``calibration.factory.yaml``."""
    return path.with_name(f"{path.stem}.factory{path.suffix or '.yaml'}")


def _unreadable(path: Path, why: str) -> CalibrationError:
    cause = why.split(";")[0]  # what follows is advice on configuration files
    return CalibrationError(
        f"{path}: cannot be read ({cause}); calibrate again, or set calibration.file to another file"
    )


def _located(tree: Located, path: Path, keys: Sequence[str | int]) -> str:
    at = f"{path}:{tree.at(tuple(keys)).line}" if keys else str(path)
    return f"{at}: {'.'.join(map(str, keys))}{': ' if keys else ''}"


def _parse(data: Any, where: Where) -> Calibration:
    if not isinstance(data, dict):
        raise CalibrationError(f"{where(())}not a calibration (expected a mapping); calibrate again")
    version = data.get("version")
    if version not in (1, CALIBRATION_VERSION) or isinstance(version, bool):
        raise CalibrationError(
            f"{where(())}version {version!r}, this twinhdr reads versions 1 and {CALIBRATION_VERSION}; "
            "calibrate again"
        )
    for key in ("width", "height"):
        value = data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_SIDE:
            raise CalibrationError(
                f"{where((key,))}must be pixels from 1 to {MAX_SIDE}, not {value!r}; calibrate again"
            )
    rest = {key: value for key, value in data.items() if key != "version"}
    rest["homography"] = _homography(data.get("homography"), data["width"], data["height"], where)
    calibration = _validated(rest, where)
    _check(calibration, where)
    return calibration


def _validated(data: dict[str, Any], where: Where) -> Calibration:
    """Types of all keys, by one validator; JSON, because only there a list may stand for a tuple."""
    try:
        return _ADAPTER.validate_json(json.dumps(data, default=str))
    except (ValidationError, RecursionError, ValueError, TypeError) as error:
        if not isinstance(error, ValidationError):
            raise CalibrationError(f"{where(())}not a calibration ({error}); calibrate again") from error
        first = error.errors()[0]
        said = str(first["msg"]).splitlines()[0]
        raise CalibrationError(f"{where(first['loc'])}{said}; correct it or calibrate again") from None


def _check(calibration: Calibration, where: Where) -> None:
    """What types cannot say. Raises CalibrationError."""
    lenses = (("reference", calibration.reference), ("secondary", calibration.secondary))
    for name, lens in lenses:
        if lens is not None:
            _check_lens(lens, name, calibration, where)
    known = all(lens is not None for _, lens in lenses) and calibration.mounting is not None
    if calibration.mode == "rectify" and not known:
        raise CalibrationError(
            f"{where(('mode',))}rectify needs reference, secondary and mounting; calibrate again with a board"
        )
    if calibration.undistort_reference and calibration.mode != "rectify":
        raise CalibrationError(
            f"{where(('undistort_reference',))}needs mode rectify; set it to false or calibrate again"
        )
    if calibration.plane_m is not None and not 1e-3 < calibration.plane_m < FARTHEST:
        raise CalibrationError(f"{where(('plane_m',))}metres above 0.001, or leave it out; calibrate again")
    light = calibration.photometry
    if light is not None:
        if not all(1 / 16 < gain < 16 for gain in light.secondary_gain):
            raise CalibrationError(
                f"{where(('photometry', 'secondary_gain'))}factors from 1/16 to 16; calibrate again"
            )
        for name in ("reference", "secondary"):
            if not abs(getattr(light, f"{name}_black")) < 0.25:
                raise CalibrationError(
                    f"{where(('photometry', f'{name}_black'))}a share below 0.25; calibrate again"
                )
            r2 = np.linspace(0.0, 1.0, 33)
            a, b, c = getattr(light, f"{name}_falloff")
            with np.errstate(all="ignore"):
                falloff = 1 + r2 * (a + r2 * (b + r2 * c))
            if not ((falloff > 0.1) & (falloff < 10)).all():
                raise CalibrationError(
                    f"{where(('photometry', f'{name}_falloff'))}between 0.1 and 10 in the whole picture; "
                    "calibrate again"
                )


def _check_lens(lens: Lens, name: str, calibration: Calibration, where: Where) -> None:
    side = max(calibration.width, calibration.height)
    if not all(0.1 * side < focal < 1000 * side for focal in (lens.fx, lens.fy)):
        raise CalibrationError(f"{where((name, 'fx'))}no focal length of such a picture; calibrate again")
    if not all(abs(value) < 10 * side for value in (lens.cx, lens.cy)):
        raise CalibrationError(f"{where((name, 'cx'))}far outside the picture; calibrate again")
    if not all(abs(value) < 1e3 for value in lens.distortion):
        raise CalibrationError(f"{where((name, 'distortion'))}not of a lens; calibrate again")


def _homography(data: Any, width: int, height: int, where: Where) -> Homography:
    """Three rows, scaled so that the last number is 1."""
    here = where(("homography",))
    try:
        matrix = np.asarray(data, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CalibrationError(f"{here}three rows of three numbers ({error}); calibrate again") from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(matrix[2, 2]) < TINY:
        raise CalibrationError(f"{here}three rows of three finite numbers, the last not 0; calibrate again")
    with np.errstate(all="ignore"):  # what overflows is refused
        matrix = matrix / matrix[2, 2]
        usable = np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > TINY
        corners = np.array([(x, y, 1.0) for x in (0, width - 1) for y in (0, height - 1)])
        if not usable or any((corners @ m[2] <= 0).any() for m in (matrix, np.linalg.inv(matrix))):
            raise CalibrationError(
                f"{here}does not map one picture onto another (it is singular, or its horizon lies within "
                "the picture); calibrate again"
            )
    return as_rows(matrix)


def _text(calibration: Calibration) -> str:
    body = yaml.safe_dump(to_plain(calibration), sort_keys=False, default_flow_style=None, width=100)
    return f"# Made by twinhdr calibrate; docs/calibration.md explains every key.\n{body}"


def _replace(path: Path, text: str) -> None:
    """The file appears complete or not at all, and stays after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CalibrationWriteError(
            f"{path}: cannot be written: {error.strerror}; name another file with --out"
        ) from None


_ADAPTER: TypeAdapter[Calibration] = TypeAdapter(Calibration)
