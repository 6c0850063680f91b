"""Worker processes for generators: each runs one function at a time, and can die or be ended without harm to others.

Every worker has a socket pair of its own, so that nothing is shared that a killed worker could leave locked or half
written. The pool has no threads: the caller of `run` itself waits for the answer and for its deadline.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from recoup.errors import GenerationFailedError, GenerationTimeoutError, QueueFullError, WorkerDiedError
from recoup.pipelines.worker_process import command, receive_frame, send_frame

T = TypeVar("T")

#: A worker that has not finished its initializer by then counts as dead.
START_SECONDS = 60.0
#: How long a worker may take to go by itself once its end is certain.
_EXIT_SECONDS = 1.0
#: Numerical libraries start a thread for each core unless told otherwise; a worker is one core.
_ONE_CORE = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


class RemoteTraceback(Exception):  # noqa: N818  # it is a cause that prints, never raised
    """The traceback of an error in a worker, as text: the `__cause__` of the error that `run` raises."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


class _NotBegunError(WorkerDiedError):
    """The worker died before it began."""


class WorkerPool:
    """A fixed number of worker processes.

    Args:
        workers: Processes; each runs one function at a time.
        timeout_seconds: Seconds that one function may run. Waiting for a free worker does not count.
        initializer: Called with `initargs` in each worker before its first function; importable.
        niceness: Added to the workers' own niceness, so that answering hits goes before generating.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_seconds: float,
        initializer: Callable[..., None] | None = None,
        initargs: tuple[Any, ...] = (),
        niceness: int = 19,
    ) -> None:
        self._workers = workers
        self._timeout = timeout_seconds
        self._greeting = pickle.dumps((initializer, initargs, niceness))
        self._changed = threading.Condition()
        self._idle: deque[_Worker | None] = deque()  # None: a place whose worker could not be started yet
        self._busy: set[_Worker] = set()
        self._started = self._closed = False

    def start(self) -> None:
        """Start the workers and wait until each has run its initializer. A second call does nothing.

        Raises:
            WorkerDiedError: A worker died, or did not finish its initializer within `START_SECONDS`.
            GenerationFailedError: The initializer raised.
        """
        with self._changed:
            if self._started:
                return
            self._idle.extend(self._start_all())
            self._started = True
            self._changed.notify_all()

    def _start_all(self) -> list[_Worker]:
        workers: list[_Worker] = []
        try:
            for _ in range(self._workers):
                workers.append(_Worker(self._greeting))  # noqa: PERF401  # those before a failure must be ended
            for worker in workers:
                worker.warm_up()
        except BaseException as error:
            for worker in workers:
                worker.end()
            if isinstance(error, OSError):
                raise WorkerDiedError(f"no worker process could be started: {error}") from error
            raise
        return workers

    def ready(self) -> bool:
        """Whether some worker can run a function now or is running one. Starts anew what died while idle."""
        with self._changed:
            if self._closed or not self._started:
                return False
            for _ in range(len(self._idle)):
                worker = self._idle.popleft()
                self._idle.append(worker if worker and worker.alive() else self._replace(worker))
            return bool(self._busy) or any(worker is not None and worker.is_warm() for worker in self._idle)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` in a worker and wait for what it returns. Everything must be picklable.

        Raises:
            WorkerDiedError: The worker died; another takes its place.
            GenerationTimeoutError: It was past `timeout_seconds`; its process is gone.
            GenerationFailedError: The function raised something else; the message names type and text.
            QueueFullError: The pool is closed.
            RequestError: As the function raised it; so are `GenerationError` and its kinds.
        """
        request = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        # each idle worker may turn out to have been killed a moment ago
        for _ in range(self._workers):
            with contextlib.suppress(_NotBegunError):
                return self._run_in(self._take(), request, function)
        return self._run_in(self._take(), request, function)

    def _run_in(self, worker: _Worker, request: bytes, _function: Callable[..., T]) -> T:
        try:
            worker.warm_up()
            reply = worker.call(request, self._timeout)
        except BaseException:
            self._give_back(worker, broken=True)
            raise
        self._give_back(worker)
        value: T = _unwrap(reply)
        return value

    def close(self, grace_seconds: float) -> None:
        """Refuse what comes, let running functions finish for `grace_seconds`, end them, and end the workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy, grace_seconds)
            for worker in self._busy:
                worker.kill()  # whoever waits for it gets WorkerDiedError, and gives it back
            self._changed.wait_for(lambda: not self._busy)
            idle = [worker for worker in self._idle if worker is not None]
            self._idle.clear()
        for worker in idle:
            worker.dismiss()
        for worker in idle:
            worker.end()

    def _take(self) -> _Worker:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed or not self._started)
            if self._closed:
                raise QueueFullError("the service is going down and generates nothing more")
            if not self._started:
                raise GenerationFailedError("the worker pool was never started")
            worker = self._idle.pop()
            if worker is None or not worker.alive():
                worker = self._replace(worker)
            if worker is None:
                self._idle.appendleft(None)
                raise WorkerDiedError("no worker process could be started")
            self._busy.add(worker)
            return worker

    def _give_back(self, worker: _Worker, *, broken: bool = False) -> None:
        if broken:
            worker.end()
        with self._changed:
            self._busy.discard(worker)
            if not broken:
                self._idle.append(worker)  # the most recently used is taken first: its memory is warm
            elif not self._closed:
                self._idle.appendleft(self._replace(None))
            self._changed.notify_all()

    def _replace(self, worker: _Worker | None) -> _Worker | None:
        if worker is not None:
            worker.end()
        try:
            return _Worker(self._greeting)
        except OSError:
            return None  # no process to be had now; the next one who needs it tries again


class _Worker:
    """The parent's hold on one worker process. Used by one thread at a time; `kill` by any."""

    def __init__(self, greeting: bytes) -> None:
        self._warm = False
        self._channel, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # a generator's prints are no part of the service's output
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **_ONE_CORE},
                )
            send_frame(self._channel, greeting)
        except BaseException:
            self._channel.close()
            raise

    def alive(self) -> bool:
        return self._process.poll() is None

    def is_warm(self) -> bool:
        """Whether the initializer is through; only asks, never waits for it."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        if not self._warm and poller.poll(0):
            with contextlib.suppress(GenerationFailedError):  # it is dead, and will be found so
                self.warm_up()
        return self._warm

    def warm_up(self) -> None:
        """Wait until the initializer is through."""
        if self._warm:
            return
        try:
            with self._death_as(_NotBegunError):
                greeting = receive_frame(self._channel, time.monotonic() + START_SECONDS)
        except TimeoutError:
            raise WorkerDiedError(f"the worker process did not start within {START_SECONDS:g} seconds") from None
        _unwrap(greeting)
        self._warm = True

    def call(self, request: bytes, timeout_seconds: float) -> bytearray:
        """Send a request and wait for the reply.

        Raises:
            _NotBegunError: The worker died before it had the request: another can have it.
        """
        deadline = time.monotonic() + timeout_seconds
        try:
            with self._death_as(_NotBegunError):
                send_frame(self._channel, request, deadline)
                receive_frame(self._channel, deadline)
            with self._death_as(WorkerDiedError):
                return receive_frame(self._channel, deadline)
        except TimeoutError:
            raise GenerationTimeoutError(f"the generation ran over its {timeout_seconds:g} seconds") from None

    @contextlib.contextmanager
    def _death_as(self, kind: type[WorkerDiedError]) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise
        except (EOFError, OSError):
            raise kind(f"the worker process {self._how_it_ended()}") from None

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"exited with status {code}"
        return f"was killed by {signal.Signals(-code).name}"

    def kill(self) -> None:
        """End the process and all that it started, now."""
        if not self.alive():
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a process group of its own
        except ProcessLookupError:
            self._process.kill()  # it is so young that it has no group yet

    def dismiss(self) -> None:
        """Close the connection: the worker's sign to go."""
        self._channel.close()

    def end(self) -> None:
        """Make sure that the process is gone and nothing of it is left."""
        self._channel.close()
        self.kill()
        self._process.wait()


def _unwrap(reply: bytearray) -> Any:
    try:
        succeeded, value, trace = pickle.loads(reply)  # noqa: S301  # from our own worker
    except Exception as error:
        raise GenerationFailedError(f"the worker's answer cannot be read: {type(error).__name__}: {error}") from error
    if succeeded:
        return value
    raise value from RemoteTraceback(trace)
