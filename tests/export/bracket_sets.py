"""Tiny datasets in the published layouts, written by the tests from one radiance that they know."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.frames import FloatImage
from edge.images.imageio import write_exr

HEIGHT, WIDTH = 48, 64
STOPS = (-2.0, 0.0, 2.0)
FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def radiance(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> FloatImage:
    """(H, W, 3) in reference units: soft blobs from 0.004 to 6, so that every exposure clips or crushes."""
    rng = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 3)
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    scene: FloatImage = np.exp(np.log(0.004) + blobs * np.log(6 / 0.004)).astype(np.float32)
    return scene


def exposed(scene: FloatImage, stops: float) -> FloatImage:
    """What an exposure ``stops`` above the reference records, linear."""
    return np.clip(scene * np.float32(2.0**stops), 0, 1)


def write_coded(path: Path, linear: FloatImage, bits: int = 16, gamma: float = 2.2) -> None:
    """``linear`` coded with ``gamma`` in 8 or 16 bits, in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = np.round(np.clip(linear, 0, 1) ** (1 / gamma) * (2**bits - 1))
    assert cv2.imwrite(str(path), code[..., ::-1].astype(np.uint8 if bits == 8 else np.uint16))


def write_hdr(path: Path, linear: FloatImage) -> None:
    """``linear`` as Radiance HDR: 8 bits of mantissa a channel."""
    assert cv2.imwrite(str(path), np.ascontiguousarray(linear[..., ::-1]))


def write_lines(path: Path, values: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{value}\n" for value in values))


def kalantari_scene(folder: Path, seed: int = 0, stops: Sequence[float] = STOPS) -> None:
    """Stops from zero on, truth in units of the darkest picture."""
    scene = radiance(seed)
    for number, stop in enumerate(stops):
        write_coded(folder / f"262A{898 + number:04d}.tif", exposed(scene, stop))
    write_lines(folder / "exposure.txt", [f"{stop - min(stops):.6f}" for stop in stops])
    write_hdr(folder / "HDRImg.hdr", exposed(scene, min(stops)))


def kalantari(root: Path) -> None:
    kalantari_scene(root / "Training" / "001")
    kalantari_scene(root / "Test" / "EXTRA" / "001")
    kalantari_scene(root / "Test" / "PAPER" / "ManStanding")


def kalantari_repackaged(root: Path) -> None:
    """As Wu et al. distribute it: static pictures lie beside the moving ones."""
    scene, folder = radiance(), root / "train" / "001"
    for number, stop in enumerate(STOPS, 1):
        write_coded(folder / f"input_{number}_aligned.tif", exposed(scene, stop))
        write_coded(folder / f"ref_{number}_aligned.tif", exposed(scene[::-1], stop))
    write_lines(folder / "input_exp.txt", STOPS)
    write_hdr(folder / "ref_hdr_aligned.hdr", exposed(scene, -2))


def challenge123(root: Path) -> None:
    """Three moments with all exposures each; only one of each moment shows the known radiance."""
    for moment in (1, 2, 3):
        folder = root / "Training" / f"007_{moment}"
        for number, stop in enumerate(STOPS, 1):
            scene = radiance(0 if number == moment else 10 * moment + number)
            write_coded(folder / f"ldr_img_{number}.tif", exposed(scene, stop))
        write_lines(folder / "exposure.txt", (0, 2, 4) if moment == 2 else (0, 1, 2))
        write_hdr(folder / "hdr_img.hdr", exposed(radiance(0 if moment == 2 else moment), -2))


def prabhakar(root: Path) -> None:
    """Both ways in which the set names its files."""
    scene = radiance()
    for name, moving, text in (
        ("01", "input_ghosted_{}.tif", "ExpoBias.txt"),
        ("02", "img{}.tif", "reference/ExposureBias.txt"),
    ):
        folder = root / "Training_set" / name
        for number, stop in enumerate(STOPS, 1):
            write_coded(folder / "ghosted" / moving.format(number), exposed(scene, stop))
            write_coded(folder / "reference" / f"input_reference_{number}.tif", exposed(scene[::-1], stop))
        write_lines(folder / text, (0, 2, 4))
        write_hdr(folder / "GT_HDR.hdr", exposed(scene, -2))


def prabhakar_prepared(root: Path) -> None:
    """As FSHDR's script leaves it; by name the high exposure comes first."""
    scene, folder = radiance(), root / "train" / "001"
    for name, stop in zip(("le", "me", "he"), STOPS, strict=True):
        write_coded(folder / "dynamic" / f"{name}.tif", exposed(scene, stop))
        write_coded(folder / "static" / f"{name}.tif", exposed(scene[::-1], stop))
    write_lines(folder / "input_exp.txt", (0, 2, 4))
    write_hdr(folder / "hdr_gt.hdr", exposed(scene, -2))


def ntire(root: Path, arrays: str = ".") -> None:
    """Gamma 2.24 throughout; the truth's unit is the medium picture. ``arrays``: where the .npy lie."""
    scene = radiance()
    for number in ("0000", "0001"):
        for name, stop in zip(("short", "medium", "long"), STOPS, strict=True):
            write_coded(root / f"{number}_{name}.png", exposed(scene, stop), 8, 2.24)
        coded = scene ** (1 / 2.24)
        ratio = 65535 / float(coded.max())
        cv2.imwrite(str(root / f"{number}_gt.png"), np.round(coded * ratio)[..., ::-1].astype(np.uint16))
        (root / arrays).mkdir(exist_ok=True)
        np.save(root / arrays / f"{number}_alignratio.npy", np.float64(ratio))
        np.save(root / arrays / f"{number}_exposures.npy", np.array([3.0, 5.0, 7.0]))


def ntire_apart(root: Path) -> None:
    ntire(root, "alignratio")


def triples(root: Path) -> None:
    """Our own layout, every format of picture and both formats of exposure."""
    scene = radiance()
    for name, suffix, bits in (("a", ".png", 8), ("b", ".tif", 16), ("c", ".exr", 0)):
        for role, stop in zip(("low", "reference", "high"), STOPS, strict=True):
            path = root / name / f"{role}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if bits:
                write_coded(path, exposed(scene, stop), bits)
            else:
                write_exr(path, exposed(scene, stop))
        write_exr(root / name / "truth.exr", scene)
    write_lines(root / "a" / "exposure.txt", ("1/400", "1/100", "1/25"))
    write_lines(root / "b" / "exposure.json", ['{"ev": [-2, 0, 2]}'])
    write_lines(root / "c" / "exposure.json", ['{"light": [0.5, 2, 8]}'])


def sen(root: Path) -> None:
    """No ground truth; the text file has a name of its own."""
    for name in ("BabyAtWindow", "PianoMan"):
        for number, stop in enumerate(STOPS, 1):
            write_coded(root / name / f"Img{number}.tif", exposed(radiance(), stop))
        write_lines(root / name / f"{name}.txt", (0, 2, 4))


def tursun(root: Path) -> None:
    """No ground truth; exposures in EXIF."""
    for name in ("Cafe", "Shop"):
        for number, stop in enumerate(STOPS, 1):
            write_jpeg(root / name / f"DSC_{number:04d}.jpg", exposed(radiance(), stop), 2.0**stop / 60)


def write_jpeg(path: Path, linear: FloatImage, seconds: float, order: str = "<", turned: int = 1) -> None:
    """A JPEG with an EXIF block of exposure time, aperture f/4, ISO 200 and orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = np.round(linear[..., ::-1] ** (1 / 2.2) * 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", code, [cv2.IMWRITE_JPEG_QUALITY, 100, *FULL_COLOUR])
    assert done
    block = b"Exif\0\0" + exif(seconds, order, turned)
    jpeg = data.tobytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:])


def exif(seconds: float, order: str = "<", turned: int = 1) -> bytes:
    """A TIFF directory with an orientation, and an Exif directory of three entries (EXIF 2.32, 4.6)."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    inner = 8 + 2 + 2 * 12 + 4
    first = struct.pack(f"{order}HHHIHHHHIII", 2, 0x0112, 3, 1, turned, 0, 0x8769, 4, 1, inner, 0)
    values = inner + 2 + 3 * 12 + 4
    entries = struct.pack(
        f"{order}HHHIIHHIIHHIHHI",
        3,
        *(0x829A, 5, 1, values),
        *(0x829D, 5, 1, values + 8),
        *(0x8827, 3, 1, 200, 0),
        0,
    )
    return head + first + entries + struct.pack(f"{order}IIII", round(seconds * 1e6), 10**6, 40, 10)


LABELLED = {
    "kalantari": kalantari,
    "kalantari repackaged": kalantari_repackaged,
    "challenge123": challenge123,
    "prabhakar": prabhakar,
    "prabhakar prepared": prabhakar_prepared,
    "ntire21": ntire,
    "ntire21 apart": ntire_apart,
    "triples": triples,
}
UNLABELLED = {"sen": sen, "tursun": tursun}
SETS = LABELLED | UNLABELLED
