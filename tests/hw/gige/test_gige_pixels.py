"""Bytes on the wire to counts, against bytes written by hand from the standards."""

from __future__ import annotations

import numpy as np
import pytest

from hw.camera import CameraError
from hw.gige.pixels import BY_NAME, FORMATS, choose, unpack

WORDS = [0xABC, 0x123, 0xFFF, 0x001]
TENS = [0x2AB, 0x123, 0x3FF, 0x001]


@pytest.mark.parametrize(
    ("name", "data", "counts"),
    [
        ("Mono8", "00 7f 80 ff", [0, 127, 128, 255]),
        ("BayerRG10", "ab 02 23 01 ff 03 01 00", TENS),
        ("BayerGB12", "bc 0a 23 01 ff 0f 01 00", WORDS),
        # GigE Vision "Packed": high bits, both low parts (first pixel in the low half), high bits
        ("BayerRG12Packed", "ab 3c 12 ff 1f 00", WORDS),
        ("BayerGR10Packed", "aa 33 48 ff 13 00", TENS),
        # PFNC "p": one stream of bits, least significant first
        ("BayerBG12p", "bc 3a 12 ff 1f 00", WORDS),
        ("BayerRG10p", "ab 8e f4 7f 00", TENS),
    ],
)
def test_each_layout_is_read_to_the_bit(name: str, data: str, counts: list[int]) -> None:
    """One nibble swapped is a picture that looks noisy and is wrong in every pixel."""
    image = unpack(bytes.fromhex(data), BY_NAME[name], 2, 2)
    assert image.dtype == (np.uint8 if name == "Mono8" else np.uint16)
    assert image.reshape(-1).tolist() == counts


def test_colours_stand_in_their_order() -> None:
    """Red and blue would be exchanged."""
    data = bytes([1, 2, 3, 4, 5, 6])
    assert unpack(data, BY_NAME["RGB8"], 2, 1).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert unpack(data, BY_NAME["BGR8Packed"], 2, 1).tolist() == [[[3, 2, 1], [6, 5, 4]]]


@pytest.mark.parametrize("wire", FORMATS, ids=lambda wire: wire.name)
def test_rows_that_end_with_padding_are_those_without(wire: object) -> None:
    """A camera that aligns its rows would show a slanted picture."""
    assert isinstance(wire, type(FORMATS[0]))
    width, height = 8, 3
    data = np.random.default_rng(1).integers(0, 256, wire.image_bytes(width, height), np.uint8)
    rows = data.reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, 5)), constant_values=0xEE).tobytes()
    assert np.array_equal(
        unpack(padded, wire, width, height, padding=5), unpack(data.tobytes(), wire, width, height)
    )


def test_chunk_data_behind_the_image_is_left_alone_and_too_few_bytes_are_refused() -> None:
    """Chunks would become pixels, or a short buffer a crash in the capture thread."""
    wire = BY_NAME["BayerRG12p"]
    whole = bytes(wire.image_bytes(4, 2)) + b"chunk"
    assert unpack(whole, wire, 4, 2).shape == (2, 4)
    with pytest.raises(ValueError, match="4x2 needs 12 bytes, got 11"):
        unpack(whole[:11], wire, 4, 2)


def test_the_simulated_camera_packs_what_is_unpacked_here() -> None:
    """Two readings of the standard, written apart from each other."""
    from hw.simulator.gige.pixels import PIXEL_FORMATS

    for name, packed in PIXEL_FORMATS.items():
        counts = np.random.default_rng(2).integers(0, 1 << packed.bit_depth, (6, 8)).astype(np.uint16)
        wire = BY_NAME[name]
        assert (wire.code, wire.bit_depth) == (packed.code, packed.bit_depth)
        assert np.array_equal(unpack(packed.pack(counts).tobytes(), wire, 8, 6), counts), name


def test_codes_are_those_of_aravis() -> None:
    """A wrong digit makes every frame of that format a frame of the wrong size."""
    gi = pytest.importorskip("gi", reason="needs Aravis: apt install gir1.2-aravis-0.8 python3-gi")
    gi.require_version("Aravis", "0.8")
    from gi.repository import Aravis

    for wire in FORMATS:
        name = wire.name.replace("Bayer", "BAYER_").replace("Mono", "MONO_")
        for suffix in ("Packed", "p", ""):
            if suffix and name.endswith(suffix):
                name = name[: -len(suffix)] + ("_PACKED" if suffix == "Packed" else "P")
                break
        name = name.replace("BGR8", "BGR_8_PACKED").replace("RGB8", "RGB_8_PACKED")
        digits = name.find(next(c for c in name if c.isdigit()))
        if name.startswith("BAYER_") and name[digits - 1] != "_":
            name = f"{name[:digits]}_{name[digits:]}"
        constant = getattr(Aravis, f"PIXEL_FORMAT_{name}", None)
        if constant is not None:
            assert wire.code == constant, wire.name
    known = [n for n in dir(Aravis) if n.startswith("PIXEL_FORMAT_BAYER_RG_12")]
    assert len(known) >= 3


def test_the_most_compact_colour_format_is_chosen() -> None:
    """Unpacked 12 bits need a third more of the network; mono has no colour."""
    offered = ["Mono12p", "BayerRG12", "BayerRG12Packed", "BayerRG8", "Mono16"]
    assert choose(offered, "auto", 12, "camera")[0] == "BayerRG12Packed"
    assert choose(offered, "auto", 8, "camera")[0] == "BayerRG8"
    assert choose(["Mono12p"], "auto", 12, "camera")[1].pixel_format == "mono"
    assert choose(offered, "BayerRG12", 12, "camera")[0] == "BayerRG12"
    with pytest.raises(CameraError, match=r"10 bits .*it has Mono12p, BayerRG12"):
        choose(offered, "auto", 10, "reference camera")
