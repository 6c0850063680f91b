"""Running one generation: its turn, its time, and its place among those in progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from recoup.cache.counters import PipelineCounters
from recoup.cache.failures import failure_kind, refuse_one_shot
from recoup.cache.lookup_steps import Progress, Request
from recoup.cache.open_results import OpenResult
from recoup.cache.state import CacheState


class GenerationRunner:
    """Runs generations, and counts those in progress and those that failed.

    Args:
        state: The cache's state.
    """

    def __init__(self, state: CacheState) -> None:
        self._state = state

    def count_failure(self, pipeline: str, progress: Progress, error: BaseException) -> None:
        """Count a generation that failed, by its kind."""
        with self._state.lock:
            self.count_end(pipeline, progress).failures[failure_kind(error)] += 1

    def count_end(self, pipeline: str, progress: Progress) -> PipelineCounters:
        """Count that a generation is over, under the lock; gives the counters of its pipeline."""
        counters = self._state.store.of(pipeline)
        if progress.counted and counters.generating:  # a process that was forked has none of its parent's
            counters.generating -= 1
        return counters

    def run(self, request: Request, generate: Callable[[], Any], progress: Progress) -> tuple[Any, float]:
        """Generate when it is the request's turn; gives the result and the seconds that it took."""
        if request.limiter is None:
            return self._timed(request.pipeline, generate, progress)
        with request.limiter.admit():
            return self._timed(request.pipeline, generate, progress)

    def _timed(self, pipeline: str, generate: Callable[[], Any], progress: Progress) -> tuple[Any, float]:
        self._count_start(pipeline, progress)
        clock = self._state.clock
        started = clock()
        value = generate()
        cost = clock() - started
        refuse_one_shot(value)
        return value, cost

    async def arun(
        self,
        request: Request,
        generate: Callable[[], Awaitable[Any]],
        progress: Progress,
        opened: Callable[[OpenResult], None],
    ) -> tuple[Any, float]:
        """`run` for coroutines; `opened` is called with a result that is still coming."""
        if request.limiter is None:
            return await self._atimed(request.pipeline, generate, progress, opened)
        async with request.limiter.admit():
            return await self._atimed(request.pipeline, generate, progress, opened)

    async def _atimed(
        self,
        pipeline: str,
        generate: Callable[[], Awaitable[Any]],
        progress: Progress,
        opened: Callable[[OpenResult], None],
    ) -> tuple[Any, float]:
        self._count_start(pipeline, progress)
        clock = self._state.clock
        started = clock()
        value = await generate()
        if isinstance(value, OpenResult):
            opened(value)
            value = await value.whole()
        cost = clock() - started
        refuse_one_shot(value)
        return value, cost

    def _count_start(self, pipeline: str, progress: Progress) -> None:
        if not progress.counted:
            with self._state.lock:
                self._state.store.of(pipeline).generating += 1
                progress.counted = True
