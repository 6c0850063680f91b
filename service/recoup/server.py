"""Serving: Granian, in one serving process with one event loop, and its orderly end.

Granian runs an application in a child of its own main process. So there are two: the main process listens, starts,
watches and ends; the serving process holds the cache, answers, and is the parent of the generation workers. On the
first SIGTERM (or SIGINT, or SIGHUP) the main process asks the serving one to drain: `/readyz` turns 503, nothing new is
generated, and hits are still answered until the running generations have been, and what is being sent has arrived, or
the grace period is over. Then it closes the listener and both end. A second signal ends both at once.
docs/explanation/server.md explains why.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from recoup.accepting import AcceptWatch, waiting_connections
from recoup.allocators import return_large_blocks
from recoup.cache import ResultCache
from recoup.errors import ConfigurationError, RecoupError
from recoup.listener import BACKLOG, MOST_CONNECTIONS, connections_for, listen, raise_descriptor_limit
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings
from recoup.telemetry import configure_logging
from recoup.telemetry.logs import flush_log
from recoup.web.app import MOST_WAITING, create_app
from recoup.web.asgi import Application, Service
from recoup.web.banner import print_banner

#: Exit statuses, as of a command line: all went well, it ended before its time, it could not begin.
EXIT_DONE, EXIT_CUT_SHORT, EXIT_UNUSABLE = 0, 1, 2

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds for what should take none: the last answers on their way out, a process to end.
_MARGIN_SECONDS = 5
#: Bytes that the server holds of one connection, beside its queue: the head of a request, what is being written.
_BUFFER_BYTES = 128 * 1024
#: The share of the connections that is kept for requests that need not wait.
_NOT_WAITING = 1 / 4
#: Seconds that a thread computes before another one has its turn: the event loop's is never far away.
_SWITCH_SECONDS = 0.001
#: The collector looks at all that waits, some thirty objects a caller, and every request waits meanwhile. Cycles,
#: which it is for, hardly come about here, so it looks more rarely than by default (700, 10, 10).
_COLLECTOR_THRESHOLDS = (10_000, 20, 50)
#: Of a process' finalizers the one with the highest priority runs first; those of `multiprocessing` have at most 100.
_BEFORE_ALL_ELSE = 1000
#: What the main process sends, and what the serving one answers.
_DRAIN, _DRAINED, _CUT_SHORT = "drain", "drained", "cut short"

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until a signal says to stop.

    Returns:
        The exit status: 0 when everything that ran was answered; 1 when it ended before that; 2 when it could not
        start; standard error says why.
    """
    configure_logging(settings.log_format, settings.log_level)
    connections = connections_for(raise_descriptor_limit())
    try:
        listener = listen(settings.host, settings.port)
        _pipelines(settings)  # a mistake in them is reported before anything is started
    except ConfigurationError as error:
        return _unusable(str(error))
    ours, theirs = multiprocessing.Pipe()
    server = _Server(listener, connections)
    supervisor = _Supervisor(server, ours, settings.grace_seconds)
    configure_logging(settings.log_format, settings.log_level)  # Granian has set up its own meanwhile
    try:
        load = partial(_load, settings, listener, connections, theirs, ours)
        server.serve(target_loader=load, wrap_loader=False)
    except SystemExit:
        _log.debug("serving_process_failed")
    return supervisor.exit_status()


def _pipelines(settings: Settings) -> PipelineRegistry:
    return load_pipelines(settings.pipelines, upstream=settings.upstream, relief_workers=settings.workers)


class _Server(MPServer):
    """Granian, on a socket of ours: its own would share the port with any process that asks for it (SO_REUSEPORT)."""

    def __init__(self, listener: socket.socket, connections: int) -> None:
        host, port = listener.getsockname()[:2]
        self._listener = listener
        super().__init__(
            "recoup",
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            loop=Loops.uvloop,
            workers=1,
            backlog=BACKLOG,
            backpressure=connections,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(max_buffer_size=_BUFFER_BYTES),
            websockets=False,
            log_level=LogLevels.error,
            workers_kill_timeout=_MARGIN_SECONDS,
        )

    def _init_shared_socket(self) -> None:
        attributes: Any = self  # Granian's own are typed as what it first sets them to
        attributes._ssp = attributes._sso = None
        attributes._sfd = self._listener.fileno()
        holder: Any = SocketHolder  # its stub has no arguments
        attributes._shd = holder(self._listener.fileno(), False, BACKLOG)


def _unusable(message: str) -> int:
    sys.stderr.write(f"recoup: {message}\n")
    return EXIT_UNUSABLE


class _Supervisor:
    """The main process' part: from the first signal to the exit status."""

    def __init__(self, server: MPServer, control: Connection, grace_seconds: float) -> None:
        self._server = server
        self._control = control
        self._grace = grace_seconds
        self._asked = self._killed = False
        self._ended = ""
        server.on_startup(self._take_signals)

    def _take_signals(self) -> None:
        """Put our handler in the place of the server's own, which would close the listener at once."""
        self._stop: Any = signal.getsignal(signal.SIGTERM)
        for signum in _SIGNALS:
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._asked:
            self._kill()
            return
        self._asked = True
        for worker in self._server.wrks:
            worker.interrupt_by_parent = True  # it may get the signal, too, and then ends by itself
        self._control.send(_DRAIN)
        threading.Thread(target=self._finish, name="recoup-drain", daemon=True).start()

    def _finish(self) -> None:
        """Wait until the serving process has drained, and let the server stop."""
        for _ in range(int((self._grace + 2 * _MARGIN_SECONDS) * 10)):
            if self._control.poll(0.1):
                self._ended = self._control.recv()
                break
            if not any(worker.is_alive() for worker in self._server.wrks):  # type: ignore[no-untyped-call]
                self._ended = _DRAINED  # by itself: Granian answers what runs before it ends
                break
        else:
            self._kill()
        self._stop(signal.SIGTERM, None)

    def _kill(self) -> None:
        self._killed = True
        for worker in self._server.wrks:
            worker.kill()  # type: ignore[no-untyped-call]
        self._stop(signal.SIGTERM, None)

    def exit_status(self) -> int:
        """The exit status, when all is over."""
        if self._killed or self._ended == _CUT_SHORT:
            return EXIT_CUT_SHORT
        if self._asked:
            return EXIT_DONE
        if self._control.poll():
            return _unusable(self._control.recv())
        _log.error("serving_process_died")
        return EXIT_CUT_SHORT


def _load(
    settings: Settings, listener: socket.socket, connections: int, control: Connection, other_end: Connection
) -> Application:
    """The serving process' part: make the application. Granian calls it there, with its event loop set."""
    other_end.close()  # so that the main process' death is the end of `control`
    return_large_blocks()
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.setpgrp()  # Ctrl-C is for the main process alone
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_DFL)  # those of the main process were inherited; Granian's are still to come
    configure_logging(settings.log_format, settings.log_level, background=True)
    loop = asyncio.get_event_loop()
    try:
        pipelines = _pipelines(settings)
        most_waiting = min(MOST_WAITING, int(connections * (1 - _NOT_WAITING)))
        app = create_app(settings, ResultCache(**settings.cache_options()), pipelines, most_waiting=most_waiting)
        loop.run_until_complete(pipelines.start())
    except RecoupError as error:
        control.send(str(error))
        sys.exit(EXIT_UNUSABLE)
    if connections < MOST_CONNECTIONS:
        _log.warning(
            "few files may be open, so few connections", extra={"connections": connections, "wanted": MOST_CONNECTIONS}
        )
    # What is there now stays: a full collection would look at all of it again, and some request would wait for it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    # `multiprocessing` runs no `atexit` in a child. By then the listener is closed, and all has been answered.
    Finalize(None, _log_account, args=(app.service.cache,), exitpriority=_BEFORE_ALL_ELSE)
    threading.Thread(target=_obey, args=(app.service, loop, control), name="recoup-control", daemon=True).start()
    loop.call_soon(AcceptWatch(partial(waiting_connections, listener), connections).start, loop)
    loop.call_soon(print_banner, settings, list(pipelines.values()))  # it runs with the loop, which serves then
    return app


def _log_account(cache: ResultCache) -> None:
    """Log the totals of the cache since its start, which the last scrape may have missed."""
    stats = cache.stats()
    outcomes = ("hits", "misses", "stale", "coalesced", "bypassed")
    _log.info(
        "service stopped",
        extra={
            **{outcome: getattr(stats, outcome) for outcome in outcomes},
            "hit_ratio": stats.hit_ratio,
            "recouped_seconds": round(stats.recouped_seconds, 3),
            "uptime_seconds": round(stats.uptime_seconds, 3),
        },
    )
    flush_log(_MARGIN_SECONDS)


def _obey(service: Service, loop: asyncio.AbstractEventLoop, control: Connection) -> None:
    """Wait for the word to drain, and drain. Without the main process, end."""
    try:
        control.recv()
        drained = asyncio.run_coroutine_threadsafe(drain(service), loop).result()
        control.send(_DRAINED if drained else _CUT_SHORT)
        control.recv()
    except (EOFError, OSError):
        os._exit(EXIT_CUT_SHORT)  # the generation workers end with their parent


async def drain(service: Service) -> bool:
    """Let nothing new be generated, and let what runs or is being sent finish within the grace period, or end it.

    Returns:
        Whether all of it finished.
    """
    service.admission.close()
    finished = await service.wait_until_idle(service.settings.grace_seconds)
    for pipeline in service.pipelines.values():
        await pipeline.close(0.0)
    if not finished:
        # Callers that still wait get the error that their worker is gone.
        await service.wait_until_answered(_MARGIN_SECONDS)
    return finished
