"""How a network that is not ours takes its inputs: a few lines of YAML or JSON beside its ONNX file.

``ahdrnet.yaml`` beside ``ahdrnet.onnx``::

    inputs: {x1: low, x2: reference, x3: high}   # tensors of the graph, NCHW, float32
    channels: [ldr, hdr]    # what each exposure is given as, one after the other, 3 channels each
    output: out             # optional where the graph has one output
    domain: linear          # of the output: linear | mu
    unit: low               # the exposure whose saturation is 1.0 in `hdr` and in the output
    multiple: 16            # height and width are padded (mirrored) to multiples of this
    align: false            # true: give it the pair after the device's registration
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.engines import EngineError

Slot: TypeAlias = Literal["low", "reference", "high"]
Kind: TypeAlias = Literal["ldr", "linear", "hdr"]
SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 2**16


class Contract(BaseModel):
    """The keys of the module docstring.

    ``channels``: "ldr" is the picture coded with gamma 2.2, "linear" its linear values, "hdr" these over its
    light: radiance, where 1.0 saturates the exposure named by ``unit``. An input may take several exposures
    one after the other: ``inputs: {stack: [low, reference, high]}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Annotated[dict[str, Slot | list[Slot]], Field(min_length=1)]
    channels: Annotated[list[Kind], Field(min_length=1)] = ["ldr"]
    output: str | None = None
    domain: Literal["linear", "mu"] = "linear"
    unit: Literal["low", "reference"] = "low"
    multiple: Annotated[int, Field(ge=1, le=1024)] = 1
    align: bool = False


def contract_file(model: Path) -> Path | None:
    """The description beside ``model``; None where there is none."""
    return next((p for p in (model.with_suffix(s) for s in SUFFIXES) if p.is_file()), None)


def read_contract(path: Path) -> Contract:
    """Raises EngineError naming the file and every key that does not fit."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise EngineError(f"{path}: larger than 64 KiB; this describes no network's inputs")
        stated = yaml.safe_load(path.read_bytes())
        return Contract.model_validate(stated)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise EngineError(f"{path}: neither YAML nor JSON ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise EngineError(f"{path}: {faults}; docs/evaluation.md describes the keys") from None
