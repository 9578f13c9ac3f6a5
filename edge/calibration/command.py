"""``twinhdr calibrate``: measure, check, restore; and ``twinhdr calibrate board``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from edge.calibration.board import Board
    from edge.calibration.measure import Wishes

DEFAULT_OUT = Path("calibration.yaml")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

BoardOption = Annotated[
    str, typer.Option("--board", metavar="charuco|checkerboard", help="The kind of board that was printed.")
]
SquaresOption = Annotated[
    str, typer.Option("--squares", metavar="CxR", help="Squares across and down: 11x8. Squares, not corners.")
]
SquareOption = Annotated[
    float, typer.Option("--square-mm", help="Side of a square as measured on the print, in millimetres.")
]


@app.callback()
def calibrate(
    context: typer.Context,
    session: Annotated[
        Path | None,
        typer.Option(
            "--session", metavar="DIR", help="A recording (with masters) of the board, or of any scene."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="DIR", help="Pictures of the board, reference camera."),
    ] = None,
    secondary: Annotated[
        Path | None, typer.Option("--secondary", metavar="DIR", help="The same instants, secondary camera.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="From the cameras, guided by a page; see --config.")
    ] = False,
    scene: Annotated[
        bool, typer.Option("--scene", help="Without a board: from the details of the scene in --session.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="SESSION", help="Measure how far a calibration is off on a recording."
        ),
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Go back to the factory copy of --out.")] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.yaml", help="The calibration file to write.")
    ] = DEFAULT_OUT,
    factory: Annotated[
        bool, typer.Option("--factory", help="Make this the factory copy too, even if there is one.")
    ] = False,
    board: BoardOption = "charuco",
    squares: SquaresOption = "",
    square_mm: SquareOption = 23.0,
    mode: Annotated[
        str,
        typer.Option("--mode", metavar="rectify|homography", help="The lenses' whole maps, or one matrix."),
    ] = "rectify",
    plane_m: Annotated[
        float | None,
        typer.Option("--plane-m", help="Distance at which the views shall meet; default: infinity."),
    ] = None,
    undistort: Annotated[
        bool,
        typer.Option("--undistort", help="Straighten the reference's picture too; costs sharpness and time."),
    ] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Lenses beyond 90 degrees: also estimate k3.")] = False,
    baseline_mm: Annotated[
        float | None,
        typer.Option("--baseline-mm", help="The cameras' distance by ruler, to check the squares."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="auto|similarity|rotation|homography", help="For --scene: the map's freedom."
        ),
    ] = "auto",
    focal_px: Annotated[
        float | None, typer.Option("--focal-px", help="For --scene: the reference's focal length, if known.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", metavar="FILE", help="For --check; default: what the recording carries."
        ),
    ] = None,
    limit_px: Annotated[float, typer.Option("--limit-px", help="For --check: the drift to fail at.")] = 1.5,
    views: Annotated[
        int | None,
        typer.Option(
            "--views",
            min=2,
            max=400,
            help="Frames to look at in a recording; default 40, 12 with --scene or --check.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="For --live: the cameras; as for run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Find out how the two cameras' views fit together.

    \b
    Examples:
      twinhdr calibrate board --out board.pdf
      twinhdr calibrate --live --square-mm 23.1 --out rig.yaml
      twinhdr calibrate --session ./board-recording --square-mm 23.1 --out rig.yaml
      twinhdr calibrate --reference ./left --secondary ./right --square-mm 23.1
      twinhdr calibrate --scene --session ./recording       no board: from the scene
      twinhdr calibrate --check ./recording                 does it still hold? exit code 1: no
      twinhdr calibrate --restore --out rig.yaml            back to the factory copy
    """
    if context.invoked_subcommand is not None:
        return
    console = _console(stderr=as_json)
    asked = [
        check is not None,
        restore,
        live,
        session is not None,
        reference is not None or secondary is not None,
    ]
    if sum(asked) != 1:
        raise typer.BadParameter(
            "one of --live, --session, --reference with --secondary, --check or --restore"
        )
    if (reference is None) != (secondary is None):
        raise typer.BadParameter("--reference and --secondary go together")
    if scene and session is None:
        raise typer.BadParameter("--scene needs --session, a recording with masters")
    if model not in ("auto", "similarity", "rotation", "homography"):
        raise typer.BadParameter(f"--model {model}: auto, similarity, rotation or homography")
    if not math.isfinite(limit_px) or limit_px <= 0:
        raise typer.BadParameter("--limit-px: pixels above 0")
    from edge.calibration import run

    if check is not None:
        raise typer.Exit(run.check(check, calibration, limit_px, views or 12, as_json, console))
    if restore:
        raise typer.Exit(run.restore_factory(out, console))
    sources = run.Sources(session, reference, secondary, live, scene, config, views or 0)
    measured = run.measure(
        sources,
        _board(board, squares, square_mm),
        _wishes(mode, plane_m, undistort, wide, baseline_mm),
        model,
        focal_px,
        console,
    )
    run.keep(measured, out, factory, as_json, console)


@app.command("board")
def print_board(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.pdf|png", help="The file to write.")],
    kind: BoardOption = "charuco",
    squares: SquaresOption = "",
    square_mm: Annotated[float, typer.Option("--square-mm", help="Side of a square, in millimetres.")] = 23.0,
) -> None:
    """Write a board to print. The defaults fit on A4 and on Letter.

    \b
    Example:
      twinhdr calibrate board --out board.pdf
    """
    from edge.calibration.board_print import write_board

    told = write_board(_board(kind, squares, square_mm), out)
    typer.echo(f"{out}: {told}")


def _board(kind: str, squares: str, square_mm: float) -> Board:
    from edge.calibration.board import Board

    if kind not in ("charuco", "checkerboard"):
        raise typer.BadParameter(f"--board {kind}: charuco or checkerboard")
    columns, _, rows = (squares or ("11x8" if kind == "charuco" else "10x7")).lower().partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise typer.BadParameter(f"--squares {squares}: two numbers such as 11x8")
    if not math.isfinite(square_mm):
        raise typer.BadParameter("--square-mm: millimetres")
    return Board(cast("Literal['charuco', 'checkerboard']", kind), int(columns), int(rows), square_mm * 1e-3)


def _wishes(
    mode: str, plane_m: float | None, undistort: bool, wide: bool, baseline_mm: float | None
) -> Wishes:
    from edge.calibration.measure import Wishes

    if mode not in ("rectify", "homography"):
        raise typer.BadParameter(f"--mode {mode}: rectify or homography")
    if undistort and mode != "rectify":
        raise typer.BadParameter("--undistort needs --mode rectify")
    for name, value in (("--plane-m", plane_m), ("--baseline-mm", baseline_mm)):
        if value is not None and not 1e-3 < value < 1e6:
            raise typer.BadParameter(f"{name}: a length above 0.001")
    baseline_m = None if baseline_mm is None else baseline_mm * 1e-3
    return Wishes(cast("Literal['rectify', 'homography']", mode), plane_m, undistort, wide, baseline_m)


def _console(stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)
