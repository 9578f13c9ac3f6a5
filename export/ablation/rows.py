"""What the ablation compares: every row is EAFNet-S with one switch thrown.

The base adds the reference's own logit (``skip="reference"``) instead of the family's blend. With the blend
and a registered pair the untrained network already answers with the low exposure in the highlights, and its
head sees both exposures at full resolution: hardly anything would be left for the parts under test to do.
With the reference skip whatever low and high bring must come through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.eafnet.config import EafnetConfig, variant

BASE = variant(
    "s",
    skip="reference",
    blend_ramp=(0.93, 0.99),
    fine_attention=True,
    attention_width=32,
    head_width=16,
)
"""S as it was when its parts were judged. What the rows say made it slimmer afterwards, without fine
attention; the ramp is used by blend-skip alone."""

ROWS: dict[str, Mapping[str, Any]] = {
    "base": {},
    "no-gla": {"inputs": ("L", "H")},
    "no-efsm": {"efsm": False},
    "plain-attention": {"asymmetric": False},
    "no-guidance": {"guidance": "none"},
    "ahdr-merging": {"merging": "ahdr"},
    "no-fine-attention": {"fine_attention": False},
    "no-dwt": {"dwt": False},
    "one-scale": {"multiscale": False},
    "inputs-lg": {"inputs": ("L", "G")},
    "inputs-hg": {"inputs": ("H", "G")},
    "ratio-1-2": {"modulation_ratio": 0.5},
    "ratio-1-1": {"modulation_ratio": 1.0},
    "ratio-4-1": {"modulation_ratio": 4.0},
    "ratio-8-1": {"modulation_ratio": 8.0},
    "no-skip": {"skip": "none"},
    "blend-skip": {"skip": "blend"},
    "printed-attention": {"cosine_attention": False},
}
"""Changes to the base by name of the row, in the order in which they are trained."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the document: ``lines`` are (row, what the reader sees), the base among them.

    ``prefix`` makes a label of its own of what the reader sees, outside the table.
    """

    key: str
    lines: tuple[tuple[str, str], ...]
    prefix: str = ""


TABLES = (
    Table(
        "components",
        (
            ("base", "all of it"),
            ("no-gla", "no global luminance alignment (inputs L, H)"),
            ("no-efsm", "no exposure-guided feature selection (EFSM)"),
            ("plain-attention", "plain cross attention (no + K in eq. 7)"),
            ("no-fine-attention", "attention at the second scale alone (as shipped)"),
            ("no-guidance", "no guidance (eq. 8)"),
            ("ahdr-merging", "AHDRNet's merging (no cross attention at all)"),
        ),
    ),
    Table(
        "inputs",
        (("base", "L, H, G"), ("no-gla", "L, H"), ("inputs-lg", "L, G"), ("inputs-hg", "H, G")),
        prefix="inputs ",
    ),
    Table(
        "modulation",
        (
            ("ratio-1-2", "1:2"),
            ("ratio-1-1", "1:1"),
            ("base", "2:1"),
            ("ratio-4-1", "4:1"),
            ("ratio-8-1", "8:1"),
        ),
        prefix="modulation ",
    ),
    Table(
        "restoration",
        (
            ("base", "wavelets, 2 fusion and 3 restoration scales"),
            ("no-dwt", "no wavelets"),
            ("one-scale", "one scale each"),
        ),
    ),
    Table(
        "ours",
        (
            ("base", "reference skip, bounded attention"),
            ("no-skip", "no skip (the paper)"),
            ("blend-skip", "blend skip, as the family had it before the steady skip"),
            ("printed-attention", "attention as printed in eq. 7"),
        ),
    ),
)
"""Tables V, VI and VIII of the paper, its restoration, and what this implementation decided."""


def row_config(row: str, base: EafnetConfig = BASE) -> EafnetConfig:
    """The network of ``row``. Raises ValueError naming the rows there are."""
    if row not in ROWS:
        raise ValueError(f"unknown row {row!r}; there are {', '.join(ROWS)}")
    return replace(base, **ROWS[row])
