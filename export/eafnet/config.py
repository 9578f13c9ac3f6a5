"""One definition of EAFNet; the variants L, M, S and XS and every ablation are values of it.

Source: "Capturing Stable HDR Videos Using a Dual-Camera System", sections IV-V. No code was published, so
the paper's ambiguities are resolved here and named field by field.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

Skip: TypeAlias = Literal["none", "reference", "blend", "steady"]
InputKind: TypeAlias = Literal["L", "H", "G"]

WINDOW = 8
"""Side of the attention windows: 8*8 = 64 keys, the paper's 64 channels, makes eq. 8 consistent."""


@dataclass(frozen=True, slots=True)
class EafnetConfig:
    """What an EAFNet is made of. Defaults are the paper's network (variant L).

    Size:
        width: channels C of the features (64 in the paper).
        reduction: space-to-depth factor r of the stem; the features live at 1/r of the image's resolution.
        growth, dilations: the dense block inside the restoration's LDPB.
        attention_width: hidden channels of the spatial attention (eq. 10).
        opening_kernel: 3 in the paper, 1 in the real-time family.
        head_width: channels of the full-resolution head; 0 is the paper's single 3x3 at feature resolution
            (only with ``reduction`` 1).
        shared_pair: one set of weights for low and high, which then run as a batch of two. The paper's
            figure draws two boxes, hence False there.
        fine_attention: cross attention at the first scale too (the paper). Without it the second scale
            attends, in windows of 16x16 pixels of the first, and the pair's fine detail comes through the
            guidance (eq. 8). On registered pairs it was worth nothing that we could measure, for a fifth to a
            quarter of the time on a CPU; hence False in the family.
        second_scale: how f_2 is made: from the space-to-depth'd input by a stride-1 convolution ("stride of
            one", figure 4) or from f_1 by a stride-2 convolution.

    Resolved ambiguities:
        skip: what the last sigmoid's logit starts from. "none" is the paper. "reference" adds logit(H_m).
            "blend" adds the logit of (1-w) H_m + w max(H_l, H_m), w rising from 0 to 1 per channel where L_m
            runs through ``blend_ramp``: where the reference clips, the network only has to undo ghosts
            instead of painting highlights from nothing. "steady" also averages the high exposure in where it
            differs from the reference by no more than noise (``export.eafnet.start``).
        head_high: the full-resolution head also sees the high exposure (gamma domain, and how far its logit
            is from the start's where it is not clipped): what is steady there takes noise off the reference.
            Only beside the blend and steady skips. Off in weights from before it existed.
        cosine_attention: L2-normalised Q and K with a learned temperature (logits stay bounded); False is
            eq. 7 as printed.
        guidance: how eq. 8's guidance enters eq. 9: concatenated (paper), added after the convolution
            (family), or not at all (ablation).
        guidance_source: psi of eq. 8: the attention matrix itself, or the attended features of scale 2 (the
            same quality within noise, and the matrix may stay inside a fused attention kernel).

    Ablations (Tables V, VI, VIII):
        inputs: which of L, H and G (global luminance alignment) every image brings.
        efsm: exposure-guided feature selection on/off.
        modulation_ratio: width of the exposure embedding over width of the feature descriptor; 2 is best.
        asymmetric: keys added to the queries (eq. 7) or plain cross attention.
        dwt: Haar wavelets in the restoration on/off (off: the block works at feature resolution, one LBF).
        multiscale: two fusion and three restoration scales, or one of each.
        merging: "eafm", or "ahdr" for AHDRNet's merging (spatial attention on the raw features).
    """

    name: str = "l"
    width: int = 64
    reduction: int = 1
    growth: int = 32
    dilations: tuple[int, ...] = (1, 2, 3, 2, 1)
    attention_width: int = 64
    opening_kernel: int = 3
    head_width: int = 0
    shared_pair: bool = False
    fine_attention: bool = True
    second_scale: Literal["space_to_depth", "stride"] = "space_to_depth"
    skip: Skip = "reference"
    blend_ramp: tuple[float, float] = (0.88, 0.97)
    head_high: bool = False
    cosine_attention: bool = True
    guidance: Literal["concat", "add", "none"] = "concat"
    guidance_source: Literal["attention", "features"] = "attention"
    inputs: tuple[InputKind, ...] = ("L", "H", "G")
    efsm: bool = True
    modulation_ratio: float = 2.0
    asymmetric: bool = True
    dwt: bool = True
    multiscale: bool = True
    merging: Literal["eafm", "ahdr"] = "eafm"

    def __post_init__(self) -> None:
        if self.head_width == 0 and self.reduction != 1:
            raise ValueError("a network with reduction > 1 needs a full-resolution head (head_width > 0)")
        if self.width % 4:
            raise ValueError(f"width {self.width} is not a multiple of 4 (pixel shuffle by 2)")
        if not self.inputs:
            raise ValueError("inputs is empty: name at least one of L, H, G")

    @property
    def image_channels(self) -> int:
        """Channels one exposure brings to the stem."""
        return 3 * len(self.inputs)

    @property
    def sees_high(self) -> bool:
        """Whether the full-resolution head sees the high exposure."""
        return self.head_high and self.skip in ("blend", "steady") and self.head_width > 0

    @property
    def fusion_scales(self) -> int:
        """Scales at which the pair is attended to; AHDRNet's merging knows none."""
        return 0 if self.merging == "ahdr" else (2 if self.multiscale else 1)

    @property
    def attended_scales(self) -> tuple[int, ...]:
        """Which of the fusion scales are attended to, 0 being the finest; a single one always is."""
        fine = self.fine_attention or self.fusion_scales < 2
        return tuple(range(0 if fine else 1, self.fusion_scales))

    @property
    def multiple(self) -> int:
        """H and W of the input must be multiples of this (windows of the coarsest fusion scale)."""
        return self.reduction * WINDOW * (2 if self.multiscale else 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint or a card; ``from_dict`` reads them back."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EafnetConfig:
        """Inverse of ``to_dict``, also after a trip through JSON (lists become tuples)."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return EafnetConfig(**plain)


_FAMILY = replace(
    EafnetConfig(),
    shared_pair=True,
    fine_attention=False,
    second_scale="stride",
    attention_width=32,
    opening_kernel=1,
    dilations=(1, 2, 1),
    guidance="add",
    guidance_source="features",
    skip="steady",
    head_high=True,
)

VARIANTS: dict[str, EafnetConfig] = {
    "l": EafnetConfig(),
    "m": replace(_FAMILY, name="m", reduction=2, width=64, growth=32, head_width=16),
    "s": replace(_FAMILY, name="s", reduction=2, width=32, growth=16, attention_width=16, head_width=8),
    "xs": replace(_FAMILY, name="xs", reduction=4, width=64, growth=32, head_width=8),
}


def variant(name: str, **changes: Any) -> EafnetConfig:
    """The named variant with ``changes`` applied. Raises ValueError naming the variants there are."""
    if name not in VARIANTS:
        raise ValueError(f"unknown EAFNet variant {name!r}; there are {', '.join(VARIANTS)}")
    return replace(VARIANTS[name], **changes)
