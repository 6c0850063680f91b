"""Lookups in tasks of their own: a generation belongs to its flight, not to the connection of the first caller.

A leader's task goes on when its caller leaves. Followers wait in tasks as well, and hold no body: they share the
leader's request, which means the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from recoup.cache import Lookup, LRUCache, Mode
from recoup.cache.open_results import Decision
from recoup.errors import GenerationFailedError, QueueFullError, RecoupError
from recoup.in_flight import Holding, InFlight, budget_of_this_context
from recoup.pipelines.protocol import Pipeline, Prepared, Result
from recoup.web.generation.request import GenerationRequest, Route
from recoup.web.generation.waiting import Admission
from recoup.web.sending import Receive, caller_leaves


class LookupTasks:
    """Runs lookups. Of one event loop.

    Args:
        cache: Holds the results.
        wait_seconds: How long a follower waits; None: as long as it takes.
        admission: Bounds who waits.
        budget: What upstreams' answers are held in.
    """

    def __init__(self, cache: LRUCache, wait_seconds: float | None, *, admission: Admission, budget: InFlight) -> None:
        self._cache = cache
        self._wait_seconds = wait_seconds
        self._admission = admission
        self._budget = budget
        self._leading: dict[str, Prepared] = {}
        self._tasks: set[asyncio.Task[Lookup[Any]]] = set()

    async def run(self, request: GenerationRequest, mode: Mode, receive: Receive, holding: Holding) -> Lookup[Any]:
        """Look up in a task of its own, for as long as the caller stays; a leader's goes on without it.

        Raises:
            CallerLeftError: Its connection was closed.
        """
        leader = None if mode == "bypass" else self._leading.get(request.key)
        if leader is None:
            task = self._lead(request, mode, holding)
        else:
            holding.release()
            task = self._follow(request._replace(prepared=leader), mode)
        left = asyncio.ensure_future(caller_leaves(receive))
        try:
            await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            if leader is not None and not task.done():
                task.cancel()
        if not task.done():
            raise CallerLeftError
        return task.result()

    def _lead(self, request: GenerationRequest, mode: Mode, holding: Holding) -> asyncio.Task[Lookup[Any]]:
        """Begin what may become a generation. It keeps the body until it ends."""
        self._admit(request.route, self._admission.enter_leader)
        kept, key = holding.hand_over(), request.key
        prepared = request.prepared
        if mode != "bypass":
            self._leading[key] = prepared

        def end(_: object) -> None:
            self._admission.leave_leader()
            kept.release()
            if self._leading.get(key) is prepared:
                del self._leading[key]

        return self._begin(request, mode, end)

    def _follow(self, request: GenerationRequest, mode: Mode) -> asyncio.Task[Lookup[Any]]:
        """Wait for what another request has begun."""
        name = request.route.name
        self._admit(request.route, partial(self._admission.enter_follower, name))
        return self._begin(request, mode, lambda _: self._admission.leave_follower(name))

    def _admit(self, route: Route, enter: Callable[[], None]) -> None:
        try:
            enter()
        except QueueFullError as error:
            self._cache.record_failure(route.name, error)
            raise

    def _begin(
        self, request: GenerationRequest, mode: Mode, end: Callable[[object], None]
    ) -> asyncio.Task[Lookup[Any]]:
        with budget_of_this_context(self._budget):
            task = asyncio.get_running_loop().create_task(self.fetch(request, mode))
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(end)
        task.add_done_callback(_note_seen)
        return task

    def fetch(self, request: GenerationRequest, mode: Mode) -> Coroutine[Any, Any, Lookup[Any]]:
        """The lookup itself, for the caller alone."""
        route = request.route
        return self._cache.afetch(
            request.key,
            partial(_generate, route.pipeline, request.prepared),
            pipeline=route.name,
            ttl_seconds=route.ttl_seconds,
            mode=mode,
            limiter=route.limiter,
            wait_seconds=self._wait_seconds,
            bypass_reason=request.bypass_reason,
            decide=_decision,
        )


class CallerLeftError(Exception):
    """The caller closed its connection before its answer."""


def _note_seen(task: asyncio.Task[Lookup[Any]]) -> None:
    """Take note of a task's error, which its caller may not be there any more to see."""
    if not task.cancelled():
        task.exception()


def _decision(result: Result) -> Decision:
    return result.decision()


async def _generate(pipeline: Pipeline, prepared: Prepared) -> Result:
    try:
        result: object = await pipeline.generate(prepared)
    except RecoupError:
        raise
    except Exception as error:
        raise GenerationFailedError(f"The generator raised {type(error).__name__}: {error}") from error
    if not isinstance(result, Result):
        raise GenerationFailedError(f"The generator gave {type(result).__name__} instead of a result.")
    return result
