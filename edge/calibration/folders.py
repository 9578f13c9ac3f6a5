"""Image pairs from two folders: one picture of each camera for each instant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.calibration.shots import MaterialError, Shot
from edge.images.imageio import read_linear

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr"})


def folder_shots(reference: Path, secondary: Path) -> Iterator[Shot]:
    """Pictures paired by name, or by their order where the names differ throughout.

    Raises MaterialError where they do not pair up or differ in size, ImageError for one that cannot be read.
    """
    mine, other = (_pictures(_folder(path)) for path in (reference, secondary))
    size: tuple[int, int] | None = None
    for first, second in _paired(mine, other, reference, secondary):
        images = read_linear(first), read_linear(second)
        for path, image in zip((first, second), images, strict=True):
            now = image.shape[1], image.shape[0]
            size = size or now
            if now != size:
                raise MaterialError(
                    f"{path}: {now[0]}x{now[1]} pixels, the pictures before it {size[0]}x{size[1]}; "
                    f"calibrate with "
                    "pictures of one size, the one you film with"
                )
        yield Shot(first.name, *images)


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise MaterialError(f"{folder}: no PNG, TIFF, JPEG or EXR picture in it")
    return found


def _paired(mine: list[Path], other: list[Path], reference: Path, secondary: Path) -> list[tuple[Path, Path]]:
    by_name = {path.stem: path for path in other}
    same = [(path, by_name[path.stem]) for path in mine if path.stem in by_name]
    if same:
        return same
    if len(mine) != len(other):
        raise MaterialError(
            f"{reference} holds {len(mine)} pictures, {secondary} {len(other)}, and no two have one name; "
            f"give both "
            "pictures of an instant the same name"
        )
    return list(zip(mine, other, strict=True))


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise MaterialError(f"{path}: not a folder; name the folder with this camera's pictures")
    return path
