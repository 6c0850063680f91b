"""Lookups that go past the cache: a generation for one caller alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from recoup.cache.flights import mark, unmark
from recoup.cache.generating import GenerationRunner
from recoup.cache.lookup_steps import Bypass, Progress, Request
from recoup.cache.open_results import OpenResult
from recoup.cache.state import CacheState
from recoup.cache.stats import Lookup


class Bypasser:
    """Generates past the cache.

    Args:
        state: The cache's state.
        runner: Runs its generations.
    """

    def __init__(self, state: CacheState, runner: GenerationRunner) -> None:
        self._state = state
        self._runner = runner

    def run(self, request: Request, bypass: Bypass, generate: Callable[[], Any]) -> Lookup[Any]:
        """Generate for this caller alone; what it gives is not stored."""
        progress = Progress(False)
        before = None if bypass.flight is None else mark(bypass.flight)
        try:
            value, cost = self._runner.run(request, generate, progress)
        except BaseException as error:
            self._runner.count_failure(request.pipeline, progress, error)
            raise
        finally:
            if before is not None:
                unmark(before)
        return self._end(request, bypass, progress, value, cost)

    async def arun(self, request: Request, bypass: Bypass, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        """`run` for coroutines."""
        progress = Progress(False)
        before = None if bypass.flight is None else mark(bypass.flight)
        try:
            opened = partial(self._opened, request, bypass)
            value, cost = await self._runner.arun(request, generate, progress, opened)
        except BaseException as error:
            self._runner.count_failure(request.pipeline, progress, error)
            raise
        finally:
            if before is not None:
                unmark(before)
        return self._end(request, bypass, progress, value, cost)

    def _end(self, request: Request, bypass: Bypass, progress: Progress, value: Any, cost: float) -> Lookup[Any]:
        """Count a generation past the cache, and answer. Never fails: the result is there."""
        price = 0.0
        try:
            price = request.decision(value).price_of(cost)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("accounting", error)
        with self._state.lock:
            self._runner.count_end(request.pipeline, progress).count_generation("bypass", cost, price)
        return Lookup(value, "bypass", cost_seconds=cost, bypass_reason=bypass.reason, price=price)

    def _opened(self, request: Request, bypass: Bypass, value: OpenResult) -> None:
        if request.on_open is None:
            return
        try:
            request.on_open(Lookup(value, "bypass", bypass_reason=bypass.reason))
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)
