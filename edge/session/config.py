"""The configuration a recording was made with, to treat its frames the same way again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.config.layers import load_config
from edge.config.schema import Config
from edge.session.recording import SessionError


def session_config(stored: Mapping[str, Any], where: Path) -> Config:
    """The snapshot in ``where``'s header; the defaults where frames were brought in without one.

    A key that is younger than the recording has its default.
    Raises SessionError where the snapshot is of another version or was changed by hand.
    """
    if not stored:
        return load_config(main_file=Path("/nonexistent"))
    defaults = load_config(main_file=Path("/nonexistent")).model_dump(mode="json")
    try:
        return Config.model_validate_json(json.dumps(_over(defaults, stored)))
    except (ValidationError, TypeError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else []
        keys = ", ".join(".".join(str(part) for part in fault["loc"]) for fault in faults)
        raise SessionError(
            f"{where}/session.json: config does not fit this version ({keys or error}); correct these keys, "
            "or set config to {} to use the defaults"
        ) from error


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """``upper`` laid over ``lower``, section by section."""
    merged = dict(lower) | dict(upper)
    for key, below in lower.items():
        above = upper.get(key)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            merged[key] = _over(below, above)
    return merged
