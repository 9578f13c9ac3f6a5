"""Keeps score of a training run while it goes on: the bar, ``scores.jsonl`` and ``curve.png``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import rich.progress

from export.judging.evaluate import BASELINES, network, score, validation_set
from export.training.checkpoint import State, averaged
from export.training.plot import can_draw, draw
from export.training.run_log import LogLine


class Progress:
    """A bar with loss and rate on a terminal, a JSON line per report elsewhere."""

    def __init__(self, rank: int) -> None:
        self.bar: rich.progress.Progress | None = None
        if rank == 0 and sys.stdout.isatty():
            self.bar = rich.progress.Progress(
                "{task.description}", rich.progress.BarColumn(), rich.progress.TimeElapsedColumn()
            )
            self.task = self.bar.add_task("starting", total=1.0)

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def log(self, state: State, line: LogLine) -> None:
        """Show one line of the log."""
        if self.bar is None:
            print(json.dumps(line), flush=True)
            return
        speed = state.patches / max(state.trained_s, 1e-9)
        text = f"step {state.step}, loss {line['loss']:.4f}, {speed:.1f} patches/s"
        self.bar.update(self.task, completed=state.progress(), description=text)


class Reporter:
    """Scores the averaged weights on the validation set and draws the run so far.

    One JSON line per report in ``scores.jsonl``; without ``images`` only the picture.
    """

    def __init__(self, folder: Path, images: Path | None) -> None:
        self.folder, self.samples = folder, None
        if images is not None:
            self.samples = validation_set(images)
            scores = {name: asdict(score(m, self.samples)) for name, m in BASELINES.items()}
            print(json.dumps({"baselines": scores}), flush=True)
        if not can_draw():
            print("no curve.png: drawing needs matplotlib (pip install twinhdr[export])", flush=True)

    def __call__(self, state: State) -> None:
        if self.samples is not None:
            result = score(network(averaged(state)), self.samples)
            line = {"step": state.step, "patches": state.patches, "trained_s": round(state.trained_s)}
            text = json.dumps({**line, **asdict(result)})
            with open(self.folder / "scores.jsonl", "a") as file:
                file.write(text + "\n")
            print(text, flush=True)
        if can_draw():
            draw(self.folder)
