"""What the tests of the core share: a clock that stands still, and threads that end within a time limit."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

#: Seconds that anything concurrent may take before it counts as a hang.
TIME_LIMIT = 30.0


class Threads:
    """Threads that begin together, and hand their errors and results to the test."""

    def __init__(self, functions: Iterable[Callable[[], Any]]) -> None:
        functions = list(functions)
        self.results: list[Any] = [None] * len(functions)
        self.errors: list[BaseException | None] = [None] * len(functions)
        self._start = threading.Barrier(max(1, len(functions)))
        self._threads = [
            threading.Thread(target=self._run, args=(place, function), daemon=True)
            for place, function in enumerate(functions)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, place: int, function: Callable[[], Any]) -> None:
        try:
            self._start.wait(TIME_LIMIT)
            self.results[place] = function()
        except BaseException as error:
            self.errors[place] = error

    def settle(self) -> Threads:
        """Wait for all of them, whatever they raise."""
        for thread in self._threads:
            thread.join(TIME_LIMIT)
        assert not [thread for thread in self._threads if thread.is_alive()], "a thread hangs"
        return self

    def join(self) -> list[Any]:
        """Wait for all of them, and give their results; the first error is raised."""
        self.settle()
        for error in self.errors:
            if error is not None:
                raise error
        return self.results


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions in threads that begin together; their results."""
    return Threads(functions).join()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait, without a guess at how long, for what another thread is about to do."""
    pause = threading.Event()
    for _ in range(int(TIME_LIMIT / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("waited in vain")


def in_a_new_process(program: str, *arguments: str, **environ: str) -> str:
    """What a Python program prints in a process of its own, with nothing in its environment but `environ`."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(
        command, env={"PYTHONPATH": ":".join(filter(None, sys.path)), **environ}, capture_output=True, text=True,
        check=True, timeout=120,
    ).stdout  # fmt: skip


def order(cache: Any) -> list[Any]:
    """The keys held, used last first."""
    return [entry["key"] for entry in cache.entries(limit=1_000_000)]


def assert_consistent(cache: Any) -> None:
    """What holds at any moment at rest: sizes add up, limits hold, and pipelines add up to the total."""
    stats = cache.stats()  # first: it lets go of what has expired, and a page of entries does not
    entries = cache.entries(limit=1_000_000)
    assert len(entries) == stats.entries == len(cache) == len(set(cache))
    assert sum(entry["size_bytes"] for entry in entries) == stats.memory_bytes
    assert stats.entries <= stats.config["max_size"]
    assert stats.memory_bytes <= stats.max_memory_bytes
    assert {entry["key"] for entry in entries} == set(cache)
    for name in ("entries", "memory_bytes", "hits", "misses", "stale", "coalesced", "bypassed", "unused_evictions"):
        assert sum(getattr(figures, name) for figures in stats.pipelines.values()) == getattr(stats, name)
