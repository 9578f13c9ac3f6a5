"""The command ``twinhdr``.

Every command imports what it runs when it runs, so that ``--help`` needs neither OpenCV nor ONNX Runtime.
A ``TwinhdrError`` ends as its text on standard error and its exit code; any other exception is a bug and
keeps its traceback.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup

from edge.bench.command import bench
from edge.calibration.command import app as calibrate_app
from edge.commands.cameras import cameras
from edge.commands.trigger import trigger_app
from edge.errors import ConfigError, TwinhdrError
from edge.exports.command import export
from edge.refusing.command import refuse
from edge.settings.command import app as config_app
from edge.store.command import app as sessions_app
from edge.usb.command import app as usb_app
from edge.web.password_command import password

if TYPE_CHECKING:
    from rich.console import Console


class _Group(TyperGroup):
    """Turns the errors a person can repair into one text and an exit code, for every command alike."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TwinhdrError as error:
            prefix = "" if isinstance(error, ConfigError) else "twinhdr: "  # its lines begin with the file
            typer.echo(f"{prefix}{error}", err=True)
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help costs half the time and its examples can be copied
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(trigger_app, name="trigger")
app.add_typer(sessions_app, name="sessions")
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(config_app, name="config")
app.add_typer(usb_app, name="usb")
app.command()(cameras)
app.command()(password)
app.command()(bench)
app.command()(export)
app.command()(refuse)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read this file (and conf.d/*.yaml beside it) instead of /etc/twinhdr/config.yaml.",
    ),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"twinhdr {version('twinhdr')}")
        except PackageNotFoundError:
            typer.echo("twinhdr (run from its source folder, not installed)")
        raise typer.Exit


@app.callback()
def _twinhdr(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Two cameras and one computer: a stable HDR video camera.

    The reference camera films a constant exposure, the secondary one alternates a low and a high exposure,
    and EAFNet fuses each reference frame with one low/high pair into an HDR frame.

    \b
    First steps:
      twinhdr doctor                   is everything here?
      twinhdr demo                     ten seconds of HDR video of a simulated scene
      twinhdr run --config my.yaml     record
    """


@app.command()
def run(
    config: ConfigOption = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration", metavar="SECONDS", min=0.1, help="End after so much video; default: never."
        ),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option("--session", metavar="DIR", help="Record into this new folder, not below store.root."),
    ] = None,
) -> None:
    """Record: cameras, fusion, HDR video, live page. Ctrl-C ends it with all files closed.

    \b
    Example:
      twinhdr run --config my.yaml --duration 60 --session ./first
    """
    if duration is not None and not math.isfinite(duration):
        raise typer.BadParameter("a number of seconds, or leave it out to record until Ctrl-C")
    from edge.daemon.command import record

    raise typer.Exit(record(config, duration, session, _log_to_stderr))


@app.command()
def check(config: ConfigOption = None) -> None:
    """Validate the configuration and show where each value is set.

    Faults are listed one a line, with file, line, allowed range and what to do; the exit code is then 78.

    \b
    Example:
      twinhdr check --config my.yaml
    """
    from edge.commands.check import print_config

    raise typer.Exit(print_config(config, _console()))


@app.command()
def fuse(
    reference: Annotated[Path, typer.Option("--reference", metavar="FILE", help="The medium exposure.")],
    ev: Annotated[
        tuple[float, float, float],
        typer.Option("--ev", metavar="LOW REF HIGH", help="Their exposures in EV (stops), rising: -2 0 2."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="What to write, by its ending: exr, hdr, avif, jpg, png."),
    ],
    low: Annotated[
        Path | None, typer.Option("--low", metavar="FILE", help="The darkest exposure, if there is one.")
    ] = None,
    high: Annotated[
        Path | None, typer.Option("--high", metavar="FILE", help="The brightest exposure, if there is one.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="s|m|l|FILE.onnx", help="A shipped network or an ONNX file.")
    ] = "s",
    align: Annotated[
        str,
        typer.Option(
            "--align",
            metavar="fine|fast|off",
            help="How low and high are brought onto the reference, where the camera or the scene moved.",
        ),
    ] = "fine",
    preview: Annotated[
        Path | None, typer.Option("--preview", metavar="FILE.png", help="Also write a tone-mapped picture.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, max=256, help="0: one per core.")] = 0,
) -> None:
    """Fuse three still exposures, or two, into one HDR image.

    They show one view and have one size, which the result has too; any size will do. What moved between them
    follows the reference; a camera in hand is no trouble. --ev is needed in full even where low or high is
    missing. PNG, TIFF (8 or 16 bits) and JPEG are taken as coded with gamma 2.2. An EXR is taken as that
    exposure's own linear sensor values, where 1.0 is saturation; more is clipped. In the result 1.0 is what
    saturates the reference exposure.

    The ending of --out chooses the kind: exr (linear 32-bit float) and hdr (Radiance) for further work, avif
    (10-bit PQ) and jpg (Ultra HDR: SDR with a gain map) for screens, png (tone-mapped) for anything.

    \b
    Example:
      twinhdr fuse --low a.png --reference b.png --high c.png --ev -2 0 2 --out hdr.exr
    """
    from edge.commands.fuse import StillJob, run_still

    if align not in ("fine", "fast", "off"):
        raise typer.BadParameter(f"--align {align}: fine, fast or off")
    job = StillJob(
        low, reference, high, ev, out, model, preview, threads, cast("Literal['fine', 'fast', 'off']", align)
    )
    run_still(job, _console(stderr=True))


@app.command()
def info(
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="Folder of a recording.")],
) -> None:
    """Report on a recording and make a picture of it.

    Frames, drops by cause, ages of the low and high frames, rungs of the ladder, flicker.

    \b
    Example:
      twinhdr info ./first
    """
    from edge.commands.info import print_info

    raise typer.Exit(print_info(session, _console()))


@app.command()
def doctor(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
    measure_disk: Annotated[
        bool, typer.Option("--measure-disk", help="Write 32 MiB where sessions go, to time it.")
    ] = False,
) -> None:
    """Look at all that twinhdr needs here and say what to do.

    The exit code is 1 when something fails, so that recording would not work; 0 otherwise, warnings or not.

    \b
    Example:
      twinhdr doctor --measure-disk
    """
    from edge.doctor.doctor import run_doctor

    raise typer.Exit(run_doctor(config, as_json, _console(), measure_disk=measure_disk))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("demo"),
    scene: Annotated[
        str, typer.Option("--scene", metavar="NAME|FILE.exr", help="workshop, garden, square or an EXR.")
    ] = "workshop",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, max=3600, help="Length of the video.")
    ] = 10.0,
    model: Annotated[str, typer.Option("--model", metavar="s|m|l|FILE.onnx", help="The network.")] = "s",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the live page.")] = 8080,
) -> None:
    """Run the whole line on a simulated scene and judge it.

    Records, refuses the recording offline, compares both with the ground truth of the simulation, and says
    where the video, the recording, the picture and the figures are.

    \b
    Example:
      twinhdr demo --out demo --seconds 10
    """
    _log_to_stderr("warning")
    from edge.commands.demo import DemoPlan, run_demo

    raise typer.Exit(run_demo(DemoPlan(out, scene, seconds, model, port), _console()))


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _log_to_stderr(level: str) -> None:
    # journald stamps each line itself and sets JOURNAL_STREAM (systemd.exec(5))
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format=f"{stamp}%(levelname)s %(name)s: %(message)s"
    )


def main() -> None:
    """Entry point of the command ``twinhdr``."""
    app()


if __name__ == "__main__":
    main()
