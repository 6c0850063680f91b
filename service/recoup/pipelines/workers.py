"""Worker processes for generators: each runs one function at a time, and can die or be ended without harm to others.

Every worker has a socket pair of its own, so that nothing is shared that a killed worker could leave locked or half
written. Waiting for one takes a task of the event loop and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from recoup.errors import GenerationFailedError, QueueFullError, WorkerDiedError
from recoup.pipelines.frames import Frame, pack
from recoup.pipelines.time_limit import time_limit
from recoup.pipelines.worker import NotBegunError, Worker, unwrap
from recoup.pipelines.worker_limits import WorkerLimits, cpu_seconds, worker_environment

T = TypeVar("T")


class WorkerPool:
    """A fixed number of worker processes, used on one event loop.

    Args:
        workers: Processes; each runs one function at a time.
        timeout_seconds: Seconds that one function may run. Waiting for a free worker does not count.
        initializer: Called with `initargs` in each worker before its first function; importable.
        niceness: Added to the workers' own niceness, so that answering hits goes before generating.
        memory_bytes: Address space of one worker; None: no limit.
        environment: Variables of the workers' environment, beside those that programs need to run at all.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_seconds: float,
        initializer: Callable[..., None] | None = None,
        initargs: tuple[Any, ...] = (),
        niceness: int = 19,
        memory_bytes: int | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._workers = workers
        self._timeout = timeout_seconds
        limits = WorkerLimits(memory_bytes, cpu_seconds(timeout_seconds))
        # The first workers are awaited by the start; those that take another's place let the service go first at once.
        self._first_greeting = pack((initializer, initargs, (0, niceness), limits))
        self._greeting = pack((initializer, initargs, (niceness, 0), limits))
        self._environment = dict(environment)
        self._idle: deque[Worker | None] = deque()  # None: a place whose worker could not be started
        self._busy: set[Worker] = set()
        self._waiting: deque[asyncio.Future[Worker | None]] = deque()
        self._warming: set[Worker] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._running = 0
        self._calm = asyncio.Event()
        self._started = self._closed = False

    async def start(self) -> None:
        """Start the workers and wait until each has run its initializer. A second call does nothing.

        Raises:
            WorkerDiedError: A worker died, or did not finish its initializer within `START_SECONDS`.
            GenerationFailedError: The initializer raised.
        """
        if self._started:
            return
        self._loop = asyncio.get_running_loop()
        starts = [self._loop.create_task(self._start_one()) for _ in range(self._workers)]
        try:
            await asyncio.wait(starts)
        except asyncio.CancelledError:
            for start in starts:
                start.add_done_callback(_kill_made)
                start.cancel()
            raise
        workers = [start.result() for start in starts if start.exception() is None]
        if len(workers) < self._workers:
            await asyncio.gather(*(worker.end() for worker in workers))
            raise next(filter(None, (start.exception() for start in starts)))
        for worker in workers:
            self._offer(worker)
        self._started = True

    def ready(self) -> bool:
        """Whether some worker can run a function now or is running one. May be called in any thread.

        Where none can, it has the workers started that could not be started before.
        """
        if self._closed or not self._started:
            return False
        if self._busy or any(worker is not None for worker in tuple(self._idle)):
            return True
        self._loop.call_soon_threadsafe(self._start_missing)
        return False

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` in a worker and wait for what it returns. Everything must be picklable.

        A caller who is cancelled ends the worker's process, and another takes its place.

        Raises:
            WorkerDiedError: The worker died; another takes its place.
            GenerationTimeoutError: It was past `timeout_seconds`; its process is gone.
            GenerationFailedError: The function raised something else; the message names type and text.
            QueueFullError: The pool is closed.
            RequestError: As the function raised it; so are `GenerationError` and its kinds.
        """
        request = pack((function, args))
        # each idle worker may turn out to have been killed a moment ago
        for _ in range(self._workers):
            with contextlib.suppress(NotBegunError):
                return await self._run_once(request, function)
        return await self._run_once(request, function)

    async def _run_once(self, request: Frame, _function: Callable[..., T]) -> T:
        worker = await self._take()
        try:
            reply = await worker.call(request, self._timeout)
        except Exception:
            await self._retire(worker)
            raise
        except BaseException:
            worker.kill()
            self._in_background(self._retire(worker))
            raise
        self._give_back(worker)
        value: T = await unwrap(reply)
        return value

    async def close(self, grace_seconds: float) -> None:
        """Refuse what comes, let running functions finish for `grace_seconds`, end them, and end the workers."""
        self._closed = True
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(_going_down())
        await self._settle(grace_seconds)
        for worker in (*self._busy, *self._warming):
            worker.kill()  # the caller that waits for it gets WorkerDiedError
        await self._settle(None)
        idle = [worker for worker in self._idle if worker is not None]
        self._idle.clear()
        for worker in idle:
            worker.unwatch()
            worker.dismiss()
        await asyncio.gather(*(worker.end() for worker in idle), *self._background)

    async def _settle(self, seconds: float | None) -> None:
        """Wait until nothing runs."""
        self._calm.clear()
        if not self._running:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            async with time_limit(seconds):
                await self._calm.wait()

    async def _take(self) -> Worker:
        """A worker of one's own, the callers' turns in the order of their coming."""
        if self._closed:
            raise _going_down()
        if not self._started:
            raise GenerationFailedError("the worker pool was never started")
        worker = self._next_idle() if self._idle else await self._turn()
        self._running += 1
        try:
            if worker is None:
                worker = await self._start_late()
        except BaseException:
            self._leave()
            raise
        self._busy.add(worker)
        return worker

    async def _turn(self) -> Worker | None:
        turn: asyncio.Future[Worker | None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._offer(turn.result())  # it came as its caller went
            raise

    async def _start_late(self) -> Worker:
        """Start a worker that could not be started when its place became free."""
        try:
            return await self._start_one()
        except BaseException:
            self._offer(None)
            raise

    def _next_idle(self) -> Worker | None:
        worker = self._idle.pop()
        if worker is not None:
            worker.unwatch()
        return worker

    def _offer(self, worker: Worker | None) -> None:
        """Have a place taken by who waits for one, or keep it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(worker)
                return
        if worker is None:
            self._idle.appendleft(None)
            return
        self._idle.append(worker)  # the most recently used is taken first: its memory is warm
        worker.watch(self._died_idle)

    def _give_back(self, worker: Worker) -> None:
        self._busy.discard(worker)
        self._offer(worker)
        self._leave()

    def _leave(self) -> None:
        self._running -= 1
        if not self._running:
            self._calm.set()

    async def _retire(self, worker: Worker) -> None:
        """End a worker that was used, and have another take its place."""
        worker.kill()
        self._in_background(self._replace())
        try:
            await asyncio.shield(self._in_background(worker.end()))
        finally:
            self._busy.discard(worker)
            self._leave()

    def _died_idle(self, worker: Worker) -> None:
        worker.unwatch()
        self._idle.remove(worker)
        self._in_background(worker.end())
        self._in_background(self._replace())

    def _start_missing(self) -> None:
        """Try again to start what could not be started."""
        while self._idle and self._idle[0] is None and not self._closed:
            self._idle.popleft()
            self._in_background(self._replace())

    async def _replace(self) -> None:
        """Fill a place whose worker is gone."""
        worker: Worker | None = None
        if not self._closed:
            # if it fails, the next caller that needs the place tries again, and gets the error
            with contextlib.suppress(GenerationFailedError, QueueFullError):
                worker = await self._start_one()
        if not self._closed:
            self._offer(worker)
        elif worker is not None:
            await worker.end()

    async def _start_one(self) -> Worker:
        """A worker that has run its initializer."""
        environment = worker_environment(os.environ, self._environment)
        making = asyncio.ensure_future(asyncio.to_thread(Worker, environment))
        try:
            worker = await asyncio.shield(making)
        except OSError as error:
            raise WorkerDiedError(f"no worker process could be started: {error}") from error
        except asyncio.CancelledError:
            making.add_done_callback(_kill_made)
            raise
        self._warming.add(worker)
        try:
            if self._closed:
                raise _going_down()
            await worker.warm_up(self._greeting if self._started else self._first_greeting)
        except BaseException:
            await worker.end()
            raise
        finally:
            self._warming.discard(worker)
        return worker

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _going_down() -> QueueFullError:
    return QueueFullError("the service is going down and generates nothing more")


def _kill_made(making: asyncio.Future[Worker]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().kill()
