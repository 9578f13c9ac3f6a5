"""``python -m hw.simulator.gige``: one simulated GigE Vision camera as a process."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from edge.errors import TwinhdrError
from hw.simulator.gige.features import Abilities
from hw.simulator.gige.film import FilmSpec
from hw.simulator.gige.options import Clock, Faults, Options
from hw.simulator.gige.server import Server


def parser() -> argparse.ArgumentParser:
    """Every knob."""
    p = argparse.ArgumentParser(prog="python -m hw.simulator.gige", description=__doc__)
    p.add_argument("--interface", required=True, help="IPv4 address to answer on; each camera needs its own")
    p.add_argument(
        "--role", choices=("reference", "secondary"), default="reference", help="whose view it has"
    )
    p.add_argument("--serial", default="SIM0001", help="at most 15 characters")
    p.add_argument("--model", default="MV-CS032-10GC")
    p.add_argument("--vendor", default="Hikrobot")

    scene = p.add_argument_group("picture")
    scene.add_argument("--scene", default="workshop", help="workshop, garden, square or an .exr file")
    scene.add_argument("--width", type=int, default=960, help="pixels of the sensor")
    scene.add_argument("--height", type=int, default=540)
    scene.add_argument("--seed", type=int, default=1)
    scene.add_argument("--rectified", action="store_true", help="the views agree except for parallax")
    scene.add_argument("--loop-s", type=float, default=2.0, help="length of the prepared film")
    scene.add_argument("--film-hz", type=float, default=30.0, help="its pictures per second")
    scene.add_argument("--film-cache", type=Path, help="folder that keeps prepared films")
    scene.add_argument("--reference-exposure-us", type=float, default=8000.0, help="saturates radiance 1.0")

    able = p.add_argument_group("abilities")
    able.add_argument("--no-hdr", action="store_true", help="without the vendor's HDR polling")
    able.add_argument("--hdr-name", choices=("HDRShuter", "HDRShutter"), default="HDRShuter")
    able.add_argument(
        "--hdr-cycle", type=int, choices=(2, 4), default=4, help="slots that polling steps through"
    )
    able.add_argument("--sequencer", action="store_true", help="with the SFNC sequencer")
    able.add_argument("--chunks", action="store_true", help="with chunk data: exposure, gain, time")
    able.add_argument("--burst-only", action="store_true", help="no AcquisitionStart trigger")
    able.add_argument(
        "--stamp", choices=("begin", "middle", "end"), default="begin", help="what a stamp marks"
    )
    able.add_argument("--line", type=Path, help="datagram socket for edges: 'Line0 MONOTONIC_NS'")
    able.add_argument("--truth", type=Path, help="file that gets a JSON line for each exposure")

    clock = p.add_argument_group("clock and link")
    clock.add_argument("--clock-offset-s", type=float, default=0.0)
    clock.add_argument("--drift-ppm", type=float, default=0.0)
    clock.add_argument("--tick-ratio", type=float, default=1.0, help="10 and 0.694 occur in the field")
    clock.add_argument("--link-mbps", type=float, default=1000.0)
    clock.add_argument("--readout-us", type=float, default=1000.0)

    faults = p.add_argument_group("faults (per mille)")
    faults.add_argument("--loss-per-mille", type=float, default=0.0, help="of packets; resend helps")
    faults.add_argument(
        "--damaged-per-mille", type=float, default=0.0, help="of frames; resend does not help"
    )
    faults.add_argument("--lost-per-mille", type=float, default=0.0, help="of frames, whole")
    faults.add_argument(
        "--late-per-mille", type=float, default=0.0, help="of exposure changes, one frame late"
    )
    faults.add_argument("--exposure-lag", type=int, default=0, help="frames before a change takes hold")
    faults.add_argument("--first-frame-missing", action="store_true", help="after every start")
    faults.add_argument("--no-resend", action="store_true")
    return p


def options(arguments: argparse.Namespace) -> Options:
    """The parsed arguments as options."""
    a = arguments
    pictures = max(1, round(a.loop_s * a.film_hz))
    return Options(
        interface=a.interface,
        serial=a.serial,
        vendor=a.vendor,
        model=a.model,
        film=FilmSpec(
            a.scene, a.width, a.height, a.seed, a.role == "secondary", a.rectified, pictures, 1.0 / a.film_hz
        ),
        abilities=Abilities(
            a.width, a.height, None if a.no_hdr else a.hdr_name, a.sequencer, a.chunks, a.burst_only
        ),
        clock=Clock(round(a.clock_offset_s * 1e9), a.drift_ppm, a.tick_ratio),
        faults=Faults(
            a.loss_per_mille,
            a.damaged_per_mille,
            a.lost_per_mille,
            a.late_per_mille,
            a.exposure_lag,
            a.first_frame_missing,
            not a.no_resend,
            a.seed,
        ),
        reference_exposure_us=a.reference_exposure_us,
        hdr_cycle=a.hdr_cycle,
        stamp=a.stamp,
        readout_us=a.readout_us,
        link_mbps=a.link_mbps,
        line=a.line,
        truth=a.truth,
        film_cache=a.film_cache,
    )


def main() -> int:
    """Serve until SIGTERM or SIGINT. From one SIGUSR1 to the next it sends one and the same picture."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server = Server(options(parser().parse_args()))

        def stick(_number: int, _frame: FrameType | None) -> None:
            server.device.stuck = not server.device.stuck

        signal.signal(signal.SIGUSR1, stick)
        server.serve(stopping)
    except (TwinhdrError, ValueError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, TwinhdrError) else 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
