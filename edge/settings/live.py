"""When a changed key counts: at once, with the next file, or after a restart. One table, docs from it.

What is not safe to change under a running recording waits for a restart: geometry, cameras and trigger are
set when they are opened; the networks are measured on what they will run; the session's folder is where it
is. Rules are by prefix, the longest one decides, so a new key of a section has its section's rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edge.config.file import Plain
from edge.config.layers import LoadedConfig
from edge.config.schema import Config, contradictions


class When(Enum):
    """From when on a change counts. The values are words for the page and the documentation."""

    NOW = "at once"
    NEXT_FILE = "with the next file"
    RESTART = "after a restart"


@dataclass(frozen=True, slots=True)
class Rule:
    """``prefix`` is a key, or a section for all keys below it."""

    prefix: str
    when: When
    why: str


RULES: Final = (
    Rule("version", When.RESTART, "it says how the file is read"),
    Rule("rig", When.RESTART, "the cameras are opened with it"),
    Rule("simulator", When.RESTART, "its world is made at the start"),
    Rule("replay", When.RESTART, "the session is opened at the start"),
    Rule("gige", When.RESTART, "the cameras are opened with it"),
    Rule("video", When.RESTART, "the cameras are opened with it"),
    Rule("trigger", When.RESTART, "the cameras are armed with it"),
    Rule("calibration", When.RESTART, "its maps are computed at the start and stored with the session"),
    Rule("exposure", When.NOW, "targets, speeds and limits, from the next frame that is metered"),
    Rule("exposure.reference.mode", When.RESTART, "a session is exposed by one rule"),
    Rule("exposure.secondary.mode", When.RESTART, "a session is exposed by one rule"),
    Rule("exposure.reference.band_ev", When.RESTART, "its warning is set up at the start"),
    Rule("exposure.reference.ev_per_s", When.RESTART, "fusing again steadies a session by one value"),
    Rule("exposure.reference.ev_per_frame", When.RESTART, "fusing again steadies a session by one value"),
    Rule("develop", When.RESTART, "a session is developed in one way"),
    Rule("pair", When.RESTART, "the rings are sized and the fusion line is built for it"),
    Rule("fuse", When.RESTART, "the networks are measured with it at the start"),
    Rule("hdr", When.RESTART, "all files of a session are of one format"),
    Rule("hdr.preset", When.NEXT_FILE, "each file has an encoder of its own"),
    Rule("hdr.crf", When.NEXT_FILE, "each file has an encoder of its own"),
    Rule("masters", When.RESTART, "the streams of a session are opened together"),
    Rule("preview", When.NOW, "from the next picture on"),
    Rule("web", When.RESTART, "the address is taken at the start"),
    Rule("store", When.NOW, "looked at every second"),
    Rule("store.root", When.RESTART, "the session stays where it is"),
    Rule("thermal", When.NOW, "with the next reading of the zones"),
    Rule("log", When.NOW, "from the next line on"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reload does. ``config`` holds from now on; ``waiting`` keys count after a restart."""

    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def rule_of(key: str) -> Rule:
    """The rule of a key. Raises KeyError where no section has one."""
    fitting = [rule for rule in RULES if key == rule.prefix or key.startswith(f"{rule.prefix}.")]
    if not fitting:
        raise KeyError(f"{key}: no rule in edge/settings/live.py says when it counts")
    return max(fitting, key=lambda rule: len(rule.prefix))


def when(key: str) -> When:
    """From when on a change of ``key`` counts."""
    return rule_of(key).when


def differing(before: Mapping[str, Plain], after: Mapping[str, Plain]) -> tuple[str, ...]:
    """The keys whose values differ, in the order of ``after``."""
    return tuple(key for key, value in after.items() if key not in before or before[key] != value)


def plan(running: Mapping[str, Plain], wanted: LoadedConfig) -> Plan:
    """What of ``wanted`` can hold now, over the values that are ``running``.

    A key that can change now, but contradicts one that cannot yet, waits with it.
    """
    changed = differing(running, wanted.values)
    now = [key for key in changed if when(key) is not When.RESTART]
    config = config_of({**running, **{key: wanted.values[key] for key in now}})
    if contradictions(config):
        now, config = [], config_of(running)
    return Plan(config, tuple(now), tuple(key for key in changed if key not in now))


def config_of(values: Mapping[str, Plain]) -> Config:
    """The configuration with these values by dotted key. Raises pydantic's ValidationError."""
    return Config.model_validate(nested(values))


def nested(values: Mapping[str, Plain]) -> dict[str, Plain]:
    """Values by dotted key as sections."""
    tree: dict[str, Plain] = {}
    for key, value in values.items():
        *above, name = key.split(".")
        section = tree
        for step in above:
            below = section.setdefault(step, {})
            assert isinstance(below, dict), "a key is either a section or a value"
            section = below
        section[name] = value
    return tree


def table(keys: Iterable[str]) -> str:
    """``keys`` by when they count, as Markdown; a section of one rule is one line."""
    lines = ["| keys | a change counts | because |", "|---|---|---|"]
    used = dict.fromkeys(rule_of(key) for key in keys)
    for rule in sorted(used, key=lambda rule: list(When).index(rule.when)):
        lines.append(f"| `{rule.prefix}` | {rule.when.value} | {rule.why} |")
    return "\n".join(lines)
