"""What C libraries do behind Python's back: print, and keep memory."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import tempfile
from collections.abc import Iterator

_M_ARENA_MAX = -8  # of mallopt(3)


def share_heaps(count: int) -> None:
    """Have all threads share ``count`` heaps of glibc's malloc; with another C library nothing happens.

    By default each thread gets its own, and frames that one thread allocates and another frees leave holes in
    all of them: a recorder of 23 threads grew by megabytes an hour while Python held no more than before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, count)


def give_back_memory() -> None:
    """Have glibc's malloc return what nobody uses to the kernel; with another C library nothing happens.

    By itself it returns only the end of a heap. What one burst of late frames took would stay taken: in an
    hour of recording on a machine that was busy for a few minutes that was 1 MB of 182.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def native_messages() -> Iterator[list[str]]:
    """Catch what C libraries write to standard error; afterwards the one item is the text.

    Process-wide while it lasts: other threads' output in that time is caught too. libjpeg and libtiff inside
    OpenCV have no other way to report damage, and OpenEXR (which also prints through Python) to be quiet.
    """
    messages: list[str] = []
    with tempfile.TemporaryFile() as sink, contextlib.redirect_stdout(io.StringIO()):
        stderr = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield messages
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            messages.append(os.pread(sink.fileno(), 65536, 0).decode(errors="replace"))
