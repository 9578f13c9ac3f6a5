"""The C compiler agrees with our structures: a byte off, and a camera is told nonsense."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from hw import v4l2

HEADER = Path("/usr/include/linux/videodev2.h")
needs_header = pytest.mark.skipif(
    shutil.which("gcc") is None or not HEADER.exists(),
    reason="needs gcc and linux/videodev2.h (apt install gcc libc6-dev linux-libc-dev)",
)

STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "v4l2_capability": v4l2.Capability,
    "v4l2_query_ext_ctrl": v4l2.QueryExtCtrl,
    "v4l2_ext_control": v4l2.ExtControl,
    "v4l2_ext_controls": v4l2.ExtControls,
}
CONSTANTS = {
    "VIDIOC_QUERYCAP": v4l2.QUERYCAP,
    "VIDIOC_G_EXT_CTRLS": v4l2.G_EXT_CTRLS,
    "VIDIOC_S_EXT_CTRLS": v4l2.S_EXT_CTRLS,
    "VIDIOC_QUERY_EXT_CTRL": v4l2.QUERY_EXT_CTRL,
    "V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND": v4l2.NEXT,
    "V4L2_CTRL_FLAG_DISABLED": v4l2.DISABLED,
    "V4L2_CTRL_FLAG_READ_ONLY": v4l2.READ_ONLY,
    "V4L2_CTRL_FLAG_HAS_PAYLOAD": v4l2.HAS_PAYLOAD,
    "V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE": v4l2.CAPTURE_CAPS,
    "V4L2_CTRL_TYPE_INTEGER": v4l2.INTEGER,
    "V4L2_CTRL_TYPE_BOOLEAN": v4l2.BOOLEAN,
    "V4L2_CTRL_TYPE_MENU": v4l2.MENU,
    "V4L2_CTRL_TYPE_INTEGER64": v4l2.INTEGER64,
    "V4L2_CTRL_TYPE_INTEGER_MENU": v4l2.INTEGER_MENU,
    "V4L2_EXPOSURE_MANUAL": 1,
}
OF_A_UNION = {"v4l2_ext_controls": {"which"}}


def expressions() -> dict[str, int]:
    """What C computes, and what we say it is."""
    said = {f"(unsigned long)({name})": value for name, value in CONSTANTS.items()}
    for name, structure in STRUCTURES.items():
        said[f"sizeof(struct {name})"] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            if field == "union":
                for member in ("value", "value64"):
                    said[f"offsetof(struct {name}, {member})"] = structure.union.offset
            else:
                said[f"offsetof(struct {name}, {field})"] = getattr(structure, field).offset
    return said


@needs_header
def test_structures_and_numbers_are_those_of_the_kernel(tmp_path: Path) -> None:
    """An ioctl number holds the size of its structure: both must be right on this machine's headers."""
    said = expressions()
    prints = "".join(f'printf("%lu\\n", (unsigned long)({expression}));' for expression in said)
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stdio.h>\n#include <stddef.h>\n#include <linux/videodev2.h>\n"
        f"int main(void) {{{prints}}}\n"
    )
    subprocess.run(["gcc", "-o", tmp_path / "layout", source], check=True, capture_output=True, text=True)
    told = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    assert dict(zip(said, map(int, told.split()), strict=True)) == said


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Exposure Time, Absolute", "exposure_time_absolute"),
        ("Exposure (Absolute)", "exposure_absolute"),
        ("White Balance, Automatic", "white_balance_automatic"),
        ("Auto Exposure", "auto_exposure"),
        ("Power Line Frequency", "power_line_frequency"),
    ],
)
def test_names_are_those_that_v4l2_ctl_prints(title: str, name: str) -> None:
    """What a user copies from v4l2-ctl would not be found."""
    assert v4l2.v4l2_ctl_name(title) == name


def test_a_value_is_rounded_to_what_the_control_takes() -> None:
    """A driver refuses what is off its grid, or rounds it without a word."""
    control = v4l2.Control(0, "exposure_time_absolute", v4l2.INTEGER, 3, 2_047, 4, 250)
    assert [control.nearest(value) for value in (0, 4, 6, 156.6, 9_999)] == [3, 3, 7, 155, 2_047]


@pytest.mark.parametrize(
    ("node", "advice"), [("/dev/video987", "plug the camera in"), ("/dev/null", "v4l2-ctl --list-devices")]
)
def test_what_is_no_camera_is_named(node: str, advice: str) -> None:
    """A number of errno helps nobody."""
    with pytest.raises(v4l2.V4l2Error, match=rf"{node}: .*{advice}"):
        v4l2.V4l2Device(Path(node))
