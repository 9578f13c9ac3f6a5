"""The receive buffer of a stream's socket, before its first packet.

Aravis sets the size it was asked for when the first packet has come; until then the kernel's default holds a
fifth of a frame, and the first frame of a busy host is lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat


def enlarge(port: int, size: int) -> int | None:
    """Give this process's UDP socket on ``port`` a receive buffer of ``size`` bytes.

    Returns what the kernel granted (net.core.rmem_max limits it); None where there is no such socket.
    """
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile, or no socket of this kind
            if not stat.S_ISSOCK(os.stat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as link:  # shares the open socket, not its lifetime
                if link.family != socket.AF_INET or link.type != socket.SOCK_DGRAM:
                    continue
                if link.getsockname()[1] != port:
                    continue
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                return link.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel doubles it
    return None
