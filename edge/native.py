"""What C libraries print behind Python's back."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator


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
