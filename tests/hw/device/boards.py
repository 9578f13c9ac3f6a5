"""The trees of /proc, /sys and /etc of boards, written out below a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

TREES = Path(__file__).parent / "trees"
BOARDS = tuple(sorted(path.stem for path in TREES.glob("*.yaml")))


def grow(root: Path, board: str, changes: Mapping[str, str | None] | None = None) -> Path:
    """Write the tree of ``board`` below ``root``; ``changes`` has contents by path, None to leave one out."""
    files: dict[str, str | None] = {
        **yaml.safe_load((TREES / f"{board}.yaml").read_text()),
        **(changes or {}),
    }
    for name, content in files.items():
        if content is None:
            continue
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root
