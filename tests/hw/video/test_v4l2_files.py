"""Two video files as cameras: the whole line on pictures that a webcam could have made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.capture.rig import open_rig
from edge.config.layers import load_config
from edge.config.schema import Config
from edge.errors import ConfigError
from edge.frames import Exposure, Frame, FrameStatus, Rung
from edge.session.recording import Session
from hw.camera import Camera, CameraError, EndOfRecordingError
from hw.simulator.library import scene_world
from hw.simulator.scene import World
from hw.video.rig import VideoRig
from hw.video.uri import VideoUri, parse_uri
from tests.hw.video.films import HIGH, LOW, REFERENCE_US, coded, film

ConfigOf = Callable[..., Config]
FPS, SECONDS = 30, 2


@pytest.fixture(scope="module")
def world() -> World:
    return scene_world("workshop", 192, 128, seed=3)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, world: World) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("films")
    reference = film(folder / "reference.mp4", world, [Exposure(REFERENCE_US)], FPS, FPS * SECONDS)
    # begins with the high exposure: whoever counts on low first is wrong throughout
    secondary = film(folder / "secondary.mp4", world, [HIGH, LOW], FPS // 2, FPS // 2 * SECONDS)
    return reference, secondary


def settings(films: tuple[Path, Path], rig: str = "") -> str:
    return (
        f"rig: {{source: video, bit_depth: 8{rig}}}\n"
        f"video: {{reference: {{uri: {films[0]}}}, secondary: {{uri: {films[1]}}}}}\n"
    )


def frames_of(camera: Camera) -> list[Frame]:
    frames = []
    try:
        while True:
            frame = camera.read(1.0)
            assert frame is not None
            frames.append(frame)
    except EndOfRecordingError:
        return frames


def test_each_frame_says_what_it_was_taken_with(config_of: ConfigOf, films: tuple[Path, Path]) -> None:
    """The order of low and high in somebody's file is not ours to assume."""
    rig = VideoRig(config_of(settings(films)))
    rig.secondary.set_exposures([LOW, HIGH])
    rig.secondary.start()
    frames = frames_of(rig.secondary)
    assert [f.seq for f in frames] == list(range(FPS // 2 * SECONDS))
    assert frames[0].status is FrameStatus.UNKNOWN_EXPOSURE
    assert frames[0].image.size == 0
    assert [f.exposure for f in frames[1:]] == [(HIGH, LOW)[n % 2] for n in range(1, len(frames))]
    assert {f.status for f in frames[1:]} == {FrameStatus.OK}


def test_pictures_are_those_of_the_file(config_of: ConfigOf, films: tuple[Path, Path], world: World) -> None:
    """Red and blue exchanged, or a wrong frame's picture, would pass unseen through the whole line."""
    rig = VideoRig(config_of(settings(films)))
    rig.reference.set_exposures([Exposure(REFERENCE_US)])
    frames = frames_of(rig.reference)
    assert len(frames) == FPS * SECONDS
    for n in (0, 31):
        truth = coded(world.render(n / FPS), 1.0)
        # libx264rgb is lossless; FFmpeg's conversion on the way out rounds
        assert np.abs(frames[n].image.astype(int) - truth).max() <= 2
    assert frames[31].t_host_ns - frames[0].t_host_ns == pytest.approx(31e9 / FPS, abs=2)
    assert frames[0].t_host_ns - frames[0].t_device_ns == REFERENCE_US * 500
    assert not rig.reference.info.device_stamps


def test_two_files_become_an_hdr_recording(config_of: ConfigOf, films: tuple[Path, Path]) -> None:
    """What two webcams filmed must come out as radiance, not as gamma counts taken for radiance."""
    from edge.daemon.run import run_daemon

    config = config_of(settings(films))
    folder = config.store.root / "session"
    assert run_daemon(config, None, folder) == 0
    session = Session.open(folder)
    assert session.header.transfer == "srgb"
    fused = list(session.hdr_records())
    assert len(fused) == FPS * SECONDS
    with_pair = [record for record in fused if record.rung is Rung.MERGE]
    assert len(with_pair) > 0.8 * len(fused)
    # highlights that the reference clipped (203 cd/m2) came back from the low exposure
    assert max(record.peak_nits for record in with_pair) > 400


def test_sizes_and_rates_must_be_those_of_the_configuration(
    config_of: ConfigOf, films: tuple[Path, Path]
) -> None:
    """A picture of another size would be stretched or fail deep in the line."""
    with pytest.raises(CameraError, match=r"gives 192x128, not the 384x128"):
        VideoRig(config_of(settings(films, ", width: 384")))
    with pytest.raises(CameraError, match=r"gives 15 frames per second, not the 10 of rig\.secondary\.fps"):
        VideoRig(config_of(settings(films, ", secondary: {fps: 10}")))


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("csi://0", VideoUri("csi", "0")),
        ("v4l2:///dev/video2", VideoUri("v4l2", "/dev/video2")),
        (
            "/dev/v4l/by-id/usb-046d_C270-video-index0",
            VideoUri("v4l2", "/dev/v4l/by-id/usb-046d_C270-video-index0"),
        ),
        ("file:///tmp/a.mp4", VideoUri("file", "/tmp/a.mp4")),
        ("a b.mp4", VideoUri("file", "a b.mp4")),
    ],
)
def test_uris_mean_what_jetson_utils_means(text: str, uri: VideoUri) -> None:
    """The same words in two tools of one device must not differ."""
    assert parse_uri(text) == uri


@pytest.mark.parametrize("text", ["csi://x", "v4l2://0", "rtsp://host/stream", "csi:///dev/video0"])
def test_other_uris_are_refused(text: str) -> None:
    """A network stream has neither exposures nor a common clock."""
    with pytest.raises(CameraError, match="write csi://0"):
        parse_uri(text)


def test_a_missing_file_is_named(config_of: ConfigOf, tmp_path: Path) -> None:
    """FFmpeg's own message names neither the file nor the key."""
    with pytest.raises(CameraError, match=r"gone\.mp4: no such video file"):
        open_rig(config_of(settings((tmp_path / "gone.mp4", tmp_path / "gone.mp4"))))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(CameraError, match=r"text\.mp4: not a video"):
        open_rig(config_of(settings((tmp_path / "text.mp4", tmp_path / "text.mp4"))))


def test_the_example_of_the_guide_is_valid(tmp_path: Path) -> None:
    """The first thing a reader copies would be refused."""
    guide = (Path(__file__).parents[3] / "docs/v4l2.md").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(guide.split("```yaml\n")[1].split("```")[0])
    assert load_config(path).rig.source == "video"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            "rig: {source: video, bit_depth: 8}\n",
            "expected video.reference.uri to name a camera",
        ),
        (
            "rig: {source: video}\nvideo: {reference: {uri: a.mp4}, secondary: {uri: b.mp4}}\n",
            "expected 8",
        ),
        (
            "rig: {source: video, bit_depth: 8, secondary: {gain_db: 6}}\n"
            "video: {reference: {uri: a.mp4}, secondary: {uri: b.mp4}}\n",
            "use video.secondary.gain",
        ),
        (
            "rig: {source: video, bit_depth: 8}\ntrigger: {kind: board}\n"
            "video: {reference: {uri: a.mp4}, secondary: {uri: b.mp4}}\n",
            "such cameras start by themselves",
        ),
    ],
)
def test_what_such_cameras_cannot_do_is_refused(tmp_path: Path, wrong: str, told: str) -> None:
    """A key that does nothing would be believed."""
    path = tmp_path / "config.yaml"
    path.write_text(wrong)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert told in str(caught.value)


def test_paths_of_films_start_at_the_file_that_names_them(tmp_path: Path) -> None:
    """A configuration would work in one folder only; a camera's name is no path."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "rig: {source: video, bit_depth: 8}\n"
        "video: {reference: {uri: films/a.mp4}, secondary: {uri: 'v4l2:///dev/video2'}}\n"
    )
    video = load_config(path).video
    assert video.reference.uri == str(tmp_path / "films/a.mp4")
    assert video.secondary.uri == "v4l2:///dev/video2"
