"""The password of the page: hashed with scrypt (RFC 7914), in a file of its own that only the service reads.

A line of the file: ``scrypt$N$r$p$salt$hash``, salt and hash in base64. The parameters are OWASP's with the
least memory per guess that they allow (16 MiB), for devices that share theirs with a GPU.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from edge.errors import EX_CANTCREAT, EX_DATAERR, TwinhdrError

N: Final = 2**14
R: Final = 8
P: Final = 5
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
MEMORY_LIMIT: Final = 64 * 2**20
LEAST_CHARACTERS: Final = 10
MOST_BYTES: Final = 512
LONGEST_FILE: Final = 512


class PasswordError(TwinhdrError):
    """The password cannot be taken, or its file cannot be read or written."""

    exit_code = EX_DATAERR


class PasswordFileError(PasswordError):
    """The file of the password cannot be written."""

    exit_code = EX_CANTCREAT


def hashed(password: str) -> str:
    """A line for the file. Takes a tenth of a second or more. Raises PasswordError."""
    if len(password) < LEAST_CHARACTERS:
        raise PasswordError(f"the password needs at least {LEAST_CHARACTERS} characters; four words are fine")
    if len(password.encode()) > MOST_BYTES:
        raise PasswordError(f"the password may have at most {MOST_BYTES} bytes")
    salt = secrets.token_bytes(SALT_BYTES)
    parts = (_text(salt), _text(_scrypt(password, salt, N, R, P)))
    return f"scrypt${N}${R}${P}${parts[0]}${parts[1]}"


def fits(password: str, line: str) -> bool:
    """Whether ``password`` is the one of ``line``. Takes as long for a wrong one as for the right one.

    Raises PasswordError where the line is none of ours.
    """
    try:
        kind, n, r, p, salt, wanted = line.strip().split("$")
        parameters = int(n), int(r), int(p)
        salt_bytes, hash_bytes = (base64.b64decode(part, validate=True) for part in (salt, wanted))
        if kind != "scrypt" or len(hash_bytes) != HASH_BYTES:
            raise ValueError("another format")
        found = _scrypt(password, salt_bytes, *parameters)
    except (ValueError, binascii.Error, MemoryError) as error:
        raise PasswordError("the file of the page's password is damaged; run twinhdr password") from error
    return hmac.compare_digest(found, hash_bytes)


def read(file: Path) -> str | None:
    """The line of the file; None where there is no password. Raises PasswordError."""
    try:
        with file.open() as opened:
            return opened.read(LONGEST_FILE).strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise PasswordError(f"{file}: {reason}; run twinhdr password, as root on a device") from error


def write(file: Path, line: str) -> None:
    """Replace the file as a whole, readable by the folder's owner only. Raises PasswordFileError."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            if os.geteuid() == 0:
                folder = file.parent.stat()
                os.fchown(handle, folder.st_uid, folder.st_gid)
            os.write(handle, f"{line}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        fresh.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise PasswordFileError(f"{file}: {error.strerror}; on a device: sudo twinhdr password") from error


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=MEMORY_LIMIT,
        dklen=HASH_BYTES,
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
