"""What a device is given besides our own code: its licences, as docs/install.md tells them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs/install.md"
FREE = re.compile(r"\b(MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|ISC|Zlib|CC0)\b", re.IGNORECASE)
BINDING = re.compile(r"(?<!L)A?GPL|General Public|SSPL|Commercial|CC-BY-NC", re.IGNORECASE)
GPL_LIBRARIES = re.compile(r"lib(x264|x265|xvid\w*|postproc|rubberband|vidstab)\b")
SILENT = {"openexr"}
"""Its metadata names no licence; its LICENSE.md is BSD-3-Clause."""


def dependencies() -> Iterator[metadata.Distribution]:
    """All that ``pip install twinhdr`` brings, with what that needs, once each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted, seen = list(map(Requirement, project["dependencies"])), set()
    while wanted:
        asked = wanted.pop()
        name = canonicalize_name(asked.name)
        if name in seen or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = metadata.distribution(name)
        wanted += map(Requirement, found.requires or [])
        yield found


def licence(package: metadata.Distribution) -> str:
    """What a package says of its own licence, in its first line."""
    about = package.metadata
    classifiers = [c.split("::")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License")]
    first_line = (about.get("License") or "").partition("\n")[0]
    return about.get("License-Expression") or " ".join([first_line, *classifiers]).strip()


def table() -> set[str]:
    """The packages that the table in the docs names."""
    section = DOCS.read_text().split("## Licences")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("|")]
    return {canonicalize_name(name) for row in rows for name in re.findall(r"[\w.-]+", row)}


def test_no_dependency_binds_those_who_build_on_twinhdr() -> None:
    """Apache-2.0 promises that a product can be made of it; one GPL package in the process breaks that."""
    for package in dependencies():
        name, words = canonicalize_name(package.metadata["Name"]), licence(package)
        assert not BINDING.search(words), f"{name}: {words}"
        assert FREE.search(words) or name in SILENT, f"{name}: {words or 'no licence named'}"


def test_the_docs_name_every_dependency() -> None:
    """Who ships a device must list what is on it."""
    assert {canonicalize_name(package.metadata["Name"]) for package in dependencies()} - table() == set()


def test_libraries_inside_wheels_hold_no_further_surprise() -> None:
    """A wheel's own licence says nothing of the libraries in it: PyAV's is BSD, and x264 and x265 are GPL."""
    found = set()
    for package in dependencies():
        for file in package.files or []:
            match = GPL_LIBRARIES.search(Path(file).name)
            if match and ".so" in Path(file).name:
                found.add(f"{package.metadata['Name'].lower()}: lib{match[1]}")
    assert found <= {"av: libx264", "av: libx265"}
    assert "libx264" in DOCS.read_text()
    assert "libx265" in DOCS.read_text()
