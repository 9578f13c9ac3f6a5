"""The tone curve in the graph: 10-bit video planes beside the radiance, computed where the radiance lies.

The same signal as ``edge.tone.tonemap``: PQ (SMPTE ST 2084) or HLG (ITU-R BT.2100), BT.2020 non-constant
luminance, 4:2:0 sited left. Everything is FP32, and the curves are computed: a table like the CPU's, over all
half floats, is a gather from memory for each value, where two powers are arithmetic that a GPU has to spare.

Which signal, at what level, is an input, so that one engine serves every configuration:

``display`` [3]: what radiance 1.0 is (cd/m2 for PQ, scene light for HLG), the peak of the display in cd/m2,
and 1 for HLG, else 0.

Codes leave packed, two in an int32 and the left one in its lower half, because TensorRT has no 16-bit
integers; the host reads the same bytes as uint16. Rows are padded to an even number and columns to a multiple
of four by repeating the last.

``luma`` [H', W'/2], ``chroma`` [2, H'/2, W'/4] (Cb, Cr), ``light`` [2]: the brightest max(R, G, B) of the
picture and its average, in cd/m2; of PQ alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.engines.framing import OUTPUT
from edge.frames import FloatImage
from edge.tone import colour
from edge.tone.hdr_metadata import FrameLight
from edge.tone.tonemap import HdrFormat, Plane, YuvImage

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

DISPLAY = "display"
LUMA, CHROMA, LIGHT = "luma", "chroma", "light"
VIDEO = frozenset((LUMA, CHROMA, LIGHT))
FLOOR_NITS = 1e-7
"""A fiftieth of a code above black: no power of zero is taken."""
LEFT_SITED = np.array([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]], np.float32) / 8
"""Rows averaged in twos, columns filtered around even ones (H.265 chroma sample location type 0)."""


def padded(height: int, width: int) -> tuple[int, int]:
    """(H', W') of the packed planes."""
    return height + height % 2, width + -width % 4


def display_values(fmt: HdrFormat) -> NDArray[np.float32]:
    """The input ``display`` for a signal."""
    if fmt.transfer == "pq":
        return np.array([fmt.reference_white_nits, fmt.peak_nits, 0.0], np.float32)
    white = colour.hlg_scene_of_white(fmt.reference_white_nits, fmt.peak_nits)
    return np.array([white, fmt.peak_nits, 1.0], np.float32)


def video_image(
    luma: NDArray[np.int32], chroma: NDArray[np.int32], light: FloatImage, width: int, fmt: HdrFormat
) -> YuvImage:
    """The planes of one picture, its own memory, from what the graph answers."""
    columns = width + width % 2
    cb, cr = (_codes(plane, columns // 2) for plane in chroma)
    measured = FrameLight(float(light[0]), float(light[1])) if fmt.transfer == "pq" else None
    return YuvImage(_codes(luma, columns), cb, cr, measured, fmt)


def _codes(packed: NDArray[np.int32], columns: int) -> Plane:
    return np.array(packed.astype("<i4", copy=False).view("<u2")[:, :columns], np.uint16)


def toned(model: ModelProto, height: int, width: int) -> ModelProto:
    """A copy of ``model``, which answers ``radiance`` (height, width, 3), that answers the planes as well."""
    out = onnx.ModelProto.FromString(model.SerializeToString())
    made = _Nodes()
    made.radiance(height, width)
    made.signal()
    made.codes(height, width)
    made.light()
    out.graph.node.extend(made.nodes)
    out.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in made.constants.items()
    )
    out.graph.input.append(helper.make_tensor_value_info(DISPLAY, TensorProto.FLOAT, [3]))
    tall, wide = padded(height, width)
    packed = {LUMA: [tall, wide // 2], CHROMA: [2, tall // 2, wide // 4]}
    out.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name, shape in packed.items()
    )
    out.graph.output.append(helper.make_tensor_value_info(LIGHT, TensorProto.FLOAT, [2]))
    onnx.checker.check_model(out)
    return out


class _Nodes:
    """Writes the nodes; every method answers the name of what it made, or leaves it under a known one."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """A node of ``kind``, named and answering under ``tone/`` unless the name is an output's."""
        made = name if name in VIDEO else f"tone/{name}"
        self.nodes.append(helper.make_node(kind, inputs, [made], f"tone/{name}", **attributes))
        return made

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        """A constant under ``tone/``."""
        self.constants[f"tone/{name}"] = np.asarray(value, kind)
        return f"tone/{name}"

    def number(self, value: float) -> str:
        """A constant that is one float."""
        return self.constant(f"{value:.9g}", [value])

    def radiance(self, height: int, width: int) -> None:
        """``tone/units``: BT.2020 light in the unit of the signal."""
        shape = self.constant("shape", [1, height, width, 3], np.int64)
        planes = self.add("Reshape", [OUTPUT, shape], "batch")
        planes = self.add("Transpose", [planes], "planes", perm=[0, 3, 1, 2])
        matrix = self.constant("to2020", colour.rec709_to_bt2020()[:, :, None, None])
        light = self.add("Conv", [planes, matrix], "light2020")
        for place, name in enumerate(("unit", "peak", "is_hlg")):
            index = self.constant(f"at{place}", [place], np.int64)
            self.add("Gather", [DISPLAY, index], name, axis=0)
        self.add("Mul", [light, "tone/unit"], "units")

    def signal(self) -> None:
        """``tone/nits``, clipped at the peak, and ``tone/signal``, R'G'B' in [0, 1]."""
        above = self.add("Max", ["tone/units", self.number(FLOOR_NITS)], "above_black")
        nits = self.add("Min", [above, "tone/peak"], "nits")
        pq, hlg = self._pq(nits), self._hlg("tone/units")
        more = self.add("Sub", [hlg, pq], "hlg_less_pq")
        share = self.add("Mul", [more, "tone/is_hlg"], "chosen")
        self.add("Add", [pq, share], "signal")

    def _pq(self, nits: str) -> str:
        """ST 2084, inverse EOTF."""
        share = self.add("Mul", [nits, self.number(1.0 / colour.PQ_MAX_NITS)], "pq_share")
        power = self.add("Pow", [share, self.number(colour.PQ_M1)], "pq_inner")
        above = self.add("Mul", [power, self.number(colour.PQ_C2)], "pq_c2")
        above = self.add("Add", [above, self.number(colour.PQ_C1)], "pq_above")
        below = self.add("Mul", [power, self.number(colour.PQ_C3)], "pq_c3")
        below = self.add("Add", [below, self.number(1.0)], "pq_below")
        ratio = self.add("Div", [above, below], "pq_ratio")
        return self.add("Pow", [ratio, self.number(colour.PQ_M2)], "pq")

    def _hlg(self, scene: str) -> str:
        """BT.2100, OETF."""
        light = self.add("Clip", [scene, self._scalar("zero", 0.0), self._scalar("one", 1.0)], "hlg_light")
        triple = self.add("Mul", [light, self.number(3.0)], "hlg_triple")
        root = self.add("Sqrt", [triple], "hlg_root")
        twelve = self.add("Mul", [light, self.number(12.0)], "hlg_twelve")
        less = self.add("Sub", [twelve, self.number(colour.HLG_B)], "hlg_less")
        less = self.add("Max", [less, self.number(1e-6)], "hlg_positive")
        log = self.add("Mul", [self.add("Log", [less], "hlg_log"), self.number(colour.HLG_A)], "hlg_scaled")
        log = self.add("Add", [log, self.number(colour.HLG_C)], "hlg_above")
        dark = self.add("LessOrEqual", [light, self.number(1.0 / 12.0)], "hlg_dark")
        return self.add("Where", [dark, root, log], "hlg")

    def _scalar(self, name: str, value: float) -> str:
        return self.constant(name, value)

    def codes(self, height: int, width: int) -> None:
        """``luma`` and ``chroma``, packed."""
        tall, wide = padded(height, width)
        scale = np.array([[876.0], [896.0], [896.0]])
        matrix = self.constant("to_codes", (colour.bt2020_ycbcr() * scale)[:, :, None, None])
        offset = self.constant("offset", [64.0, 512.0, 512.0])
        codes = self.add("Conv", ["tone/signal", matrix, offset], "codes")
        luma = self._channels(codes, 0, 1, "y")
        luma = self._padded(luma, (0, 0, tall - height, wide - width), "y_padded")
        self._packed(luma, LUMA, [tall, wide // 2])
        chroma = self._channels(codes, 1, 3, "c")
        chroma = self._padded(chroma, (0, 1, tall - height, wide - width), "c_padded")
        kernel = self.constant("left_sited", np.stack([LEFT_SITED[None]] * 2))
        chroma = self.add("Conv", [chroma, kernel], "c_halved", group=2, strides=[2, 2])
        self._packed(chroma, CHROMA, [2, tall // 2, wide // 4])

    def _channels(self, planes: str, first: int, end: int, name: str) -> str:
        return self._slice(planes, name, 1, first, end, 1)

    def _slice(self, planes: str, name: str, axis: int, first: int, end: int, step: int) -> str:
        fields = {"starts": first, "ends": end, "axes": axis, "steps": step}
        window = [self.constant(f"{name}_{field}", [value], np.int64) for field, value in fields.items()]
        return self.add("Slice", [planes, *window], name)

    def _padded(self, planes: str, sides: tuple[int, int, int, int], name: str) -> str:
        """``sides``: top, left, bottom, right."""
        if not any(sides):
            return planes
        top, left, bottom, right = sides
        pads = self.constant(f"{name}_sides", [0, 0, top, left, 0, 0, bottom, right], np.int64)
        return self.add("Pad", [planes, pads], name, mode="edge")

    def _packed(self, planes: str, name: str, shape: list[int]) -> None:
        """Rounded, two neighbours in one integer."""
        whole = self.add("Cast", [self.add("Round", [planes], f"{name}_round")], f"{name}_int", to=6)
        end = int(np.iinfo(np.int32).max)
        left = self._slice(whole, f"{name}_left", 3, 0, end, 2)
        right = self._slice(whole, f"{name}_right", 3, 1, end, 2)
        high = self.add("Mul", [right, self.constant("upper_half", [1 << 16], np.int32)], f"{name}_upper")
        both = self.add("Add", [left, high], f"{name}_both")
        self.add("Reshape", [both, self.constant(f"{name}_shape", shape, np.int64)], name)

    def light(self) -> None:
        """``light``, from the light that the display shows. Lines first: a sum over an image loses digits."""
        brightest = self.add("ReduceMax", ["tone/nits"], "brightest", axes=[1], keepdims=1)
        peak = self.add("ReduceMax", [brightest], "brightest_of_all", axes=[1, 2, 3], keepdims=0)
        lines = self.add("ReduceMean", [brightest], "lines", axes=[3], keepdims=1)
        average = self.add("ReduceMean", [lines], "average", axes=[1, 2, 3], keepdims=0)
        self.add("Concat", [peak, average], LIGHT, axis=0)
