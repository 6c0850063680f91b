"""Whether connections wait because no more are accepted: as many are open as may be, or no file can be opened.

The server says nothing of it. It stops accepting, and the kernel keeps who comes in its queue, where the service does
not see them. The length of that queue is looked at once a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

#: Seconds between two looks.
LOOK_SECONDS = 1.0
#: Looks with and without somebody in the queue after which an episode begins and ends. One who comes just then waits
#: for a moment in any case, and a service at its limit accepts somebody now and then.
_LOOKS_TO_BEGIN, _LOOKS_TO_END = 2, 10
#: Of a socket that listens: how many connections wait to be accepted (Linux, `tcpi_unacked` of struct tcp_info).
_WAITING = struct.Struct("=24xI")

_log = logging.getLogger(__name__)


class AcceptWatch:
    """Says once when connections begin to wait, and once when none has waited for some time.

    Args:
        waiting: How many connections wait to be accepted.
        connections: How many may be open at one time.
    """

    def __init__(self, waiting: Callable[[], int], connections: int) -> None:
        self._waiting = waiting
        self._connections = connections
        self._looks = self._seconds = 0
        self._most = 0
        self.running_out = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from now on, as long as the loop runs."""
        self.look()
        loop.call_later(LOOK_SECONDS, self.start, loop)

    def look(self) -> None:
        """Look once."""
        waiting = self._waiting()
        if self.running_out:
            self._go_on(waiting)
            return
        self._looks = self._looks + 1 if waiting else 0
        if self._looks >= _LOOKS_TO_BEGIN:
            self.running_out = True
            self._looks, self._seconds, self._most = 0, 0, waiting
            _log.warning(
                "connections wait: no more are accepted",
                extra={
                    "waiting": waiting,
                    "connections_limit": self._connections,
                    "open_files": open_files(),
                    "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                },
            )

    def _go_on(self, waiting: int) -> None:
        self._seconds += 1
        self._most = max(self._most, waiting)
        self._looks = 0 if waiting else self._looks + 1
        if self._looks >= _LOOKS_TO_END:
            self.running_out = False
            seconds = (self._seconds - _LOOKS_TO_END) * LOOK_SECONDS
            self._looks = 0
            _log.warning("connections are accepted again", extra={"seconds": seconds, "most_waiting": self._most})


def waiting_connections(listener: socket.socket) -> int:
    """How many connections wait to be accepted; 0 where the system does not tell."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    with suppress(OSError, struct.error):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
        return int(_WAITING.unpack(info)[0])
    return 0


def open_files() -> int | None:
    """How many files this process has open; None where the system does not tell, or has no file left to tell by."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None
