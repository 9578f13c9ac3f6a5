"""HDR stills hold the light they were made from, and other people's readers find it."""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from edge.encode.hdr_read import _from_pq, _planes
from edge.exports.gainmap import GainMap, apply_gain_map, make_gain_map
from edge.exports.pictures import KINDS, write_picture
from edge.exports.ultrahdr import encode_ultra_hdr, iso_metadata
from edge.frames import FloatImage
from edge.images.imageio import ImageWriteError
from edge.judge.quality import MU
from edge.tone.colour import linear_from_srgb

GAIN = "{http://ns.adobe.com/hdr-gain-map/1.0/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
ITEM = "{http://ns.google.com/photos/1.0/container/item/}"


@pytest.fixture(scope="module")
def radiance() -> FloatImage:
    """A scene of 10 stops with odd sides: a window, coloured light, shadows."""
    y, x = np.mgrid[0:161, 0:241].astype(np.float32)
    red = 0.01 + 0.6 * (x / 240) ** 2
    image = np.stack([red, 0.02 + 0.5 * (y / 160), 0.015 + 0.3 * (1 - x / 240)], -1)
    image[30:90, 150:210] *= 12.0
    image[100:140, 20:80] *= 0.1
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)


def psnr_mu(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    peak = float(two.max())
    a, b = (np.log1p(MU * np.clip(v / peak, 0, 1)) / np.log1p(MU) for v in (one, two))
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def split(jpeg: bytes) -> tuple[bytes, bytes]:
    """The two pictures, by the index of the multi-picture format as Pillow reads it."""
    from PIL.MpoImagePlugin import MpoImageFile

    with MpoImageFile(io.BytesIO(jpeg)) as image:
        entries = image.mpinfo[0xB002]
        image.seek(1)
        second = image.offset
    assert entries[0]["Size"] == second
    assert second + entries[1]["Size"] == len(jpeg)
    return jpeg[:second], jpeg[second:]


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """(marker, content) up to the start of the scan."""
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        size = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + size]))
        at += 2 + size
    return found


def xmp(jpeg: bytes) -> ET.Element:
    (text,) = (
        body.split(b"\0", 1)[1] for _, body in segments(jpeg) if body.startswith(b"http://ns.adobe.com")
    )
    found = ET.fromstring(text).find(f".//{RDF}Description")
    assert found is not None
    return found


def rgb(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def test_ultra_hdr_gives_the_light_back(radiance: FloatImage) -> None:
    """By the format's own rules, read from the file alone: else a phone shows other light than there was."""
    made = encode_ultra_hdr(radiance)
    first, second = split(made.jpeg)
    said = xmp(second)

    def three(name: str) -> tuple[float, float, float]:
        red, green, blue = (float(item.text or "") for item in said.findall(f"{GAIN}{name}//{RDF}li"))
        return red, green, blue

    headroom = float(said.attrib[f"{GAIN}HDRCapacityMax"])
    read = GainMap(rgb(second), three("GainMapMin"), three("GainMapMax"), headroom)
    sdr = np.asarray(linear_from_srgb(rgb(first).astype(np.float32) / 255.0), np.float32)
    assert psnr_mu(apply_gain_map(sdr, read) / made.gain, radiance) > 45.0
    assert headroom == pytest.approx(np.log2(radiance.max() * made.gain), abs=0.01)
    assert np.allclose(apply_gain_map(sdr, read, 0.0), sdr, atol=1e-6)


def test_another_reader_agrees(radiance: FloatImage) -> None:
    """libultrahdr is what Android uses."""
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs, to read gain maps")
    if not imagecodecs.ULTRAHDR.available:
        pytest.skip("this imagecodecs has no libultrahdr")
    made = encode_ultra_hdr(radiance)
    decoded = imagecodecs.ultrahdr_decode(made.jpeg, boost=64.0)[..., :3].astype(np.float32)
    assert psnr_mu(decoded / np.float32(made.gain), radiance) > 45.0


def test_ultra_hdr_is_a_plain_jpeg_for_everybody_else(radiance: FloatImage) -> None:
    """Mail programs and old phones show the SDR picture and never know."""
    from PIL import Image

    made = encode_ultra_hdr(radiance)
    first, second = split(made.jpeg)
    with Image.open(io.BytesIO(made.jpeg)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (241, 161), "RGB")
        shown = np.asarray(image)
    assert np.abs(shown.astype(int) - rgb(first)).max() <= 1
    items = [item for item in xmp(first).iter() if f"{ITEM}Semantic" in item.attrib]
    assert [item.attrib[f"{ITEM}Semantic"] for item in items] == ["Primary", "GainMap"]
    assert int(items[1].attrib[f"{ITEM}Length"]) == len(second)


def test_iso_metadata_says_the_same_as_xmp(radiance: FloatImage) -> None:
    """New readers take one, old readers the other."""
    gain = make_gain_map(radiance * 2, np.minimum(radiance, 1.0))
    data = iso_metadata(gain)
    assert len(data) == 5 + 2 * 8 + 3 * 5 * 8
    assert data[:5] == bytes((0, 0, 0, 0, 0xC0))
    numbers = struct.unpack(">" + "iI" * 17, data[5:])
    values = [n / d for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
    assert values[:2] == pytest.approx([0.0, gain.headroom], abs=1e-6)
    for channel in range(3):
        least, most, gamma, base, other = values[2 + 5 * channel :][:5]
        assert (least, most) == pytest.approx((gain.least[channel], gain.most[channel]), abs=1e-6)
        assert (gamma, base, other) == (1.0, 1 / 64, 1 / 64)


@pytest.mark.parametrize("light", [0.0, 1e-6, 1.0, 1e6, np.nan, np.inf])
def test_extreme_light_is_still_a_file(light: float) -> None:
    """A black frame, or a sun, must not end an export of a thousand others."""
    made = encode_ultra_hdr(np.full((16, 16, 3), light, np.float32))
    assert rgb(made.jpeg).shape == (16, 16, 3)


def test_avif_is_pq_with_ten_bits(radiance: FloatImage, tmp_path: Path) -> None:
    """Without the colr box a browser takes the picture for SDR and shows it grey."""
    out = tmp_path / "still.avif"
    write_picture(out, radiance)
    data = out.read_bytes()
    assert data[4:12] == b"ftypavif"
    at = data.index(b"colrnclx")
    assert struct.unpack_from(">HHHB", data, at + 8) == (9, 16, 9, 0)
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, frame.width, frame.height) == ("yuv420p10le", 241, 161)
        back = _from_pq(_planes(frame.reformat(format="yuv444p10le")), 203.0)
    assert psnr_mu(back, radiance) > 40.0


def test_every_ending_gives_its_kind(radiance: FloatImage, tmp_path: Path) -> None:
    """The ending is all that the user says."""
    magic = {".exr": b"v/1\x01", ".hdr": b"#?", ".jpg": b"\xff\xd8", ".jpeg": b"\xff\xd8", ".png": b"\x89PNG"}
    for ending in KINDS:
        out = tmp_path / f"still{ending.upper()}"
        write_picture(out, radiance)
        start = out.read_bytes()[:16]
        assert start.startswith(magic[ending]) if ending in magic else start[4:] == b"ftypavif" + start[12:]
    with OpenEXR.File(str(tmp_path / "still.EXR")) as file:
        assert np.array_equal(file.channels()["RGB"].pixels, radiance)
    back = cv2.imread(str(tmp_path / "still.HDR"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.abs(back - radiance).max() <= radiance.max() / 128
    with pytest.raises(ImageWriteError, match=r"must end with one of \.exr"):
        write_picture(tmp_path / "still.gif", radiance)
