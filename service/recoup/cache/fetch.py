"""The one way through the cache: a hit, a stale result, somebody else's generation, one's own, or past it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Literal, NamedTuple, NoReturn

from recoup.cache.counters import PipelineCounters
from recoup.cache.entry import CacheEntry
from recoup.cache.flights import ABANDONED, Flight, FlightResult, mark, unmark
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.read_path import ReadPath, TryHit
from recoup.cache.state import CacheState
from recoup.cache.stats import BypassReason, Lookup, MissReason, Outcome
from recoup.errors import GENERATION_ERROR_KINDS, FlightTimeoutError, NotCachedError, RecoupError

Mode = Literal["default", "bypass", "refresh", "only_if_cached"]
_NEVER = float("inf")


def failure_kind(error: BaseException) -> str:
    """The word for a failed generation: the error's own `kind`, else by its class."""
    kind = getattr(error, "kind", None)
    if kind in GENERATION_ERROR_KINDS:
        return str(kind)
    if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    cancelled = isinstance(error, concurrent.futures.CancelledError) or not isinstance(error, Exception)
    return "cancelled" if cancelled else "error"


class Request(NamedTuple):
    """What `fetch` was called with, but for how it generates."""

    key: Hashable
    pipeline: str
    ttl_seconds: float | None
    mode: Mode
    limiter: ConcurrencyLimiter | None
    wait_seconds: float | None
    bypass_reason: BypassReason
    store_if: Callable[[Any], object] | None


class Progress:
    """Whether a generation is counted as in progress. With a limiter, it is not before its turn."""

    __slots__ = ("counted",)

    def __init__(self, counted: bool) -> None:
        self.counted = counted


class Bypass(NamedTuple):
    """Generate past the cache. The bypass has been counted."""

    reason: BypassReason


class Lead(NamedTuple):
    """Generate for everybody. The miss has been counted, for this reason."""

    flight: Flight
    reason: MissReason
    progress: Progress


class Fetcher:
    """Looks up, joins or leads a generation, stores and answers.

    A miss takes the lock twice: to look again, count and lead; and to count, store and let go of the flight. With a
    limiter it takes it a third time, when it is the generation's turn.

    Args:
        state: The cache's state.
        read_path: Its readers.
        try_hit: Gives the live entry of a key, counted as a hit, without a lock.
    """

    def __init__(self, state: CacheState, read_path: ReadPath, try_hit: TryHit) -> None:
        self._state = state
        self._read_path = read_path
        self._try_hit = try_hit

    def fetch(self, request: Request, generate: Callable[[], Any]) -> Lookup[Any]:
        """See `ResultCache.fetch`."""
        while True:
            step = self._begin(request, None)
            try:
                if isinstance(step, Lookup):
                    return step
                if isinstance(step, Bypass):
                    return self._bypass(request, step.reason, generate)
                if isinstance(step, Lead):
                    return self._lead(request, step, generate)
                result = self._wait(step, request.wait_seconds)
                if result is not ABANDONED:
                    return self._coalesced(step, result)
            finally:
                # An error's traceback holds this frame, and a flight holds its error.
                del step

    async def afetch(self, request: Request, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        """See `ResultCache.afetch`."""
        while True:
            step = self._begin(request, asyncio.current_task())
            try:
                if isinstance(step, Lookup):
                    return step
                if isinstance(step, Bypass):
                    return await self._abypass(request, step.reason, generate)
                if isinstance(step, Lead):
                    return await self._alead(request, step, generate)
                result = await self._await(step, request.wait_seconds)
                if result is not ABANDONED:
                    return self._coalesced(step, result)
            finally:
                del step

    # --- how a lookup begins

    def _begin(self, request: Request, task: asyncio.Task[Any] | None) -> Lookup[Any] | Flight | Lead | Bypass:
        """The answer; or the flight to follow; or one to lead; or to generate past the cache."""
        try:
            if request.mode == "bypass":
                return self._past(request, request.bypass_reason)
            if request.mode != "refresh":
                entry = self._try_hit(request.key)
                if entry is not None:
                    return self._answered(entry, "hit")
            dropped: list[CacheEntry[Any]] = []
            with self._state.lock:
                return self._begin_locked(request, task, dropped)
        except RecoupError:
            raise
        except Exception as error:  # noqa: BLE001  # fail open: the caller gets a result from the generator
            self._state.note_internal_error("lookup", error)
            return self._past(request, "error")

    def _begin_locked(
        self, request: Request, task: asyncio.Task[Any] | None, dropped: list[CacheEntry[Any]]
    ) -> Lookup[Any] | Flight | Lead | Bypass:
        key, pipeline, mode = request.key, request.pipeline, request.mode
        state = self._state
        if not state.config.enabled:
            bypass = self._past(request, "disabled")
            if mode == "only_if_cached":
                self._refuse()
            return bypass
        # Between this caller's look-up and the lock, another flight may have ended.
        entry = state.store.live.get(key)
        now = state.clock()
        if entry is not None and mode != "refresh" and now < entry.expires_at:
            return self._answered(self._read_path.hit_locked(entry, now), "hit")
        flight = state.flights.get(key)
        if (
            flight is not None
            and entry is not None
            and mode != "refresh"
            and now < entry.expires_at + state.stale_seconds
        ):
            return self._stale(entry, pipeline)
        if mode == "only_if_cached":
            state.count_miss(key, entry, pipeline, now)
            self._refuse()
        if flight is not None:
            # A generation that asks for its own key, in its own thread or task, would wait for itself for ever.
            return self._past(request, "request") if flight.is_led_by(threading.get_ident(), task) else flight
        flight = Flight(key, pipeline, threading.get_ident(), task)
        state.flights.begin(flight)
        try:
            reason = state.count_miss(key, entry, pipeline, now, refresh=mode == "refresh")
        except BaseException:
            state.flights.leave(flight)  # nobody has joined: the lock is held
            raise
        if entry is not None:
            dropped.append(entry)
        if request.limiter is None:
            state.store.of(pipeline).generating += 1
        return Lead(flight, reason, Progress(request.limiter is None))

    def _past(self, request: Request, reason: BypassReason) -> Bypass:
        self._state.count_bypass(request.pipeline, reason)
        return Bypass(reason)

    def _refuse(self) -> NoReturn:
        raise NotCachedError("the request takes a stored result or none, and there is none")

    def _answered(self, entry: CacheEntry[Any], outcome: Outcome) -> Lookup[Any]:
        now = self._state.clock()
        left = entry.expires_at - now
        return Lookup(
            entry.value,
            outcome,
            cost_seconds=entry.cost_seconds,
            age_seconds=max(0.0, now - entry.created_at),
            expires_in_seconds=None if left == _NEVER else left,
        )

    def _stale(self, entry: CacheEntry[Any], pipeline: str) -> Lookup[Any]:
        counters = self._state.store.of(pipeline)
        counters.stale += 1
        counters.recouped_seconds += entry.cost_seconds
        entry.hits += 1  # it was of use: it is not evicted unused
        return self._answered(entry, "stale")

    # --- past the cache

    def _bypass(self, request: Request, reason: BypassReason, generate: Callable[[], Any]) -> Lookup[Any]:
        progress = Progress(False)
        try:
            value, cost = self._generate(request, generate, progress)
        except BaseException as error:
            self._count_failure(request.pipeline, progress, error)
            raise
        self._count_bypassed(request.pipeline, progress, cost)
        return Lookup(value, "bypass", cost_seconds=cost, bypass_reason=reason)

    async def _abypass(
        self, request: Request, reason: BypassReason, generate: Callable[[], Awaitable[Any]]
    ) -> Lookup[Any]:
        progress = Progress(False)
        try:
            value, cost = await self._agenerate(request, generate, progress)
        except BaseException as error:
            self._count_failure(request.pipeline, progress, error)
            raise
        self._count_bypassed(request.pipeline, progress, cost)
        return Lookup(value, "bypass", cost_seconds=cost, bypass_reason=reason)

    def _count_bypassed(self, pipeline: str, progress: Progress, cost: float) -> None:
        with self._state.lock:
            self._count_end(pipeline, progress).count_generation("bypass", cost)

    def _count_failure(self, pipeline: str, progress: Progress, error: BaseException) -> None:
        with self._state.lock:
            self._count_end(pipeline, progress).failures[failure_kind(error)] += 1

    def _count_end(self, pipeline: str, progress: Progress) -> PipelineCounters:
        counters = self._state.store.of(pipeline)
        if progress.counted and counters.generating:  # a process that was forked has none of its parent's
            counters.generating -= 1
        return counters

    # --- generating

    def _generate(self, request: Request, generate: Callable[[], Any], progress: Progress) -> tuple[Any, float]:
        if request.limiter is None:
            return self._timed(request.pipeline, generate, progress)
        with request.limiter.admit():
            return self._timed(request.pipeline, generate, progress)

    def _timed(self, pipeline: str, generate: Callable[[], Any], progress: Progress) -> tuple[Any, float]:
        self._count_start(pipeline, progress)
        clock = self._state.clock
        started = clock()
        value = generate()
        return value, clock() - started

    async def _agenerate(
        self, request: Request, generate: Callable[[], Awaitable[Any]], progress: Progress
    ) -> tuple[Any, float]:
        if request.limiter is None:
            return await self._atimed(request.pipeline, generate, progress)
        async with request.limiter.admit():
            return await self._atimed(request.pipeline, generate, progress)

    async def _atimed(
        self, pipeline: str, generate: Callable[[], Awaitable[Any]], progress: Progress
    ) -> tuple[Any, float]:
        self._count_start(pipeline, progress)
        clock = self._state.clock
        started = clock()
        value = await generate()
        return value, clock() - started

    def _count_start(self, pipeline: str, progress: Progress) -> None:
        if not progress.counted:
            with self._state.lock:
                self._state.store.of(pipeline).generating += 1
                progress.counted = True

    # --- leading

    def _lead(self, request: Request, lead: Lead, generate: Callable[[], Any]) -> Lookup[Any]:
        before = mark(lead.flight)
        try:
            value, cost = self._generate(request, generate, lead.progress)
        except BaseException as error:
            self._fail(request, lead, error)
            del lead  # the error's traceback holds this frame, and a flight holds its error
            raise
        finally:
            unmark(before)
        return self._finish(request, lead, value, cost)

    async def _alead(self, request: Request, lead: Lead, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        before = mark(lead.flight)
        try:
            value, cost = await self._agenerate(request, generate, lead.progress)
        except BaseException as error:
            self._fail(request, lead, error)
            del lead
            raise
        finally:
            unmark(before)
        return self._finish(request, lead, value, cost)

    def _fail(self, request: Request, lead: Lead, error: BaseException) -> None:
        """The leader's error is everybody's; its cancellation or interruption is its own."""
        flight = lead.flight
        try:
            with self._state.lock:
                self._count_end(request.pipeline, lead.progress).failures[failure_kind(error)] += 1
                self._state.flights.leave(flight)
        except Exception as failure:  # noqa: BLE001  # fail open: the leader's own error is what its caller gets
            self._state.note_internal_error("flight", failure)
        finally:
            if isinstance(error, Exception) and not isinstance(error, concurrent.futures.CancelledError):
                flight.future.set_exception(error)
            else:
                flight.future.set_result(ABANDONED)

    def _finish(self, request: Request, lead: Lead, value: Any, cost: float) -> Lookup[Any]:
        """Count, store, and answer everybody. Never fails: the result is there, whatever storing it does."""
        flight, ttl = lead.flight, request.ttl_seconds
        stored = False
        dropped: list[CacheEntry[Any]] = []
        try:
            size = self._size_to_keep(request, value)
            with self._state.lock:
                self._count_end(request.pipeline, lead.progress).count_generation("miss", cost)
                try:
                    if not flight.detached:
                        stored = self._state.put(request.key, value, size, ttl, cost, request.pipeline, dropped)
                finally:
                    self._state.flights.leave(flight)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("store", error)
        finally:
            expires_in = ttl if stored else None
            flight.future.set_result(FlightResult(value, cost, expires_in))
        return Lookup(
            value, "miss", reason=lead.reason, stored=stored, cost_seconds=cost, expires_in_seconds=expires_in
        )

    def _size_to_keep(self, request: Request, value: Any) -> int | None:
        """The bytes of the entry; None where the caller or the sizer has it not kept."""
        if request.store_if is not None and not request.store_if(value):
            return None
        return self._state.size_of(request.key, value)

    # --- following

    def _wait(self, flight: Flight, wait_seconds: float | None) -> FlightResult:
        try:
            error = flight.future.exception(timeout=wait_seconds)
        except concurrent.futures.TimeoutError:
            self._give_up(flight, wait_seconds)
        except BaseException:
            self._count_coalesced(flight.pipeline)  # interrupted: its lookup ends here
            raise
        if error is not None:
            self._count_coalesced(flight.pipeline)
            raise error
        return flight.future.result()

    async def _await(self, flight: Flight, wait_seconds: float | None) -> FlightResult:
        waiter = asyncio.wrap_future(flight.future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=wait_seconds)
        except BaseException:
            # Cancelled: its lookup ends here. The flight goes on; only this caller's ear for it is closed.
            waiter.cancel()
            self._count_coalesced(flight.pipeline)
            raise
        if not done:
            waiter.cancel()
            self._give_up(flight, wait_seconds)
        error = waiter.exception()
        if error is not None:
            self._count_coalesced(flight.pipeline)
            raise error
        return waiter.result()

    def _give_up(self, flight: Flight, wait_seconds: float | None) -> NoReturn:
        self._count_coalesced(flight.pipeline)
        raise FlightTimeoutError(f"waited {wait_seconds} seconds for a generation that another caller leads") from None

    def _coalesced(self, flight: Flight, result: FlightResult) -> Lookup[Any]:
        self._count_coalesced(flight.pipeline, result.cost_seconds)
        return Lookup(
            result.value,
            "coalesced",
            cost_seconds=result.cost_seconds,
            expires_in_seconds=result.expires_in_seconds,
        )

    def _count_coalesced(self, pipeline: str, recouped_seconds: float = 0.0) -> None:
        try:
            with self._state.lock:
                counters = self._state.store.of(pipeline)
                counters.coalesced += 1
                counters.recouped_seconds += recouped_seconds
        except Exception as error:  # noqa: BLE001  # fail open: the caller has its answer
            self._state.note_internal_error("accounting", error)
