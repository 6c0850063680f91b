"""The worker's side of `workers.WorkerPool`: one process that runs one function at a time."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from recoup.errors import GenerationError, GenerationFailedError, RequestError
from recoup.pipelines.frames import Frame, pack, receive_frame, send_frame, unpack
from recoup.pipelines.worker_limits import WorkerLimits

#: Out of memory, the kernel shall end a worker rather than the service (the range is -1000 to 1000).
_OUT_OF_MEMORY_SCORE = "500"
#: Characters of an error's text, and of its traceback, that go to the service.
_MESSAGE_CHARACTERS = 2_000
_TRACEBACK_CHARACTERS = 20_000
#: The worker's first answer to a request: from here on its death is the request's failure.
BEGUN = pack("begun")
#: What a fresh interpreter runs to become a worker: arguments are the parent's `sys.path` and a file descriptor.
BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from recoup.pipelines.worker_process import main; main(int(sys.argv[2]))"
)


def command(descriptor: int) -> list[str]:
    """The command line of a worker that talks over the inherited socket `descriptor`."""
    return [sys.executable, "-c", BOOTSTRAP, json.dumps([str(entry) for entry in sys.path]), str(descriptor)]


def main(descriptor: int) -> None:
    """Be a worker: until the parent closes its end or dies, run what it sends."""
    _stand_apart()
    channel = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_parent, args=(descriptor,), name="recoup-parent", daemon=True).start()
    limits: WorkerLimits
    try:
        initializer, initargs, (niceness, further_niceness), limits = unpack(receive_frame(channel))
        os.nice(niceness)
        limits.limit_memory()
        greeting = _execute(_initialize, initializer, initargs)
        os.nice(further_niceness)
        send_frame(channel, greeting)
        while unpack(greeting)[0]:  # with a failed initializer there is nothing to serve
            _serve(channel, limits)
    except (EOFError, OSError):
        return  # the parent is gone


def _serve(channel: socket.socket, limits: WorkerLimits) -> None:
    request = receive_frame(channel)
    send_frame(channel, BEGUN)
    limits.limit_processor()
    send_frame(channel, _execute(_run, request))


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


def _run(frame: Frame) -> Any:
    function, args = unpack(frame)
    return function(*args)


def _execute(function: Any, *args: Any) -> Frame:
    """The packed reply: (True, value, "") or (False, error, its traceback as text)."""
    try:
        return pack((True, function(*args), ""))
    except BaseException as error:  # noqa: BLE001  # whatever it is, the request fails and the worker lives
        return pack((False, _portable(error), traceback.format_exc()[-_TRACEBACK_CHARACTERS:]))


def _portable(error: BaseException) -> Exception:
    """The error itself where it is Recoup's own and survives pickling, else its type and text."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    if not isinstance(error, (RequestError, GenerationError)):
        return GenerationFailedError(_bounded(text))
    if len(str(error)) > _MESSAGE_CHARACTERS:
        error.args = (_bounded(str(error)),)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # made one line above
    except Exception:  # noqa: BLE001  # pickling runs the error's own code
        return GenerationFailedError(_bounded(text))
    return error


def _bounded(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 4] + " ..."
