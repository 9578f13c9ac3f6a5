"""Engines on disk: a folder with plan files, and a proof per model, size and cut that names them.

The proof is the only file that is ever replaced, in one rename. Plan files are named by their content and are
there, synced, before the proof that names them; those that no proof names any more go last. So whatever
moment the power fails at, the proof on disk names plans that are whole: the old ones or the new ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.durable import sync_folder
from edge.engines import EngineError
from edge.engines.plan import (
    AGREEMENT_DB,
    LARGEST_PROOF,
    Cut,
    Identity,
    PartFile,
    Proof,
    ProofError,
    differences,
    read_proof,
    write_proof,
)

SYSTEM_FOLDER = Path("/var/lib/twinhdr")
VARIABLE = "TWINHDR_ENGINES"
PARTIAL = ".partial"
BUILD = "build it again: twinhdr-export engine"


def engine_folder() -> Path:
    """``$TWINHDR_ENGINES``, else below the device's state folder, else in this user's cache."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    if SYSTEM_FOLDER.is_dir():
        return SYSTEM_FOLDER / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinhdr" / "engines"


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine that may be used: its plans are whole, of this machine and proven."""

    proof: Proof
    plans: tuple[bytes, ...]


class EngineStore:
    """The engines in one folder. Reading needs no lock; writers exclude each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def proof_path(self, model: str, width: int, height: int, cut: Cut) -> Path:
        """Where the proof of this engine lies, if there is one."""
        return self.folder / f"{_plain(model)}-{width}x{height}-{cut}.json"

    def proof(self, path: Path) -> Proof:
        """The proof at ``path``. Raises EngineError for one that cannot be read or believed."""
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_PROOF + 1)
            if len(data) > LARGEST_PROOF:
                raise ProofError("larger than any proof: damaged")
            return read_proof(data)
        except OSError as error:
            raise EngineError(f"{path}: cannot be read ({error.strerror}); {BUILD}") from error
        except ProofError as error:
            raise EngineError(f"{path}: {error}; {BUILD}") from None

    def usable(self, model: str, here: Identity) -> Proof:
        """The proof of an engine for ``here``: same key, and it agrees. Raises EngineError."""
        path = self.proof_path(model, here.width, here.height, here.cut)
        proof = self.proof(path)
        try:
            built = proof.built_for()
        except ProofError as error:
            raise EngineError(f"{path}: {error}; {BUILD}") from None
        if differing := differences(built, here):
            raise EngineError(f"{path}: built for {differing}; {BUILD}")
        if proof.worst_db < AGREEMENT_DB:
            raise EngineError(
                f"{path}: agrees with FP32 to {proof.worst_db:.1f} dB on {proof.worst_scene}, and "
                f"{AGREEMENT_DB:g} dB are needed; {BUILD} --force"
            )
        return proof

    def load(self, model: str, here: Identity) -> StoredEngine:
        """The engine for ``here``, its plans checked byte by byte. Raises EngineError.

        TensorRT ends the process over some damaged plans; so none is handed to it that is not what was
        proven.
        """
        proof = self.usable(model, here)
        return StoredEngine(proof, tuple(self._plan(part) for part in proof.parts))

    def _plan(self, part: PartFile) -> bytes:
        path = self.folder / part.file
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno()).st_size
                if found != part.bytes:
                    word = "truncated" if found < part.bytes else "longer than what was proven"
                    raise EngineError(f"{path}: {word} ({found} of {part.bytes} bytes); {BUILD} --force")
                data = file.read()
        except OSError as error:
            raise EngineError(f"{path}: cannot be read ({error.strerror}); {BUILD} --force") from error
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise EngineError(f"{path}: damaged, its checksum is not the proven one; {BUILD} --force")
        return data

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for a build. Raises EngineError where another one does or it is not writable."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise EngineError(
                f"{self.folder}: cannot be written ({error.strerror}); run this as the user of the service "
                f"(sudo -u twinhdr), or name another folder in ${VARIABLE}"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EngineError(f"{self.folder}: another build is at work there; wait for it") from None
            yield

    def being_written(self) -> bool:
        """Whether a build is at work here."""
        try:
            with (self.folder / ".lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def part_files(self, model: str, here: Identity, plans: Sequence[bytes]) -> tuple[PartFile, ...]:
        """Names and checksums under which ``commit`` will write ``plans``."""
        files = []
        for plan in plans:
            sha256 = hashlib.sha256(plan).hexdigest()
            name = f"{_plain(model)}-{here.width}x{here.height}-{here.cut}.{sha256[:16]}.engine"
            files.append(PartFile(file=name, bytes=len(plan), sha256=sha256))
        return tuple(files)

    def commit(self, proof: Proof, plans: Sequence[bytes]) -> Path:
        """Write plans, then the proof in place of the old one, then remove what no proof names.

        Inside ``writing``. Raises EngineError; the old engine is then in use as before.
        """
        here = proof.built_for()
        path = self.proof_path(proof.model, here.width, here.height, here.cut)
        try:
            for part, plan in zip(proof.parts, plans, strict=True):
                write_whole(self.folder / part.file, plan)
            write_whole(path, write_proof(proof))
        except OSError as error:
            self._clean()  # on a full disk above all
            raise EngineError(
                f"{self.folder}: the engine cannot be written ({error.strerror}); the old one stays in use"
            ) from error
        self._clean()
        return path

    def _clean(self) -> None:
        """Remove plans that no proof names and what an interrupted write left; what stays only costs room."""
        named = set()
        for path in self.folder.glob("*.json"):
            try:
                named |= {part.file for part in self.proof(path).parts}
            except EngineError:
                continue  # its plans cannot be used either
        for path in [*self.folder.glob("*.engine"), *self.folder.glob(f"*{PARTIAL}")]:
            if path.name not in named:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def write_whole(path: Path, data: bytes) -> None:
    """``data`` at ``path``, or what was there before: temporary file, fsync, rename, fsync of the folder."""
    partial = path.with_name(path.name + PARTIAL)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(partial, path)
    sync_folder(path.parent)


def _plain(name: str) -> str:
    """A name that is no path and no surprise."""
    return re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)[:100]
