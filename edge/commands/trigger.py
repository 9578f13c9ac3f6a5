"""``twinhdr trigger ...``: the trigger board by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hw.trigger.board import Board

trigger_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Try, measure and flash the trigger board (docs/trigger.md).",
)

PortOption = Annotated[
    str | None,
    typer.Option("--port", metavar="PATH", help="Serial device of the board; default: trigger.port."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Where trigger.port is taken from.")
]
PulseOption = Annotated[
    float, typer.Option("--pulse-us", min=0, max=30_000, help="Microseconds; with start 0: up until stop.")
]


@trigger_app.command()
def info(port: PortOption = None, config: ConfigOption = None) -> None:
    """Firmware, protocol, why the board was last reset, and what it does now. Moves no line."""
    board = _board(port, config)
    about, status = board.connect(), board.status()
    causes = [cause.name or "?" for cause in type(about.reset_cause) if cause in about.reset_cause]
    typer.echo(f"port      {about.port}")
    age = (
        "older than this twinhdr; update it with: twinhdr trigger flash"
        if about.is_older_than_host
        else "current"
    )
    typer.echo(f"firmware  {about.firmware_version} ({age}), protocol {about.identity:08X}")
    typer.echo(f"reset by  {', '.join(causes).lower() or 'not known (the boot loader keeps it to itself)'}")
    typer.echo(f"mode      {status.mode.name.lower()}, fault {status.fault.name.lower()}")
    typer.echo(f"since     {status.starts} starts, {status.rejected} damaged requests")


@trigger_app.command()
def start(port: PortOption = None, config: ConfigOption = None, pulse_us: PulseOption = 1000.0) -> None:
    """Give one common edge."""
    edge = _board(port, config).start(pulse_us)
    typer.echo(f"both lines rose together; when, is known to {edge.uncertainty_ns / 1e6:.2f} ms")


@trigger_app.command()
def stop(port: PortOption = None, config: ConfigOption = None) -> None:
    """Drop both lines."""
    _board(port, config).stop()
    typer.echo("both lines are low")


@trigger_app.command()
def pace(
    port: PortOption = None,
    config: ConfigOption = None,
    reference_fps: Annotated[float, typer.Option("--reference-fps", min=0.1, max=5000)] = 30.0,
    secondary_fps: Annotated[float, typer.Option("--secondary-fps", min=0.1, max=5000)] = 15.0,
    pulse_us: PulseOption = 1000.0,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Default: until Ctrl-C.")] = 1e9,
) -> None:
    """Pulse each line at its own pace, from one common edge on."""
    from hw.trigger.board_trigger import BoardTrigger
    from hw.trigger.plan import pace_plan

    plan = pace_plan(reference_fps, secondary_fps, pulse_us, silence_ms=1000)
    trigger = BoardTrigger(_board(port, config), plan)
    trigger.start()
    typer.echo(f"reference {plan.reference.fps:.6f} fps, secondary {plan.secondary.fps:.6f} fps; Ctrl-C ends")
    try:
        time.sleep(min(seconds, 1e9))
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        trigger.stop()
    typer.echo(f"both lines are low; begun again {trigger.restarts} times")


@trigger_app.command()
def measure(
    port: PortOption = None,
    config: ConfigOption = None,
    pulse_us: PulseOption = 1000.0,
    rising: Annotated[
        bool, typer.Option("--rising", help="Strobes rise; default: they fall, as open collectors do.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, max=30, help="Seconds.")] = 2.0,
) -> None:
    """Start the armed cameras and time their strobe outputs: latency of each, and the skew.

    The exit code is 1 when a strobe was not seen.
    """
    skew = _board(port, config).measure(pulse_us, rising=rising, timeout_s=timeout)
    for name, latency_ns in (("reference", skew.reference_ns), ("secondary", skew.secondary_ns)):
        seen = "no strobe seen" if latency_ns is None else f"exposes {latency_ns / 1e3:.1f} us after the edge"
        typer.echo(f"{name:9} {seen}")
    if skew.skew_ns is None:
        typer.echo(
            "Is the camera armed, its strobe output set to exposure active, and wired as in docs/trigger.md?"
        )
        raise typer.Exit(1)
    typer.echo(f"skew      {skew.skew_ns / 1e3:+.1f} us (secondary after reference; known to 1 us)")


@trigger_app.command()
def flash(
    port: PortOption = None,
    config: ConfigOption = None,
    build: Annotated[bool, typer.Option("--build", help="Compile it here, with avr-gcc.")] = False,
    bootloader_baud: Annotated[
        int, typer.Option("--bootloader-baud", help="57600 for a Nano with the old boot loader.")
    ] = 115_200,
) -> None:
    """Write the firmware onto the board, with avrdude, and see that it answers."""
    import tempfile

    from hw.trigger import flash as flashing
    from hw.trigger.board import Board
    from hw.trigger.discovery import find_port
    from hw.trigger.port import Port

    device = find_port(_port(port, config))
    Port(device).close()  # refuses while a recorder has it; avrdude would not ask
    with tempfile.TemporaryDirectory(prefix="twinhdr-") as folder:
        image = flashing.build(Path(folder)) if build else flashing.SHIPPED
        flashing.flash(device, image=image, baud=bootloader_baud)
    about = Board(device).connect()
    typer.echo(f"firmware {about.firmware_version} is on the board at {device} and answers")


def _port(port: str | None, config: Path | None) -> str:
    if port is not None:
        return port
    from edge.config.layers import load_config

    return load_config(config).trigger.port


def _board(port: str | None, config: Path | None) -> Board:
    from hw.trigger.board import Board

    return Board(_port(port, config))
