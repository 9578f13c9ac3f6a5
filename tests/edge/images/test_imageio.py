"""Still images: what is read is what was stored, and what is not whole is never read as if it were."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.frames import FloatImage
from edge.images import imageio
from edge.images.imageio import check_output, read_linear, write_exr, write_png

HEIGHT, WIDTH = 37, 53


def picture(dtype: type = np.uint8, channels: int = 3) -> np.ndarray:
    """Smooth enough for JPEG, busy enough to compress badly; three channels that differ."""
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH, channels)), (0, 0), 1.5)
    spread = (noise - noise.min()) / np.ptp(noise)
    return (spread * np.iinfo(dtype).max).reshape(HEIGHT, WIDTH, channels).astype(dtype)


def encoded(suffix: str, rgb: np.ndarray, *parameters: int) -> bytes:
    order = [2, 1, 0, 3][: rgb.shape[2]] if rgb.shape[2] > 1 else [0]
    done, data = cv2.imencode(suffix, rgb[..., order], parameters)
    assert done
    return data.tobytes()


def exr_bytes(path: Path, channels: dict[str, np.ndarray], **header: object) -> bytes:
    with OpenEXR.File({"type": OpenEXR.scanlineimage, **header}, channels) as file:
        file.write(str(path))
    return path.read_bytes()


def error_of(path: Path, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_linear(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


LOSSLESS: dict[str, Callable[[], bytes]] = {
    "png8": lambda: encoded(".png", picture()),
    "png16": lambda: encoded(".png", picture(np.uint16)),
    "png-alpha": lambda: encoded(".png", np.dstack([picture(), np.full((HEIGHT, WIDTH), 255, np.uint8)])),
    "tiff8": lambda: encoded(".tif", picture()),
    "tiff16-lzw": lambda: encoded(".tif", picture(np.uint16), cv2.IMWRITE_TIFF_COMPRESSION, 5),
    "tiff16-deflate": lambda: encoded(".tif", picture(np.uint16), cv2.IMWRITE_TIFF_COMPRESSION, 8),
    "tiff16-plain": lambda: encoded(".tif", picture(np.uint16), cv2.IMWRITE_TIFF_COMPRESSION, 1),
}
JPEGS: dict[str, tuple[int, ...]] = {
    "baseline": (cv2.IMWRITE_JPEG_QUALITY, 95),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "optimised": (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 30),
    "444": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    "440": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
    "411": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411),
}


class TestReading:
    @pytest.mark.parametrize("kind", LOSSLESS)
    def test_coded_values_come_back_linear_in_rgb_order(self, tmp_path: Path, kind: str) -> None:
        """Swapped channels or a wrong curve would colour every fused still."""
        data = LOSSLESS[kind]()
        path = tmp_path / "picture.bin"  # the name says nothing
        path.write_bytes(data)
        coded = picture(np.uint16 if "16" in kind else np.uint8)
        image = read_linear(path)
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        np.testing.assert_allclose(image, (coded / np.iinfo(coded.dtype).max) ** 2.2, atol=1e-6)

    @pytest.mark.parametrize("kind", JPEGS)
    def test_every_kind_of_jpeg_is_accepted(self, tmp_path: Path, kind: str) -> None:
        """The check for damage would turn away sound photographs."""
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(".jpg", picture(), *JPEGS[kind]))
        difference = np.abs(read_linear(path) ** (1 / 2.2) - picture() / 255)
        assert difference.mean() < 0.1  # noise is hard for JPEG; another picture differs by 0.2

    def test_bytes_after_the_end_mark_are_harmless(self, tmp_path: Path) -> None:
        """Phones append a second picture or a film to their JPEGs."""
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(".jpg", picture()) + b"\xff\xd8 and a film")
        assert read_linear(path).shape == (HEIGHT, WIDTH, 3)

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
    def test_grey_becomes_three_equal_channels(self, tmp_path: Path, suffix: str) -> None:
        """A monochrome exposure would be refused or come out in one colour."""
        path = tmp_path / f"a{suffix}"
        path.write_bytes(encoded(suffix, picture(channels=1)))
        image = read_linear(path)
        assert image.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(image[..., 0], image[..., 2])

    def test_exif_orientation_is_applied(self, tmp_path: Path) -> None:
        """A portrait photograph would be fused lying on its side, unlike what every viewer shows."""
        tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation 6: turn by 90 degrees clockwise
        exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
        jpeg = encoded(".jpg", picture())
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg)
        upright = read_linear(path)
        path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
        np.testing.assert_array_equal(read_linear(path), np.rot90(upright, -1))

    def test_one_pixel_is_an_image(self, tmp_path: Path) -> None:
        """The smallest image would fail somewhere inside."""
        path = tmp_path / "a.png"
        path.write_bytes(encoded(".png", np.array([[[255, 0, 128]]], np.uint8)))
        np.testing.assert_allclose(read_linear(path), [[[1.0, 0.0, (128 / 255) ** 2.2]]], atol=1e-6)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    @pytest.mark.parametrize("names", ["RGB", "RGBA", "Y"])
    def test_exr_is_taken_as_linear_and_clipped_as_a_sensor_clips(
        self, tmp_path: Path, dtype: type, names: str
    ) -> None:
        """A linear exposure would be decoded twice, or would reach the network above its saturation."""
        linear = np.linspace(-0.5, 2.0, HEIGHT * WIDTH * 3, dtype=dtype).reshape(HEIGHT, WIDTH, 3)
        planes = {name: np.ascontiguousarray(linear[..., i]) for i, name in enumerate("RGB")}
        planes["A"] = np.ones((HEIGHT, WIDTH), dtype)
        planes["Y"] = planes["R"]
        exr_bytes(tmp_path / "a.exr", {name: planes[name] for name in names})
        expected = np.clip(linear.astype(np.float32), 0, 1)
        if names == "Y":
            expected = np.repeat(expected[..., :1], 3, axis=2)
        np.testing.assert_array_equal(read_linear(tmp_path / "a.exr"), expected)


class TestDamage:
    @pytest.mark.parametrize("kind", [*LOSSLESS, *JPEGS])
    def test_a_file_cut_off_anywhere_is_an_error(self, tmp_path: Path, kind: str) -> None:
        """OpenCV fills the missing part with grey: it would be fused as if the scene were grey there."""
        data = LOSSLESS[kind]() if kind in LOSSLESS else encoded(".jpg", picture(), *JPEGS[kind])
        lengths = [*range(24), *range(24, len(data), max(1, len(data) // 60)), len(data) - 2, len(data) - 1]
        for length in lengths:
            error_of(tmp_path / "a.bin", data[:length])

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    def test_an_exr_cut_off_anywhere_is_an_error(
        self, tmp_path: Path, dtype: type, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A torn EXR would be fused as black, or OpenEXR's own messages would hide the one that helps."""
        data = exr_bytes(tmp_path / "a.exr", {"RGB": picture(np.uint16).astype(dtype) / dtype(4096)})
        for length in [*range(0, 400, 7), *range(400, len(data), len(data) // 60), len(data) - 1]:
            error_of(tmp_path / "b.exr", data[:length])
        assert capfd.readouterr() == ("", "")

    def test_a_flipped_bit_of_a_png_is_an_error(self, tmp_path: Path) -> None:
        """A failing card would change the picture without anybody noticing."""
        data = bytearray(encoded(".png", picture()))
        data[len(data) // 2] ^= 1
        assert "checksum" in error_of(tmp_path / "a.png", bytes(data))

    @pytest.mark.parametrize("kind", JPEGS)
    def test_a_hole_in_a_jpeg_is_an_error(self, tmp_path: Path, kind: str) -> None:
        """A lost sector shifts the rest of the picture; libjpeg only warns."""
        data = encoded(".jpg", picture(), *JPEGS[kind])
        middle = len(data) * 2 // 3
        holed = data[:middle] + bytes(512) + data[middle + 512 :]
        assert "damaged" in error_of(tmp_path / "a.jpg", holed)

    def test_a_broken_lzw_strip_is_an_error(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """libtiff reports it on standard error alone and hands out half an image."""
        data = bytearray(LOSSLESS["tiff16-lzw"]())
        data[4000:4600] = b"\xff" * 600
        assert "cannot be decoded" in error_of(tmp_path / "a.tif", bytes(data))
        assert capfd.readouterr() == ("", "")

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        kind=st.sampled_from([*LOSSLESS, *JPEGS, "exr"]),
        edits=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=4),
    )
    def test_any_damage_is_an_image_or_an_image_error(
        self, tmp_path: Path, kind: str, edits: list[tuple[int, int]]
    ) -> None:
        """Some damage nobody thought of would end in a traceback."""
        if kind == "exr":
            data = bytearray(exr_bytes(tmp_path / "a.exr", {"RGB": picture().astype(np.float32)}))
        else:
            data = bytearray(
                LOSSLESS[kind]() if kind in LOSSLESS else encoded(".jpg", picture(), *JPEGS[kind])
            )
        for place, value in edits:
            data[place % len(data)] = value
        path = tmp_path / "b.bin"
        path.write_bytes(data)
        try:
            image = read_linear(path)
        except ImageError:
            return
        assert image.dtype == np.float32
        assert float(image.min()) >= 0.0
        assert float(image.max()) <= 1.0


def png_claiming(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")
    return imageio.imagecheck.PNG_MAGIC + chunk(b"IHDR", header) + ends


class TestUnsuited:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "empty"),
            (b"GIF89a" + bytes(50), "not a PNG, TIFF, JPEG or EXR"),
            (bytes(100), "not a PNG, TIFF, JPEG or EXR"),
            (png_claiming(4, 4, bits=8, colour=3), "palette"),
            (png_claiming(64, 4, bits=4, colour=0), "4 bits a channel"),
            (png_claiming(2**31 - 1, 2**31 - 1), "pixels are more than"),
            (png_claiming(0, 5), "0 x 5"),
            (png_claiming(3000, 3000), "cannot be decoded"),
        ],
    )
    def test_the_cause_and_the_next_step_are_named(self, tmp_path: Path, data: bytes, expected: str) -> None:
        """A header that claims 4e18 pixels would exhaust the memory; other files would give a riddle."""
        assert expected in error_of(tmp_path / "a.png", data)

    def test_transparency_is_refused(self, tmp_path: Path) -> None:
        """The colour below transparent pixels is undefined and would be fused."""
        rgba = np.dstack([picture(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
        rgba[3, 4, 3] = 254
        assert "transparent" in error_of(tmp_path / "a.png", encoded(".png", rgba))

    def test_tiffs_of_another_kind_are_refused(self, tmp_path: Path) -> None:
        """Linear floats would be decoded as gamma 2.2."""
        floats = encoded(".tif", picture().astype(np.float32))
        assert "save linear images as EXR" in error_of(tmp_path / "a.tif", floats)

    def test_exrs_of_another_kind_are_refused(self, tmp_path: Path) -> None:
        """A depth pass or a crop would be taken for the picture."""
        path, plane = tmp_path / "a.exr", np.zeros((4, 4), np.float32)
        exr_bytes(path, {"Z": plane, "N.X": plane})
        assert "N.X, Z" in error_of(path)
        exr_bytes(path, {"RGB": np.zeros((4, 4, 3), np.uint32)})
        assert "integers" in error_of(path)
        exr_bytes(path, {"RGB": np.full((4, 4, 3), np.nan, np.float32)})
        assert "48 values are not finite" in error_of(path)
        exr_bytes(path, {"RGBA": np.zeros((4, 4, 4), np.float32)})
        assert "transparent" in error_of(path)
        window = (np.array([0, 0], np.int32), np.array([9, 9], np.int32))
        exr_bytes(path, {"RGB": np.zeros((4, 4, 3), np.float32)}, displayWindow=window)
        assert "uncropped" in error_of(path)
        parts = [OpenEXR.Part({"name": name}, {"RGB": np.zeros((4, 4, 3), np.float32)}) for name in "ab"]
        with OpenEXR.File(parts) as file:
            file.write(str(path))
        assert "2 parts" in error_of(path)

    def test_an_exr_that_claims_to_be_huge_is_refused(self, tmp_path: Path) -> None:
        """A header of a few bytes would exhaust the memory."""
        data = exr_bytes(tmp_path / "a.exr", {"RGB": np.zeros((4, 4, 3), np.float32)})
        small, huge = struct.pack("<4i", 0, 0, 3, 3), struct.pack("<4i", 0, 0, 199_999, 199_999)
        assert data.count(small) == 2
        assert "pixels are more than" in error_of(tmp_path / "b.exr", data.replace(small, huge))

    def test_what_is_no_file_is_refused_without_waiting(self, tmp_path: Path) -> None:
        """Reading a pipe would wait for ever."""
        os.mkfifo(tmp_path / "pipe")
        assert "not a file" in error_of(tmp_path / "pipe")
        assert "not a file" in error_of(tmp_path)
        assert "No such file" in error_of(tmp_path / "gone.png")


class TestWriting:
    def test_exr_keeps_radiance_to_the_bit(self, tmp_path: Path) -> None:
        """The highlights that were recovered would be clipped or rounded on their way to disk."""
        radiance: FloatImage = np.random.default_rng(2).gamma(0.3, 3.0, (5, 7, 3)).astype(np.float32)
        path = tmp_path / "out.exr"
        write_exr(path, radiance, "eafnet-s")
        with OpenEXR.File(str(path)) as file:
            header = dict(file.header())
            np.testing.assert_array_equal(file.channels()["RGB"].pixels, radiance)
        assert header["twinhdr"] == "eafnet-s"
        np.testing.assert_allclose(header["chromaticities"], imageio.REC709_CHROMATICITIES, atol=1e-6)

    def test_png_is_rgb(self, tmp_path: Path) -> None:
        """A preview would come out blue."""
        write_png(tmp_path / "a.png", picture())
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture())

    def test_a_failed_write_leaves_what_was_there(self, tmp_path: Path) -> None:
        """A full disk would cost the picture of yesterday as well."""
        path = tmp_path / "a.exr"
        write_exr(path, np.zeros((4, 4, 3), np.float32))
        before = path.read_bytes()

        def fail(temporary: Path) -> None:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        with pytest.raises(ImageError, match=r"a\.exr: cannot be written: No space left on device"):
            imageio.replace_atomically(path, fail)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.exr"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("a.png", "must end with .exr"), ("gone/a.exr", "there is no folder"), ("dir.exr", "is a folder")],
    )
    def test_a_bad_name_is_refused_before_the_work(self, tmp_path: Path, name: str, expected: str) -> None:
        """The result of a minute of computing would have nowhere to go."""
        (tmp_path / "dir.exr").mkdir()
        with pytest.raises(ImageError, match=expected):
            check_output(tmp_path / name, ".exr")
        check_output(tmp_path / "A.EXR", ".exr")
