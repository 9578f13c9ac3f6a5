"""The rows that need no network, in the order of the table."""

from __future__ import annotations

from export.compare import classic, merges
from export.compare.merges import OnReference, aligned
from export.compare.row import Row

DISPLAY_NOTE = (
    "makes a picture to look at, not radiance: its SSIM-mu is of that picture and the truth under "
    "the mu-law, and says how much structure it keeps; PSNR and linear figures would say nothing."
)


def quick_rows() -> list[Row]:
    """What a training run reports beside its network."""
    return [
        Row("reference", merges.reference_only),
        Row("merge", merges.radiance_merge),
        Row("blend", merges.blend_only),
    ]


def comparison_rows(on_reference: OnReference) -> list[Row]:
    """Everything that can be judged without weights; ``on_reference`` is shared with the networks."""
    reference, merge, blend = quick_rows()
    return [
        reference,
        Row("debevec", classic.debevec),
        Row("robertson", classic.robertson),
        Row("mertens", classic.mertens, "display", DISPLAY_NOTE),
        merge,
        Row("masked merge", merges.masked_merge),
        blend,
        Row("flow + merge", aligned(merges.radiance_merge, on_reference)),
        Row("flow + masked merge", aligned(merges.masked_merge, on_reference)),
        Row("flow + blend", aligned(merges.blend_only, on_reference)),
    ]
