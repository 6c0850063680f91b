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
PATIENCE = 100.0


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose time can be put forward, so that no test waits for a time limit to pass."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


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

    def skip(self, seconds: float) -> None:
        """Put the time of a `SkippingLoop` forward, once it has nothing else to do."""

        async def put_forward() -> None:
            self.loop.skipped += seconds  # type: ignore[attr-defined]

        self.run(put_forward())

    def blocking(self, thing: T) -> T:
        """The same thing, with coroutine methods that block the calling thread instead."""
        return _Blocking(self, thing)  # type: ignore[return-value]


class _Blocking:
    def __init__(self, thread: LoopThread, thing: Any) -> None:
        vars(self).update(_thread=thread, _thing=thing)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._thing, name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "unblocked":
            return self._thing
        attribute = getattr(self._thing, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        @functools.wraps(attribute)
        def call(*args: Any, **options: Any) -> Any:
            return self._thread.run(attribute(*args, **options))

        return call


@contextmanager
def loop_thread(
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> Iterator[LoopThread]:
    """A loop that runs until the block ends, in which nothing may be left to do."""
    loop = make()
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
