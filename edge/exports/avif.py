"""AVIF stills: 10-bit PQ in BT.2020 colours, as browsers, phones and desktops show HDR pictures today.

The signal is that of the video (``edge.tone.tonemap``), encoded as one AV1 keyframe by SVT-AV1. AVIF carries
the code points in a ``colr`` box of type nclx, which the muxer writes.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edge.encode.video import ordinary_priority
from edge.frames import FloatImage
from edge.tone.tonemap import HdrFormat, HdrToneMapper, Plane

CRF = 4
"""Of 1 to 63. Measured on the scene workshop at 640x360: 40.0 dB PSNR-mu, where 4:2:0 alone leaves 40.2."""
_BT2020, _BT2020_NC, _PQ, _LIMITED = 9, 9, 16, 1
"""Code points of ITU-T H.273, as FFmpeg uses them."""
_PARAMETERS = (
    f"color-primaries={_BT2020}:transfer-characteristics={_PQ}:matrix-coefficients={_BT2020_NC}:color-range=0:"
    "chroma-sample-position=left"
)
STILL = HdrFormat("pq", peak_nits=10_000.0)
"""A still is not graded for one display: nothing is clipped below the end of PQ."""


def write_avif(path: Path, radiance: FloatImage, fmt: HdrFormat = STILL) -> None:
    """(H, W, 3) radiance of any size as AVIF. Raises FFmpegError and OSError."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # errors only; the encoder reads nothing else to say less
    height, width = radiance.shape[:2]
    image = HdrToneMapper(fmt).convert(radiance)
    with av.open(str(path), "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=Fraction(1))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.colorspace = _BT2020, _BT2020_NC
        context.color_trc, context.color_range = _PQ, _LIMITED
        stream.options = {"preset": "4", "crf": str(CRF), "svtav1-params": _PARAMETERS}
        with ordinary_priority():
            context.open()
        frame = av.VideoFrame(width, height, "yuv420p10le")
        for plane, values in zip(frame.planes, (image.y, image.cb, image.cr), strict=True):
            _fill(plane, values)
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _fill(plane: Any, values: Plane) -> None:
    """Copy a plane; where the image has odd sides, its luma was padded by one row or column."""
    height, width = plane.height, plane.width
    rows = np.frombuffer(plane, np.uint16).reshape(-1, plane.line_size // 2)
    rows[:height, :width] = values[:height, :width]
