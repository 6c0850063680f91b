"""Long JSON is read in processes of their own, so that the event loop never waits for a parser.

A parser works in C, and holds the interpreter until it is done: 31 MB take up to a fifth of a second, and meanwhile
the event loop of the same process stands still, in whatever thread the parser runs. Splitting a text needs a parser,
and none of the fast ones lets the interpreter go. So what is longer than `AT_HOME_BYTES` goes to another process, which
runs the very same function: what comes of it does not depend on where it ran.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from recoup.allocators import return_large_blocks
from recoup.errors import GenerationError, OverloadedError
from recoup.pipelines.workers import WorkerPool

T = TypeVar("T")

#: What a parser is done with in some milliseconds, whatever is in it, is read in this process, in a thread.
AT_HOME_BYTES: Final = 1 << 20
#: As many as there are threads that compute keys.
_PROCESSES = 2
#: Reading is linear, and takes seconds where nobody else lets it have the processor.
_TIMEOUT_SECONDS = 60.0
#: Memory that reading takes: some, and so many times the text. Four bytes for a character are the most that a string
#: takes, and there are three copies of it: decoded, parsed, written.
_MEMORY_BYTES, _MEMORY_TIMES = 256 << 20, 24


class Aside:
    """The processes that read long JSON. They are started when the first such text comes, and end with this process.

    Until `start`, everything is read in this process.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: WorkerPool | None = None
        self._starting = asyncio.Lock()

    def start(self) -> None:
        """Use other processes from now on, by way of the loop that runs."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End the processes. What comes from now on is read in this one."""
        self._loop = None
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(0.0)

    async def run(self, size: int, function: Callable[..., T], *args: Any) -> T:
        """What `function(*args)` gives, which takes time in proportion to `size` bytes. Everything is picklable.

        Raises:
            OverloadedError: The process died, was late, or had too little memory, twice.
            RequestError: As the function raised it.
        """
        if size <= AT_HOME_BYTES or self._loop is None:
            return await asyncio.to_thread(function, *args)
        return await self._run(size, function, args)

    def run_in_thread(self, size: int, function: Callable[..., T], *args: Any) -> T:
        """As `run`, for a thread that waits.

        Raises:
            OverloadedError: As `run`.
            RequestError: As the function raised it.
        """
        loop = self._loop
        if size <= AT_HOME_BYTES or loop is None or _runs_here(loop):
            return function(*args)
        return asyncio.run_coroutine_threadsafe(self._run(size, function, args), loop).result()

    async def _run(self, size: int, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            pool = await self._started()
            return await pool.run(_within_limits, size, function, args)
        except GenerationError as error:
            raise OverloadedError(f"{size} bytes of JSON could not be read: {error}") from error

    async def _started(self) -> WorkerPool:
        async with self._starting:
            if self._pool is None:
                pool = WorkerPool(
                    workers=_PROCESSES,
                    timeout_seconds=_TIMEOUT_SECONDS,
                    initializer=_begin,
                    niceness=0,  # a hit may wait for it
                )
                await pool.start()
                self._pool = pool
            return self._pool


#: Reads everything in this process.
AT_HOME: Final = Aside()


def _begin() -> None:
    """Runs in the other process first: what a text took goes back to the system."""
    return_large_blocks()


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is the loop's own thread, which must not wait for it."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _within_limits(size: int, function: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Runs in the other process: with as much memory as a text of this size takes, and no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _address_space() + _MEMORY_BYTES + _MEMORY_TIMES * size
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    return function(*args)


def _address_space() -> int:
    """Bytes of address space that this process has; more than any where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 40
