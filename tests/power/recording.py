"""In the virtual machine: record, and say on the console how far the film is, and what time it is here.

usage: recording.py CONFIG ROOT
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

BEAT_S = 0.05


def newest_ns(lines: Path) -> int:
    """Session time of the newest of the last lines."""
    with lines.open("rb") as file:
        file.seek(max(0, lines.stat().st_size - 4096))
        rows = file.read().splitlines()[1:]
    return max([0, *(int(json.loads(row).get("t_ns", 0)) for row in rows if row.endswith(b"}"))])


def main(config: str, root: str) -> int:
    recorder = subprocess.Popen([sys.executable, "-m", "edge.cli", "run", "--config", config])
    known = set(Path(root).glob("s*")) if Path(root).exists() else set()
    shows = False
    while recorder.poll() is None:
        for session in sorted(set(Path(root).glob("s*")) - known)[-1:]:
            lines = session / "frames.jsonl"
            shows = shows or (lines.exists() and b'"kind":"hdr"' in lines.read_bytes())
            if shows:
                print(f"FILMED {session.name} {newest_ns(lines)} {time.monotonic_ns()}", flush=True)
        time.sleep(BEAT_S)  # the rate of this report
    print(f"ENDED {recorder.returncode}", flush=True)
    return recorder.returncode


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
