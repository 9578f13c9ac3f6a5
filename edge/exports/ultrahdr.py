"""Ultra HDR: a JPEG that every viewer shows, with a gain map behind it that phones and browsers use.

Two JPEGs follow each other. The first is the SDR picture and says, in XMP and in a multi-picture index,
that a second one follows; the second is the gain map and says, in XMP and in the binary form of ISO
21496-1, how it is applied. Sources: Ultra HDR image format v1.1; CIPA DC-007-2009 (MPF) 5.2; XMP part 3,
1.1.3; ISO 21496-1 annex C.2.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from edge.exports.gainmap import OFFSET, GainMap, make_gain_map
from edge.frames import FloatImage
from edge.tone.colour import linear_from_srgb
from edge.tone.sdr import Rgb8, ToneCurve, apply_curve, meter

BASE_QUALITY = 95
MAP_QUALITY = 92

_SOI, _APP0, _APP1, _APP2 = b"\xff\xd8", 0xE0, 0xE1, 0xE2
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ISO = b"urn:iso:std:iso:ts:21496:-1\0"
_MPF = b"MPF\0"
_GAIN_NS = "http://ns.adobe.com/hdr-gain-map/1.0/"
_RDF_NS = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_CONTAINER_NS = "http://ns.google.com/photos/1.0/container/"
_MULTICHANNEL, _BASE_COLOURS = 0x80, 0x40
_MP_PRIMARY = 0x030000


@dataclass(frozen=True, slots=True)
class UltraHdr:
    """The file's bytes, and what its HDR picture is: radiance times ``gain``, 1.0 = SDR white."""

    jpeg: bytes
    gain: float


def encode_ultra_hdr(radiance: FloatImage, curve: ToneCurve | None = None) -> UltraHdr:
    """(H, W, 3) radiance as an Ultra HDR JPEG.

    ``curve`` (default: what suits the picture) makes the SDR picture; the HDR picture has the same exposure,
    so that both agree wherever SDR reaches. Raises ValueError where OpenCV cannot encode such a picture.
    """
    curve = curve or meter(radiance)
    base = _jpeg(apply_curve(radiance, curve), BASE_QUALITY)
    hdr = np.maximum(np.nan_to_num(radiance, nan=0.0, neginf=0.0), 0.0) * np.float32(curve.gain)
    # Against the picture as a reader decodes it: what JPEG loses in the base, the map puts right.
    gain = make_gain_map(hdr, np.asarray(linear_from_srgb(_decoded(base)), np.float32))
    return UltraHdr(assemble(base, gain), curve.gain)


def assemble(base: bytes, gain: GainMap) -> bytes:
    """The two pictures in one file. ``base`` is a JPEG with a JFIF segment first."""
    second = _with_segments(
        _jpeg(gain.codes, MAP_QUALITY),
        (_APP1, _XMP + _map_xmp(gain).encode()),
        (_APP2, _ISO + iso_metadata(gain)),
    )
    index_size = len(_mpf(0, 0, 0))
    said = (
        (_APP1, _XMP + _base_xmp(len(second)).encode()),
        (_APP2, _ISO + struct.pack(">HH", 0, 0)),
    )
    before = _with_segments(base, *said)
    # The index counts from its own byte order mark, behind marker, length and name.
    index_at = len(before) - len(base) + _head_size(base) + 4 + len(_MPF)
    first_size = len(before) + 4 + index_size
    index = _mpf(first_size, len(second), first_size - index_at)
    return _with_segments(base, *said, (_APP2, index)) + second


def iso_metadata(gain: GainMap) -> bytes:
    """ISO 21496-1 binary metadata: versions, flags, headrooms, then per channel five fractions."""
    out = struct.pack(">HHB", 0, 0, _MULTICHANNEL | _BASE_COLOURS)
    out += _unsigned(0.0) + _unsigned(gain.headroom)
    for least, most in zip(gain.least, gain.most, strict=True):
        out += _signed(least) + _signed(most) + _unsigned(1.0) + _signed(OFFSET) + _signed(OFFSET)
    return out


def _map_xmp(gain: GainMap) -> str:
    def three(name: str, values: tuple[float, ...]) -> str:
        items = "".join(f"<rdf:li>{value:.7f}</rdf:li>" for value in values)
        return f"<hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>"

    plain = {
        "Version": "1.0",
        "Gamma": "1.0",
        "OffsetSDR": f"{OFFSET:.7f}",
        "OffsetHDR": f"{OFFSET:.7f}",
        "HDRCapacityMin": "0.0",
        "HDRCapacityMax": f"{gain.headroom:.7f}",
        "BaseRenditionIsHDR": "False",
    }
    attributes = " ".join(f'hdrgm:{name}="{value}"' for name, value in plain.items())
    return _packet(
        f'<rdf:Description rdf:about="" xmlns:hdrgm="{_GAIN_NS}" {attributes}>'
        f"{three('GainMapMin', gain.least)}{three('GainMapMax', gain.most)}</rdf:Description>"
    )


def _base_xmp(map_size: int) -> str:
    def item(what: str) -> str:
        return f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" {what}/></rdf:li>'

    items = item('Item:Semantic="Primary"') + item(f'Item:Semantic="GainMap" Item:Length="{map_size}"')
    return _packet(
        f'<rdf:Description rdf:about="" xmlns:hdrgm="{_GAIN_NS}" xmlns:Container="{_CONTAINER_NS}" '
        f'xmlns:Item="{_CONTAINER_NS}item/" hdrgm:Version="1.0">'
        f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory></rdf:Description>"
    )


def _packet(description: str) -> str:
    rdf = f'<rdf:RDF xmlns:rdf="{_RDF_NS}">{description}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'


def _mpf(first_size: int, second_size: int, second_offset: int) -> bytes:
    """The multi-picture index: a TIFF header and one directory of three tags, big-endian."""
    entries = struct.pack(">IIIHH", _MP_PRIMARY, first_size, 0, 0, 0)
    entries += struct.pack(">IIIHH", 0, second_size, second_offset, 0, 0)
    count = 3
    entries_at = 8 + 2 + count * 12 + 4
    directory = struct.pack(">H", count)
    directory += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    directory += struct.pack(">HHII", 0xB001, 4, 1, 2)
    directory += struct.pack(">HHII", 0xB002, 7, len(entries), entries_at)
    return _MPF + struct.pack(">2sHI", b"MM", 42, 8) + directory + struct.pack(">I", 0) + entries


def _with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    at = _head_size(jpeg)
    added = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return jpeg[:at] + added + jpeg[at:]


def _head_size(jpeg: bytes) -> int:
    """Bytes of the start marker and the JFIF segment, which has to stay first."""
    marker, size = struct.unpack_from(">xBH", jpeg, 2)
    if jpeg[:2] != _SOI or marker != _APP0:
        raise ValueError("not a JPEG that begins with a JFIF segment")
    return 4 + int(size)


def _fraction(value: float) -> Fraction:
    """To the nearest millionth: exact in both of the format's 32-bit numbers up to 2000."""
    return Fraction(round(value * 1_000_000), 1_000_000)


def _signed(value: float) -> bytes:
    fraction = _fraction(value)
    return struct.pack(">iI", fraction.numerator, fraction.denominator)


def _unsigned(value: float) -> bytes:
    fraction = _fraction(value)
    return struct.pack(">II", fraction.numerator, fraction.denominator)


def _jpeg(rgb: Rgb8, quality: int) -> bytes:
    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), settings)
    if not ok:
        raise ValueError(f"cannot encode a picture of shape {rgb.shape} as JPEG")
    return bytes(data)


def _decoded(jpeg: bytes) -> FloatImage:
    rgb: FloatImage = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.float32)
    rgb = np.ascontiguousarray(rgb[..., ::-1])
    rgb *= np.float32(1.0 / 255.0)
    return rgb
