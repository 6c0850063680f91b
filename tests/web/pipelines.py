"""Pipelines for tests of the web: fast, counted, and blocked where a test wants it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from clock import FakeClock
from recoup.errors import UnprocessableError
from recoup.pipelines.protocol import Prepared, Request, Result

Clock = FakeClock
#: No test waits longer than this for another thread.
LIMIT_SECONDS = 60.0


class Counting:
    """A pipeline that counts its generations; `holding` makes them wait until `release`."""

    kind = "python"
    version = "1"
    timeout_seconds = 10.0

    def __init__(self, name: str = "echo", **given: Any) -> None:
        self.name = name
        self.ttl_seconds: float | None = given.get("ttl_seconds")
        self.max_concurrent: int = given.get("max_concurrent", 4)
        self.max_waiting: int = given.get("max_waiting", 8)
        self.key_headers: tuple[str, ...] = given.get("key_headers", ())
        self.ignore_headers: tuple[str, ...] = given.get("ignore_headers", ())
        self.refresh: str = given.get("refresh", "anyone")
        self.accepts: list[str] = given.get("accepts", ["*/*"])
        self.generations = 0
        self.last_headers: dict[str, tuple[bytes, ...]] = {}
        self.error: Exception | None = None
        self.result: Any = None
        self.storable = True
        self.is_ready = True
        self.started = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._go = threading.Event()
        self._go.set()
        self._held: list[Callable[[], object]] = []

    def hold(self) -> None:
        """Let generations begin, and not end."""
        self._go.clear()

    def release(self) -> None:
        """Let generations end."""
        with self._lock:
            self._go.set()
            held, self._held = self._held, []
        for let_go in held:
            let_go()

    def wait_until_generating(self) -> None:
        """Wait until one more generation has begun."""
        assert self.started.acquire(timeout=LIMIT_SECONDS)

    def prepare(self, request: Request) -> Prepared:
        if request.body == b"unusable":
            raise UnprocessableError("This body is not to be generated.")
        return Prepared((request.body, request.content_type, dict(request.query)), request)

    async def generate(self, prepared: Prepared) -> Result:
        self.generations += 1
        number = self.generations
        self.last_headers = dict(prepared.job.headers)
        self.started.release()
        while not self._go.is_set():
            await self._wait_for_release()
        if self.error is not None:
            raise self.error
        if self.result is not None:
            return self.result  # type: ignore[no-any-return]
        return Result(b"%d of " % number + prepared.job.body, "text/x-echo", storable=self.storable)

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "description": "Answers with its own body.",
            "accepts": self.accepts,
            "produces": ["text/x-echo"],
            "parameters": [],
            "ttl_seconds": self.ttl_seconds,
            "timeout_seconds": self.timeout_seconds,
            "max_concurrent": self.max_concurrent,
            "max_waiting": self.max_waiting,
            "key_headers": list(self.key_headers),
            "ignore_headers": list(self.ignore_headers),
        }

    async def _wait_for_release(self) -> None:
        loop = asyncio.get_running_loop()
        released = asyncio.Event()
        with self._lock:
            if self._go.is_set():
                return
            self._held.append(lambda: loop.call_soon_threadsafe(released.set))
        await asyncio.wait_for(released.wait(), LIMIT_SECONDS)

    async def start(self) -> None:
        """Nothing to start."""

    def ready(self) -> bool:
        return self.is_ready

    async def close(self, grace_seconds: float) -> None:
        """Nothing to end."""
