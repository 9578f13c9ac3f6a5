"""Configuration files on disk: read with a bound, written whole or not at all, links never followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from edge.config import file as config_file
from edge.durable import sync_folder
from edge.errors import EX_CANTCREAT, ConfigError, Fault, TwinhdrError

KEPT = ".last-good"


class FileError(TwinhdrError):
    """A file of the configuration cannot be written; it is as it was. The text says what to do."""

    exit_code = EX_CANTCREAT


def kept_path(path: Path) -> Path:
    """Where the last good version of a file is kept; no layer, because of its name."""
    return path.with_name(path.name + KEPT)


def read_layer(path: Path) -> str | None:
    """The text of a file with its byte order mark and line ends; None where there is none.

    Raises ConfigError as reading it for a recording would.
    """
    try:
        path.lstat()
        with path.open("rb") as file:
            data = file.read(config_file.MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise ConfigError([Fault(str(path), None, "", "a link to nowhere; delete it")]) from None
        return None
    except OSError as error:
        hint = "use sudo" if isinstance(error, PermissionError) else "check the path and the disk"
        raise ConfigError([Fault(str(path), None, "", f"{error.strerror or error}; {hint}")]) from None
    config_file.decode(data, str(path))
    return data.decode()


def write_file(path: Path, text: str, *, keep: bool) -> None:
    """Replace or make ``path``. With ``keep`` its old text goes to `kept_path` first. Raises FileError.

    Mode and owner stay; a new file can be read by everybody, as the service must.
    """
    _refuse_link(path)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755)
        before = path.stat() if path.exists() else None
        if keep and before is not None:
            _replace(kept_path(path), path.read_bytes(), before)
        _replace(path, text.encode(), before)
    except OSError as error:
        raise FileError(_cause(path, error)) from None
    except UnicodeEncodeError:
        raise FileError(f"{path}: the text holds characters that UTF-8 cannot code; delete them") from None


def delete_file(path: Path, *, keep: bool) -> None:
    """Delete ``path``, which may be gone already; ``keep`` and errors as in `write_file`."""
    _refuse_link(path)
    try:
        if keep and path.exists():
            _replace(kept_path(path), path.read_bytes(), path.stat())
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(_cause(path, error)) from None


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        target = os.readlink(path)
        raise FileError(f"{path}: a link to {target}, which is left alone; change that file")


def _replace(path: Path, data: bytes, like: os.stat_result | None) -> None:
    """Through a new file of an unguessable name: root writes in conf.d, too, which is the service's."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644 if like is None else stat.S_IMODE(like.st_mode))
            if like is not None and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):  # only root gives files away
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _cause(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: may not be written by this user; use sudo"
    if error.errno == errno.EROFS:
        return f"{path}: the disk is read-only; see dmesg, and mount it writable"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full; make room. The file is as it was"
    return f"{path}: cannot be written: {error.strerror or error}; check the path and the disk"
