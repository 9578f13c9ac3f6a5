"""What an engine was built from and what was proven of it: the key, and the proof beside the engine.

A plan of TensorRT fits one version of TensorRT, one GPU and one set of kernels, and says none of this in a
way that can be read without running it. So all of it stands in the proof, and an engine is used where that
is the same as here, word for word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Cut: TypeAlias = Literal["whole", "pair"]
"""``whole``: one graph, run for every frame; ``pair``: two graphs, the first run once per low/high pair."""

RECIPE = 2
"""Of the graph made from a model file: raise it when framing, conversion to FP16 or the cut change."""
ANY = "any"
"""Settings that the runtime asks for: they change how fast an engine is, not where it may run."""
AGREEMENT_DB = 50.0
"""Least PSNR-mu between engine and FP32 on every golden scene; rounding to 8 bits costs 59 dB."""
TONE_CODES = 1
"""Most that a code of the video planes may differ from the CPU's."""
FORMAT: Literal[2] = 2
LARGEST_PROOF = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """All that decides whether an engine is this model's, this machine's, and of today."""

    onnx_sha256: str
    tensorrt: str
    gpu: str
    sm: str
    cuda: str
    release: str
    width: int
    height: int
    cut: Cut
    settings: str
    recipe: int = RECIPE

    @property
    def key(self) -> str:
        """SHA-256 of all of it."""
        return _digest(asdict(self))

    @property
    def title(self) -> str:
        """Such as ``960x540, whole``."""
        return f"{self.width}x{self.height}, {self.cut}"


WORDS = {
    "onnx_sha256": "another model file",
    "tensorrt": "TensorRT {0}, here is {1}",
    "gpu": "a {0}, here is a {1}",
    "sm": "SM {0}, here is SM {1}",
    "cuda": "a driver for CUDA {0}, here is CUDA {1}",
    "release": "{0}, here is {1}",
    "width": "width {0}, here it is {1}",
    "height": "height {0}, here it is {1}",
    "cut": "the cut {0}, wanted is {1}",
    "settings": "other settings ({0})",
    "recipe": "another version of twinhdr's conversion",
}
assert set(WORDS) == {field.name for field in fields(Identity)}


def differences(built: Identity, here: Identity) -> str:
    """What ``built`` was built for that is not so here; empty where nothing differs."""
    found = []
    for name, words in WORDS.items():
        was, now = getattr(built, name), getattr(here, name)
        if was != now and now != ANY:
            found.append(words.format(was or "unknown software", now or "unknown software"))
    return "; ".join(found)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PartFile(_Entry):
    """One plan file beside the proof."""

    file: Annotated[str, Field(pattern=r"^[\w.+-]+\.engine$", max_length=200)]
    bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Latency(_Entry):
    """Milliseconds of ``runs`` runs, measured on the host around the call."""

    p50: Positive
    p95: Positive
    p99: Positive
    worst: Positive
    runs: Annotated[int, Field(gt=0)]


class Proof(_Entry):
    """That an engine computes the same picture, how fast, and from what it was built."""

    format: Literal[2] = FORMAT
    multiple: Annotated[int, Field(gt=0)]
    """Of the network's window grid, as the model file says."""
    model: str
    """Name of the model, such as eafnet-s."""
    key: str
    identity: dict[str, str | int]
    parts: Annotated[tuple[PartFile, ...], Field(min_length=1, max_length=2)]
    agreement_db: Annotated[dict[str, Positive], Field(min_length=1)]
    """PSNR-mu of the engine against FP32 in ONNX Runtime, by golden scene; 120 stands for equal."""
    tone_codes: Annotated[int, Field(ge=0)]
    """Largest difference of the video planes to the CPU's tone curve, in codes of 10 bits, PQ and HLG."""
    latency_ms: dict[str, Latency]
    """``frame``: a pair and its frame; ``fuse``: a frame whose pair is on the GPU already."""
    memory_bytes: dict[str, int]
    software: dict[str, str]
    built: str
    """UTC, for people."""

    @property
    def worst_db(self) -> float:
        """The scene that agrees least."""
        return min(self.agreement_db.values())

    @property
    def worst_scene(self) -> str:
        """Its name."""
        return min(self.agreement_db, key=lambda name: self.agreement_db[name])

    def built_for(self) -> Identity:
        """The identity that it was built for. Raises ProofError."""
        try:
            identity = Identity(**self.identity)  # type: ignore[arg-type]  # the key below tells wrong types
        except TypeError:
            raise ProofError("its identity has other fields; another version of twinhdr wrote it") from None
        if identity.key != self.key:
            raise ProofError("its key does not fit what it says of itself")
        return identity


class ProofError(ValueError):
    """A proof that cannot be believed. The text says why, without naming the file."""


def write_proof(proof: Proof) -> bytes:
    """JSON for people, with a checksum over the rest."""
    plain = proof.model_dump(mode="json")
    return json.dumps(plain | {"checksum": _digest(plain)}, indent=2).encode() + b"\n"


def read_proof(data: bytes) -> Proof:
    """The proof in ``data``. Raises ProofError for damage of any kind."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        raise ProofError("no JSON: damaged") from None
    if not isinstance(plain, dict):
        raise ProofError("no proof: damaged")
    checksum = plain.pop("checksum", None)
    try:
        if plain.get("format") != FORMAT:
            raise ProofError("its format is of another version of twinhdr")
        if checksum != _digest(plain):
            raise ProofError("its checksum does not fit: damaged or edited")
        # JSON has no tuples, which strict validation wants
        return Proof.model_validate_json(json.dumps(plain))
    except (ValidationError, TypeError, UnicodeEncodeError, RecursionError):
        raise ProofError("its fields are none of a proof: damaged") from None


def _digest(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
