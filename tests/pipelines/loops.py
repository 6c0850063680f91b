"""An event loop in a thread of its own, for tests that are no coroutines themselves."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

#: Seconds until a test that waits for the loop gives up; only a hang takes as long.
PATIENCE = 60.0
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class LoopThread:
    """Runs coroutines, and waits for them in the calling thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result(PATIENCE)

    def blocking(self, thing: T) -> T:
        """The same thing, with coroutine methods that block the calling thread instead."""
        return _Blocking(self, thing)  # type: ignore[return-value]


class _Blocking:
    def __init__(self, thread: LoopThread, thing: Any) -> None:
        self._thread, self._thing = thread, thing

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._thing, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        @functools.wraps(attribute)
        def call(*args: Any, **options: Any) -> Any:
            return self._thread.run(attribute(*args, **options))

        return call


@contextmanager
def loop_thread(kind: str = "uvloop") -> Iterator[LoopThread]:
    """A loop that runs until the block ends, in which nothing may be left to do."""
    loop = LOOPS[kind]()
    thread = threading.Thread(target=loop.run_forever, name="test-loop", daemon=True)
    thread.start()
    try:
        yield LoopThread(loop)
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        left = asyncio.all_tasks(loop)
        loop.close()
    assert not left, left
