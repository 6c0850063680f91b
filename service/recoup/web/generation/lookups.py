"""Lookups in tasks of their own: a generation belongs to its flight, not to the connection of the first caller.

A leader's task goes on when its caller leaves. Followers wait in tasks as well, and hold no body: they share the
leader's request, which means the same, but keep their own headers. Some of these may be ignored in the key, and should
the leader's result be for the leader alone, each of them generates as itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from recoup.cache import Lookup, Mode, ResultCache
from recoup.cache.open_results import Decision, OpenResult
from recoup.cache.stats import Outcome, StreamEnd
from recoup.errors import GenerationFailedError, QueueFullError, RecoupError
from recoup.in_flight import Holding, InFlight, budget_of_this_context
from recoup.pipelines.group_templates import GroupTemplates
from recoup.pipelines.protocol import TOO_LARGE, Pipeline, Prepared, Request, Result
from recoup.pipelines.stream import Reader, Stream
from recoup.web.generation.request import GenerationRequest, Route
from recoup.web.generation.waiting import Admission
from recoup.web.sending import Caller

#: Seconds that an answer may take to become whole, once it has begun, before it is passed on as it comes: so a short
#: one is answered with what became of it. One whose parts mean something by themselves is passed on at once.
_WHOLE_SECONDS = 0.01
#: A body of more bytes is not read on the event loop, to find its groups.
_LARGE_BYTES = 1 << 16


class LookupTasks:
    """Runs lookups. Of one event loop.

    Args:
        cache: Holds the results.
        wait_seconds: How long a follower waits; None: as long as it takes.
        admission: Bounds who waits.
        budget: What upstreams' answers are held in.
    """

    def __init__(
        self, cache: ResultCache, wait_seconds: float | None, *, admission: Admission, budget: InFlight
    ) -> None:
        self._cache = cache
        self._wait_seconds = wait_seconds
        self._admission = admission
        self._budget = budget
        self._leading: dict[str, Prepared] = {}
        self._tasks: set[asyncio.Task[Lookup[Any]]] = set()

    async def run(
        self,
        request: GenerationRequest,
        mode: Mode,
        caller: Caller,
        holding: Holding,
        begins: Callable[[Outcome], None],
        *,
        early: bool = False,
    ) -> Whole | Beginning:
        """Look up in a task of its own, for as long as the caller stays; a leader's goes on without it.

        Args:
            request: What is asked for.
            mode: How it is looked up.
            caller: Who asks.
            holding: Holds the request's body.
            begins: Called once it is let in, with the outcome that it has if it fails.
            early: Whether an answer may begin before it is whole.

        Raises:
            CallerLeftError: The caller's connection was closed.
        """
        opening = _Opening() if early else None
        leader = None if mode == "bypass" else self._leading.get(request.key)
        if leader is None:
            task = self._lead(request, mode, holding, opening)
        else:
            holding.release()
            task = self._follow(request._replace(prepared=_shared(leader, request.prepared)), mode, opening)
        begins("bypass" if mode == "bypass" else "miss" if leader is None else "coalesced")
        left = caller.leaving
        begun = None
        try:
            begun = await _first_of(task, left, opening)
        finally:
            if opening is not None and begun is None:
                opening.close()
            if leader is not None and begun is None and not task.done():
                task.cancel()
        if begun is not None:
            return Beginning(begun, opening.reader, task if leader is not None else None)  # type: ignore[union-attr]
        if not task.done():
            raise CallerLeftError
        return Whole(task.result(), None if opening is None else opening.stream)

    def _lead(
        self, request: GenerationRequest, mode: Mode, holding: Holding, opening: _Opening | None
    ) -> asyncio.Task[Lookup[Any]]:
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

        return self._begin(request, mode, end, opening)

    def _follow(self, request: GenerationRequest, mode: Mode, opening: _Opening | None) -> asyncio.Task[Lookup[Any]]:
        """Wait for what another request has begun."""
        name = request.route.name
        self._admit(request.route, partial(self._admission.enter_follower, name))
        return self._begin(request, mode, lambda _: self._admission.leave_follower(name), opening)

    def _admit(self, route: Route, enter: Callable[[], None]) -> None:
        try:
            enter()
        except QueueFullError as error:
            self._cache.record_failure(route.name, error)
            raise

    def _begin(
        self, request: GenerationRequest, mode: Mode, end: Callable[[object], None], opening: _Opening | None
    ) -> asyncio.Task[Lookup[Any]]:
        with budget_of_this_context(self._budget):
            task = asyncio.get_running_loop().create_task(self.fetch(request, mode, opening))
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(end)
        if opening is not None:
            task.add_done_callback(partial(self._count_end, request.route.name, opening))
        task.add_done_callback(_note_seen)
        return task

    async def fetch(self, request: GenerationRequest, mode: Mode, opening: _Opening | None = None) -> Lookup[Any]:
        """The lookup itself, for the caller alone."""
        route = request.route
        return await self._cache.afetch(
            request.key,
            partial(_generate, route.pipeline, request.prepared),
            pipeline=route.name,
            ttl_seconds=route.ttl_seconds,
            mode=mode,
            limiter=route.limiter,
            wait_seconds=self._wait_seconds,
            bypass_reason=request.bypass_reason,
            decide=_decide,
            on_open=None if opening is None else opening.begin,
            groups=await _groups_of(route.pipeline, request.prepared) if mode != "bypass" else (),
        )

    def _count_end(self, pipeline: str, opening: _Opening, task: asyncio.Task[Lookup[Any]]) -> None:
        """Count how a generation ended that was passed on as it came, or might have been for as long as it likes."""
        stream = opening.stream
        if stream is None or not opening.generates or (stream.has_length and not opening.early):
            return
        end: StreamEnd
        if task.cancelled() or task.exception() is not None:
            end = "cut"
        elif stream.kept_out == TOO_LARGE:
            end = "too_large"
        else:
            end = "complete" if task.result().stored else "not_stored"
        self._cache.record_stream_end(pipeline, end)


class Whole(NamedTuple):
    """A lookup that has ended; `stream`: what its own generation gave before it was whole."""

    lookup: Lookup[Any]
    stream: Stream | None


class Beginning(NamedTuple):
    """A lookup whose answer has begun.

    Attributes:
        lookup: Its value is the stream.
        reader: Of its caller; to be closed.
        following: The task of a follower, which ends when its caller leaves in mid-stream; None: it is a leader's.
    """

    lookup: Lookup[Any]
    reader: Reader
    following: asyncio.Task[Lookup[Any]] | None

    def close(self) -> None:
        """Read no more."""
        # Its stream has ended: so will the lookup, when that is stored, and count what it recouped.
        ended = self.lookup.value.ended
        self.reader.close()
        if self.following is not None and not ended:
            self.following.cancel()


def _shared(leader: Prepared, own: Prepared) -> Prepared:
    """What a follower generates from, if it has to: the leader's body, and the follower's own headers."""
    if isinstance(leader.job, Request) and isinstance(own.job, Request):
        return replace(leader, job=replace(own.job, body=leader.job.body))
    return leader


class CallerLeftError(Exception):
    """The caller closed its connection before its answer."""


class _Opening:
    """Takes the open result of a lookup, and a place at its beginning for as long as its caller is there."""

    reader: Reader

    def __init__(self) -> None:
        self.begun: asyncio.Future[Lookup[Any]] = asyncio.get_running_loop().create_future()
        self.stream: Stream | None = None
        self.generates = self.early = self._closed = False

    def begin(self, lookup: Lookup[Any]) -> None:
        """Take it."""
        if not isinstance(lookup.value, Stream):
            return  # another pipeline's own: its end is waited for
        self.stream = lookup.value
        self.generates = lookup.outcome in ("miss", "bypass")
        if not self._closed:
            self.reader = lookup.value.reader()
            self.begun.set_result(lookup)

    def close(self) -> None:
        """The caller has left, or has its answer as a whole."""
        self._closed = True
        if self.begun.done():
            self.reader.close()


async def _first_of(
    task: asyncio.Task[Lookup[Any]], left: asyncio.Future[None], opening: _Opening | None
) -> Lookup[Any] | None:
    """Wait until a lookup has ended, its answer has begun, or its caller has left; the lookup if it has begun."""
    if opening is None:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        return None
    await asyncio.wait((task, left, opening.begun), return_when=asyncio.FIRST_COMPLETED)
    if opening.stream is None or left.done():
        return None
    if task.done():
        # Of a stream that broke off at once, its caller gets what came, as of any other that breaks off.
        opening.early = opening.stream.streams and opening.stream.size > 0 and task.exception() is not None
        return opening.begun.result() if opening.early else None
    if not opening.stream.streams:
        await asyncio.wait((task, left), timeout=_WHOLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if task.done() or left.done():
            return None
    opening.early = True
    return opening.begun.result()


def _note_seen(task: asyncio.Task[Lookup[Any]]) -> None:
    """Take note of a task's error, which its caller may not be there any more to see."""
    if not task.cancelled():
        task.exception()


async def _groups_of(pipeline: Pipeline, prepared: Prepared) -> tuple[str, ...]:
    """The groups that a pipeline puts a request's result in; in a thread, where reading the request takes long."""
    templates: GroupTemplates | None = getattr(pipeline, "groups", None)
    request = prepared.job
    if not templates or not isinstance(request, Request):
        return ()
    if len(request.body) <= _LARGE_BYTES:
        return templates.of(request)
    return await asyncio.to_thread(templates.of, request)


def _decide(result: Any) -> Decision:
    if isinstance(result, Stream):
        return result.head.decision()
    return result.decision() if isinstance(result, Result) else Decision()


async def _generate(pipeline: Pipeline, prepared: Prepared) -> Any:
    try:
        result: object = await pipeline.generate(prepared)
    except RecoupError:
        raise
    except Exception as error:
        raise GenerationFailedError(f"The generator raised {type(error).__name__}: {error}") from error
    if not isinstance(result, (Result, OpenResult)):
        raise GenerationFailedError(f"The generator gave {type(result).__name__} instead of a result.")
    return result
