"""The worker's side of `workers.WorkerPool`: one process that runs one function at a time, and the frames both speak.

A frame is a length (8 bytes, big-endian) and that many bytes of pickle. Both ends are this package in one and the same
installation, joined by a socket pair that nobody else holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from typing import Any

from recoup.errors import GenerationError, GenerationFailedError, RequestError

_LENGTH = struct.Struct("!Q")
#: Out of memory, the kernel shall end a worker rather than the service (the range is -1000 to 1000).
_OUT_OF_MEMORY_SCORE = "500"
#: The worker's first answer to a request: from here on its death is the request's failure.
BEGUN = b"begun"
#: What a fresh interpreter runs to become a worker: arguments are the parent's `sys.path` and a file descriptor.
BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from recoup.pipelines.worker_process import main; main(int(sys.argv[2]))"
)


def command(descriptor: int) -> list[str]:
    """The command line of a worker that talks over the inherited socket `descriptor`."""
    return [sys.executable, "-c", BOOTSTRAP, json.dumps([str(entry) for entry in sys.path]), str(descriptor)]


def send_frame(channel: socket.socket, payload: bytes, deadline: float | None = None) -> None:
    """Send one frame.

    Raises:
        TimeoutError: `deadline` (of `time.monotonic`) passed.
        OSError: The other side is gone.
    """
    channel.settimeout(_remaining(deadline))
    channel.sendall(_LENGTH.pack(len(payload)))
    channel.settimeout(_remaining(deadline))
    channel.sendall(payload)


def receive_frame(channel: socket.socket, deadline: float | None = None) -> bytearray:
    """Receive one frame.

    Raises:
        TimeoutError: `deadline` (of `time.monotonic`) passed.
        EOFError: The other side closed.
        OSError: The other side is gone.
    """
    (length,) = _LENGTH.unpack(_receive(channel, _LENGTH.size, deadline))
    return _receive(channel, length, deadline)


def _receive(channel: socket.socket, length: int, deadline: float | None) -> bytearray:
    payload = bytearray(length)
    view = memoryview(payload)
    while view:
        channel.settimeout(_remaining(deadline))
        received = channel.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return payload


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def main(descriptor: int) -> None:
    """Be a worker: until the parent closes its end or dies, run what it sends."""
    _stand_apart()
    channel = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_parent, args=(descriptor,), name="recoup-parent", daemon=True).start()
    try:
        initializer, initargs, niceness = pickle.loads(receive_frame(channel))  # noqa: S301  # the parent's own words
        os.nice(niceness)
        greeting = _execute(_initialize, initializer, initargs)
        send_frame(channel, greeting)
        while pickle.loads(greeting)[0]:  # noqa: S301  # made above; with a failed initializer there is nothing to serve
            request = receive_frame(channel)
            send_frame(channel, BEGUN)
            send_frame(channel, _execute(_run, request))
    except (EOFError, OSError):
        return  # the parent is gone


def _stand_apart() -> None:
    """Leave the service's process group; outlive the signals that ask the service to drain."""
    os.setpgrp()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # a handler and not SIG_IGN: programs that a generator starts do not inherit it
        signal.signal(signum, lambda *_: None)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # Linux only
        score.write(_OUT_OF_MEMORY_SCORE)


def _end_with_parent(descriptor: int) -> None:
    """Wait for the other end to be closed, then end this process and all that it started."""
    poller = select.poll()
    poller.register(descriptor, 0)  # hang-up and errors are always reported
    poller.poll()
    os.killpg(0, signal.SIGKILL)


def _initialize(initializer: Any, initargs: tuple[Any, ...]) -> None:
    if initializer is not None:
        initializer(*initargs)


def _run(frame: bytearray) -> Any:
    function, args = pickle.loads(frame)  # noqa: S301  # the parent's own words
    return function(*args)


def _execute(function: Any, *args: Any) -> bytes:
    """The pickled reply: (True, value, "") or (False, error, its traceback as text)."""
    try:
        return pickle.dumps((True, function(*args), ""), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the request fails and the worker lives
        return pickle.dumps((False, _portable(error), traceback.format_exc()), pickle.HIGHEST_PROTOCOL)


def _portable(error: BaseException) -> Exception:
    """The error itself where it is Recoup's own and survives pickling, else its type and text."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    if not isinstance(error, (RequestError, GenerationError)):
        return GenerationFailedError(text)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # made one line above
    except Exception:  # noqa: BLE001  # pickling runs the error's own code
        return GenerationFailedError(text)
    return error
