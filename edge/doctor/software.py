"""Doctor's checks of Python, packages, encoders and networks: each is tried, not looked up."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edge.config.layers import Config
from edge.doctor.findings import Check, Finding, State
from edge.errors import TwinhdrError
from edge.frames import FloatImage
from edge.native import native_messages

PYTHONS = ((3, 10), (3, 12))
PACKAGES = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
    "pydantic": "pydantic",
    "serial": "pyserial",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "av": "av",
    "OpenEXR": "OpenEXR",
    "rich": "rich",
    "aiohttp": "aiohttp",
    "prometheus_client": "prometheus-client",
}
"""Module -> distribution."""
REINSTALL = "run ./install.sh again, or pip install the packages that pyproject.toml lists"
MODELS = Path(__file__).parents[1] / "models"
RIGHT_ANSWER_DB = 25.0
"""PSNR-mu that any trained network reaches on a noise-free, motionless gradient; noise gives below 15."""


def check_python(_config: Config) -> Iterator[Finding]:
    """The interpreter's version."""
    found = f"{sys.version.split()[0]} at {sys.executable}"
    low, high = PYTHONS
    if low <= sys.version_info[:2] <= high:
        yield Finding("python", "ok", found)
    else:
        advice = f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}"
        yield Finding("python", "fail", found, advice)


def check_packages(_config: Config) -> Iterator[Finding]:
    """Every package that pyproject.toml asks for must really import."""
    versions, broken = [], []
    for module, distribution in PACKAGES.items():
        try:
            importlib.import_module(module)
            versions.append(f"{distribution} {version(distribution)}")
        except PackageNotFoundError:
            versions.append(distribution)  # a system package without metadata works as well
        except Exception as error:  # noqa: BLE001  a broken library raises what it likes; that is the finding
            broken.append(f"{distribution} ({type(error).__name__}: {error})")
    if broken:
        yield Finding("packages", "fail", "; ".join(broken), REINSTALL)
    else:
        yield Finding("packages", "ok", ", ".join(versions))


def check_encoders(config: Config) -> Iterator[Finding]:
    """Each encoder is opened and given a frame."""
    needed = {
        "libx265": config.hdr.enabled and config.hdr.codec == "hevc",
        "libsvtav1": config.hdr.enabled and config.hdr.codec == "av1",
        "ffv1": config.masters.enabled,
    }
    formats = {"libx265": "yuv420p10le", "libsvtav1": "yuv420p10le", "ffv1": "gray16le"}
    for name, pixel_format in formats.items():
        fault = encoder_fault(name, pixel_format)
        if fault is None:
            yield Finding(f"encoder {name}", "ok", f"encodes {pixel_format}")
        else:
            advice = "install the av package from PyPI; its wheels bring this encoder"
            yield Finding(f"encoder {name}", "fail" if needed[name] else "warn", fault, advice)


def encoder_fault(name: str, pixel_format: str) -> str | None:
    """None where PyAV's encoder ``name`` turns a grey 64x64 frame into a packet, else why it does not."""
    try:
        from av.error import FFmpegError
    except Exception as error:  # noqa: BLE001  see check_packages
        return f"PyAV does not import: {error}"
    from edge.encode.video import ordinary_priority

    try:
        with ordinary_priority(), native_messages():
            packets = _encode_one(name, pixel_format)
    except (FFmpegError, ValueError) as error:
        return f"cannot be opened: {error}"
    return None if packets else "takes a frame and gives no packet"


def _encode_one(name: str, pixel_format: str) -> int:
    """Number of packets. The encoder dies here, because x265 prints once more when it does."""
    from fractions import Fraction

    import av

    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, pixel_format
    encoder.time_base = Fraction(1, 30)
    frame = av.VideoFrame(64, 64, pixel_format)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts = 0
    return len([*encoder.encode(frame), *encoder.encode(None)])


def check_runtime(_config: Config) -> Iterator[Finding]:
    """What ONNX Runtime can compute on."""
    try:
        import onnxruntime
    except Exception as error:  # noqa: BLE001  see check_packages
        yield Finding("onnxruntime", "fail", f"does not import: {error}", REINSTALL)
        return
    yield Finding("onnxruntime", "ok", ", ".join(onnxruntime.get_available_providers()))


def check_models(config: Config) -> Iterator[Finding]:
    """Each shipped and each configured network fuses a known gradient and must find its radiance again."""
    shipped = sorted(path.stem.removeprefix("eafnet-") for path in MODELS.glob("eafnet-*.onnx"))
    wanted = [model for model in (config.fuse.model, config.fuse.small_model) if model is not None]
    for model in dict.fromkeys([*shipped, *wanted]):
        state: State = "fail" if model in wanted else "warn"
        try:
            psnr_db = answer_psnr_db(model)
        except TwinhdrError as error:
            yield Finding(f"network {model}", state, str(error))
            continue
        found = f"a known gradient comes back at {psnr_db:.1f} dB PSNR-mu"
        if psnr_db >= RIGHT_ANSWER_DB:
            yield Finding(f"network {model}", "ok", found)
        else:
            advice = f"expected at least {RIGHT_ANSWER_DB:g} dB: damaged or untrained; install the file again"
            yield Finding(f"network {model}", state, found, advice)


def answer_psnr_db(model: str) -> float:
    """PSNR-mu of ``model`` on a 64x64 gradient from dark to 3.5, exposed at -2, 0 and 2 EV without noise."""
    from edge.engines import open_engine
    from edge.fuse.still import Bracket, fuse_still

    ramp = np.geomspace(0.004, 3.5, 64, dtype=np.float32)
    truth: FloatImage = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 64, 3)))
    low, reference, high = (np.clip(truth * 2.0**ev, 0.0, 1.0).astype(np.float32) for ev in (-2, 0, 2))
    radiance = fuse_still(Bracket(low, reference, high), (-2.0, 0.0, 2.0), open_engine(model, 1))
    mu, full = 5000.0, 4.0

    def compress(image: FloatImage) -> FloatImage:
        compressed: FloatImage = np.log1p(mu * np.clip(image / full, 0.0, 1.0)) / np.log1p(mu)
        return compressed

    error = float(np.mean((compress(radiance) - compress(truth)) ** 2))
    return float(-10.0 * np.log10(max(error, 1e-12)))


def check_ffprobe(_config: Config) -> Iterator[Finding]:
    """ffprobe is for people and for the tests; recording does not need it."""
    path = shutil.which("ffprobe")
    if path:
        yield Finding("ffprobe", "ok", path)
    else:
        yield Finding("ffprobe", "info", "not installed", "apt install ffmpeg, to look into the videos")


SOFTWARE_CHECKS: tuple[Check, ...] = (
    check_python,
    check_packages,
    check_encoders,
    check_runtime,
    check_models,
    check_ffprobe,
)
