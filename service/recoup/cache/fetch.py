"""The one way through the cache: a hit, a stale result, somebody else's generation, one's own, or past it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn

from recoup.cache.config import MOST_GROUPS, Default
from recoup.cache.counters import PipelineCounters
from recoup.cache.deadlocks import waits_for_this_thread
from recoup.cache.entry import CacheEntry
from recoup.cache.flights import ABANDONED, UNSHARED, Flight, FlightResult, Marker, depth, mark, unmark
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.open_results import Decision, OpenResult
from recoup.cache.read_path import ReadPath, TryHit
from recoup.cache.state import CacheState
from recoup.cache.stats import BypassReason, Lookup, MissReason, Outcome
from recoup.errors import (
    GENERATION_ERROR_KINDS,
    FlightTimeoutError,
    NotCachedError,
    OneShotResultError,
    RecoupError,
    SelfDependencyError,
)

Mode = Literal["default", "bypass", "refresh", "only_if_cached"]
_NEVER = float("inf")
#: Seconds after which a caller who waits looks at whether its wait can end at all, and the longest between two looks.
_FIRST_LOOK = 0.5
_LONGEST_LOOK = 60.0


def failure_kind(error: BaseException) -> str:
    """The word for a failed generation: the error's own `kind`, else by its class."""
    kind = getattr(error, "kind", None)
    if kind in GENERATION_ERROR_KINDS:
        return str(kind)
    if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    cancelled = isinstance(error, concurrent.futures.CancelledError) or not isinstance(error, Exception)
    return "cancelled" if cancelled else "error"


def own_error(error: BaseException) -> BaseException:
    """An error for one follower: of the leader's type, with the leader's as its cause.

    One error that is raised in many threads would grow its traceback with each.
    """
    try:
        own = copy.copy(error)
        if type(own) is not type(error):
            raise TypeError(f"the copy of a {type(error).__name__} is a {type(own).__name__}")
    except Exception:  # noqa: BLE001  # an error that cannot be copied is made without its own constructor
        own = type(error).__new__(type(error), *error.args)
        own.args = error.args
        own.__dict__.update(error.__dict__)
    own.__cause__ = error
    own.__traceback__ = None
    return own


def refuse_one_shot(value: Any) -> None:
    """Refuse what can be read only once: the second caller would find it read.

    Raises:
        OneShotResultError: It is a generator, an iterator, a coroutine or an open file.
    """
    kind = type(value)
    if kind in _PLAIN_RESULTS:
        return
    if hasattr(kind, "__await__") or inspect.iscoroutine(value):
        if inspect.iscoroutine(value):
            value.close()
        raise OneShotResultError(f"the result is a {kind.__qualname__}: decorate a coroutine function, or await it")
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        raise OneShotResultError(
            f"the result is a {kind.__qualname__}, which can be read only once: return a list, a tuple or bytes"
        )


_PLAIN_RESULTS = frozenset({bytes, str, int, float, bool, type(None), list, tuple, dict, set, frozenset})


def _looks(wait_seconds: float | None, joining: Joining | None = None) -> Iterator[float]:
    """Seconds to wait between two looks at whether a wait can end at all: up to a minute, in all `wait_seconds`.

    A caller who has joined an open result is not waiting any more, and looks on for as long as it takes.
    """
    left = _NEVER if wait_seconds is None else wait_seconds
    seconds = _FIRST_LOOK
    while left > seconds:
        yield seconds
        left -= seconds
        seconds = min(2 * seconds, _LONGEST_LOOK)
    yield left
    while joining is not None and joining.joined:
        yield _LONGEST_LOOK


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
    decide: Callable[[Any], Decision] | None = None
    on_open: Callable[[Lookup[Any]], None] | None = None
    groups: tuple[str, ...] = ()

    def decision(self, value: Any) -> Decision:
        """What may be done with a result, or with one that is still coming."""
        if self.decide is not None:
            return self.decide(value)
        return _KEPT if self.store_if is None or self.store_if(value) else _NOT_KEPT


_KEPT, _NOT_KEPT = Decision(), Decision(store=False)


class Progress:
    """Whether a generation is counted as in progress. With a limiter, it is not before its turn."""

    __slots__ = ("counted",)

    def __init__(self, counted: bool) -> None:
        self.counted = counted


class Bypass(NamedTuple):
    """Generate past the cache. The bypass has been counted. `flight`: its own result is what a generation asks for."""

    reason: BypassReason
    flight: Flight | None = None


class Joining:
    """A follower that need not wait for the end; `joined`: it was given the open result."""

    __slots__ = ("_on_open", "joined")

    def __init__(self, on_open: Callable[[Lookup[Any]], None]) -> None:
        self._on_open = on_open
        self.joined = False

    def __call__(self, value: OpenResult) -> None:
        """Give it the open result."""
        self.joined = True
        self._on_open(Lookup(value, "coalesced"))


class Follow(NamedTuple):
    """Wait for another's generation. `generating`: the generations that wait; `epoch`: the purges before."""

    flight: Flight
    generating: tuple[Marker, ...]
    joining: Joining | None
    epoch: int

    def is_answered(self, result: FlightResult) -> bool:
        """Whether the lookup ends with what the flight brought; if not, it begins again."""
        if self._has_joined():
            return True
        in_time = not result.purged_epoch or self.epoch < result.purged_epoch
        return result is not ABANDONED and result.shared and in_time

    def _has_joined(self) -> bool:
        return self.joining is not None and self.joining.joined


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
                    return self._bypass(request, step, generate)
                if isinstance(step, Lead):
                    return self._lead(request, step, generate)
                result = self._wait(step, request.wait_seconds)
                if self._is_unshared(request, step, result):
                    return self._bypass(request, self._past(request, "uncacheable"), generate)
                if step.is_answered(result):
                    return self._coalesced(step.flight, result)
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
                    return await self._abypass(request, step, generate)
                if isinstance(step, Lead):
                    return await self._alead(request, step, generate)
                result = await self._await(step, request.wait_seconds)
                if self._is_unshared(request, step, result):
                    return await self._abypass(request, self._past(request, "uncacheable"), generate)
                if step.is_answered(result):
                    return self._coalesced(step.flight, result)
            finally:
                del step

    # --- how a lookup begins

    def _begin(self, request: Request, task: asyncio.Task[Any] | None) -> Lookup[Any] | Follow | Lead | Bypass:
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
        except (RecoupError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001  # fail open: the caller gets a result from the generator
            self._state.note_internal_error("lookup", error)
            return self._past(request, "error")

    def _begin_locked(
        self, request: Request, task: asyncio.Task[Any] | None, dropped: list[CacheEntry[Any]]
    ) -> Lookup[Any] | Follow | Lead | Bypass:
        key, pipeline, mode = request.key, request.pipeline, request.mode
        state = self._state
        if not state.config.enabled:
            bypass = self._past(request, "disabled")
            if mode == "only_if_cached":
                self._refuse()
            return bypass
        # Between this caller's look-up and the lock, another flight may have ended.
        now = state.clock()
        entry = state.store.purges.find(key, now)
        if entry is not None and mode != "refresh" and now < entry.expires_at:
            return self._answered(self._read_path.hit_locked(entry, now), "hit")
        alone = bool(state.unshared) and state.unshared.holds(key, now)
        flight = None if alone else state.flights.get(key)
        if flight is not None and flight.open_result is not None and not flight.open_result.joinable:
            self._unshare(flight, "too_large")
            flight, alone = None, True
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
            # A generation that asks for its own key, in its own thread or task, would wait for itself for ever; and so
            # would two that ask for each other's.
            own = flight.is_led_by(threading.get_ident(), task)
            if own and depth(flight) > 1:
                state.store.of(pipeline).bypasses["uncacheable"] += 1
                raise SelfDependencyError(f"the generation of {key!r} asks for its own result, again and again")
            generating = None if own else state.flights.follow(flight)
            if generating is None:
                state.count_bypass(pipeline, "uncacheable")
                return Bypass("uncacheable", flight)
            epoch = state.store.groups.epoch
            return Follow(flight, generating, self._join(request, flight, epoch), epoch)
        grows = request.decide is not None
        flight = Flight(key, pipeline, threading.get_ident(), task, request.groups, grows=grows)
        if alone:
            state.flights.begin_alone(flight)
        else:
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
            price=entry.price,
            age_seconds=max(0.0, now - entry.created_at),
            expires_in_seconds=None if left == _NEVER else left,
        )

    def _stale(self, entry: CacheEntry[Any], pipeline: str) -> Lookup[Any]:
        counters = self._state.store.of(pipeline)
        counters.stale += 1
        counters.count_recouped(entry.cost_seconds, entry.price)
        entry.hits += 1  # it was of use: it is not evicted unused
        return self._answered(entry, "stale")

    # --- past the cache

    def _bypass(self, request: Request, bypass: Bypass, generate: Callable[[], Any]) -> Lookup[Any]:
        progress = Progress(False)
        before = None if bypass.flight is None else mark(bypass.flight)
        try:
            value, cost = self._generate(request, generate, progress)
        except BaseException as error:
            self._count_failure(request.pipeline, progress, error)
            raise
        finally:
            if before is not None:
                unmark(before)
        return self._end_bypass(request, bypass, progress, value, cost)

    async def _abypass(self, request: Request, bypass: Bypass, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        progress = Progress(False)
        before = None if bypass.flight is None else mark(bypass.flight)
        try:
            opened = partial(self._opened_past, request, bypass)
            value, cost = await self._agenerate(request, generate, progress, opened)
        except BaseException as error:
            self._count_failure(request.pipeline, progress, error)
            raise
        finally:
            if before is not None:
                unmark(before)
        return self._end_bypass(request, bypass, progress, value, cost)

    def _end_bypass(self, request: Request, bypass: Bypass, progress: Progress, value: Any, cost: float) -> Lookup[Any]:
        """Count a generation past the cache, and answer. Never fails: the result is there."""
        price = 0.0
        try:
            price = request.decision(value).price_of(cost)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("accounting", error)
        with self._state.lock:
            self._count_end(request.pipeline, progress).count_generation("bypass", cost, price)
        return Lookup(value, "bypass", cost_seconds=cost, bypass_reason=bypass.reason, price=price)

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
        cost = clock() - started
        refuse_one_shot(value)
        return value, cost

    async def _agenerate(
        self,
        request: Request,
        generate: Callable[[], Awaitable[Any]],
        progress: Progress,
        opened: Callable[[OpenResult], None],
    ) -> tuple[Any, float]:
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

    # --- results that are still coming

    def _join(self, request: Request, flight: Flight, epoch: int) -> Joining | None:
        """Let a follower that need not wait for the end have what is there, now or once it is. Under the lock."""
        if request.on_open is None:
            return None
        joining = Joining(request.on_open)
        if flight.open_result is None:
            flight.joining.append((epoch, joining))
        else:
            joining(flight.open_result)
        return joining

    def _opened(self, request: Request, lead: Lead, value: OpenResult) -> None:
        """Give everybody what is there. Never fails: who is not given it waits for the end."""
        flight = lead.flight
        try:
            decision = self._decision(request, value)
            shared = decision.share and decision.store
            with self._state.lock:
                self._state.flights.learn(flight, decision.groups)
                if shared:
                    flight.open_result = value
                elif decision.share:
                    self._state.flights.seclude(flight)
                    flight.future.set_result(UNSHARED)
                else:
                    self._unshare(flight, "uncacheable")
                    flight.future.set_result(UNSHARED)
                joining, flight.joining = flight.joining, []
            if request.on_open is not None:
                request.on_open(Lookup(value, "miss", reason=lead.reason))
            for epoch, join in joining if shared else ():
                if not flight.purged_epoch or epoch < flight.purged_epoch:
                    join(value)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)

    def _opened_past(self, request: Request, bypass: Bypass, value: OpenResult) -> None:
        if request.on_open is None:
            return
        try:
            request.on_open(Lookup(value, "bypass", bypass_reason=bypass.reason))
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)

    def _unshare(self, flight: Flight, reason: MissReason) -> None:
        """Let all who ask within a minute from now generate for themselves. Under the lock."""
        state = self._state
        state.unshared.note(flight.key, state.clock())
        state.store.ghosts.note(flight.key, reason)
        state.flights.seclude(flight)

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
            value, cost = await self._agenerate(request, generate, lead.progress, partial(self._opened, request, lead))
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
            flight.open_result = None
            flight.joining.clear()
            if flight.future.done():
                pass  # nobody waits for it
            elif isinstance(error, Exception) and not isinstance(error, concurrent.futures.CancelledError):
                flight.future.set_exception(error)
            else:
                flight.future.set_result(ABANDONED)

    def _finish(self, request: Request, lead: Lead, value: Any, cost: float) -> Lookup[Any]:
        """Count, store, and answer everybody. Never fails: the result is there, whatever storing it does."""
        flight, ttl = lead.flight, request.ttl_seconds
        stored, price, state = False, 0.0, self._state
        dropped: list[CacheEntry[Any]] = []
        # What the caller does not keep is nobody else's, either; what only cannot be stored is.
        decision = self._decision(request, value)
        shared = decision.share and decision.store
        try:
            price = decision.price_of(cost)
            size = state.size_of(request.key, value) if shared and decision.keep else None
            if not isinstance(decision.ttl_seconds, Default):
                ttl = decision.ttl_seconds
            with state.lock:
                self._count_end(request.pipeline, lead.progress).count_generation("miss", cost, price)
                try:
                    if not decision.share:
                        self._unshare(flight, decision.reason)
                    groups = request.groups
                    if decision.groups:
                        groups = tuple(dict.fromkeys((*groups, *decision.groups)))[:MOST_GROUPS]
                    state.flights.learn(flight, groups)
                    if flight.outdated:
                        ttl = 0.0
                    if state.takes(flight):
                        stored = state.put(
                            request.key,
                            value,
                            size,
                            ttl,
                            cost,
                            request.pipeline,
                            dropped,
                            decision.reason,
                            price,
                            groups,
                        )
                    if stored and state.unshared:
                        state.unshared.forget(request.key)
                finally:
                    state.flights.leave(flight)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("store", error)
        finally:
            expires_in = ttl if stored else None
            flight.open_result = None
            flight.joining.clear()
            if not flight.future.done():
                flight.future.set_result(
                    FlightResult(value, cost, expires_in, price=price, purged_epoch=flight.purged_epoch)
                    if shared
                    else FlightResult(None, cost, shared=False)
                )
        return Lookup(
            value,
            "miss",
            reason=lead.reason,
            stored=stored,
            cost_seconds=cost,
            expires_in_seconds=expires_in,
            price=price,
        )

    def _decision(self, request: Request, value: Any) -> Decision:
        try:
            return request.decision(value)
        except Exception as error:  # noqa: BLE001  # fail open; and nobody else gets what may not be for them
            self._state.note_internal_error("store", error)
            return _NOT_KEPT

    # --- following

    def _is_unshared(self, request: Request, follow: Follow, result: FlightResult) -> bool:
        """Whether a follower was waiting for what is not kept, and is nobody else's.

        Where its key is one that nobody waits for, the follower looks it up again, and leads a flight of its own.
        """
        if result.shared or follow.is_answered(result):
            return False
        state = self._state
        with state.lock:
            return not state.unshared.holds(request.key, state.clock())

    def _wait(self, follow: Follow, wait_seconds: float | None) -> FlightResult:
        flight, ended = follow.flight, False
        try:
            for seconds in _looks(wait_seconds):
                try:
                    error = flight.future.exception(timeout=seconds)
                except concurrent.futures.TimeoutError:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                ended = error is None
                if error is not None:
                    raise own_error(error)
                return flight.future.result()
            self._give_up(wait_seconds)
        finally:
            self._end_wait(follow, counts=not ended)

    async def _await(self, follow: Follow, wait_seconds: float | None) -> FlightResult:
        flight, ended = follow.flight, False
        # Cancelled, only this caller's ear for the flight is closed. The flight goes on.
        waiter = asyncio.wrap_future(flight.future)
        try:
            for seconds in _looks(wait_seconds, follow.joining):
                done, _ = await asyncio.wait({waiter}, timeout=seconds)
                if not done:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                error = waiter.exception()
                ended = error is None
                if error is not None:
                    raise own_error(error)
                return waiter.result()
            self._give_up(wait_seconds)
        finally:
            waiter.cancel()
            self._end_wait(follow, counts=not ended)

    def _is_abandoned(self, flight: Flight) -> bool:
        """Whether a flight that takes long has lost its leader.

        Raises:
            SelfDependencyError: Its leader waits for the caller.
        """
        if not flight.future.done() and waits_for_this_thread(flight, self._state.flights.all()):
            raise SelfDependencyError(
                f"the generation of {flight.key!r} waits for its own result, through another thread; call the function "
                "that is decorated (__wrapped__) there, or do not wait for it"
            )
        return flight.is_over and not flight.future.done()

    def _end_wait(self, follow: Follow, *, counts: bool) -> None:
        """Note that a caller waits no more. `counts`: and that its lookup ended here, without a result."""
        if counts or follow.generating:
            with self._state.lock:
                self._state.flights.unfollow(follow.flight, follow.generating)
                if counts:
                    self._state.store.of(follow.flight.pipeline).coalesced += 1

    def _give_up(self, wait_seconds: float | None) -> NoReturn:
        raise FlightTimeoutError(f"waited {wait_seconds} seconds for a generation that another caller leads") from None

    def _coalesced(self, flight: Flight, result: FlightResult) -> Lookup[Any]:
        try:
            with self._state.lock:
                counters = self._state.store.of(flight.pipeline)
                counters.coalesced += 1
                counters.count_recouped(result.cost_seconds, result.price)
        except Exception as error:  # noqa: BLE001  # fail open: the caller has its answer
            self._state.note_internal_error("accounting", error)
        return Lookup(
            result.value,
            "coalesced",
            cost_seconds=result.cost_seconds,
            expires_in_seconds=result.expires_in_seconds,
            price=result.price,
        )
