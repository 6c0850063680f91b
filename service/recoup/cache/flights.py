"""Single-flight: concurrent callers of one key share one generation.

A flight is a future that its leader resolves. Threads wait on it, and coroutines await it, so callers of both kinds
share one flight. A leader that is cancelled or interrupted abandons its flight, and its followers find a new leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain
from typing import Any

from recoup.cache.open_results import OpenResult
from recoup.cache.tier import TierName


@dataclass(frozen=True, slots=True)
class FlightResult:
    """What a flight brought: the result, what its generation cost in seconds and in money, when it expires.

    `shared`: it may answer those who wait. If it may not, it is not here. `purged_epoch`: the first purge that it had
    not seen (0: none); it must not answer those who asked after that. `tier`: it was there, in this tier, and was
    generated at `created_at`, in monotonic seconds; None: it was generated.
    """

    value: Any
    cost_seconds: float
    expires_in_seconds: float | None = None
    shared: bool = True
    purged_epoch: int = 0
    price: float = 0.0
    tier: TierName | None = None
    created_at: float = 0.0


#: What an abandoned flight brings: look again, and lead if nobody else does.
ABANDONED = FlightResult(None, 0.0)
#: Groups that may be purged while a generation whose groups are not known yet goes on; with more, its result is purged.
_MOST_NOTED = 1000
#: What a flight brings whose result answers its leader alone: generate, past the cache.
UNSHARED = FlightResult(None, 0.0, shared=False)


class Marker:
    """Stands for a flight in the contexts of what its generation began: they may outlive it, and keep no result."""

    __slots__ = ()


#: The markers of the flights that the current context generates for. Tasks and `asyncio.to_thread` take it over from
#: who begins them.
_leading: ContextVar[tuple[Marker, ...]] = ContextVar("recoup_leading", default=())


class Flight:
    """One generation that others may wait for.

    Attributes:
        key: The key that is generated.
        pipeline: The name of its pipeline.
        thread: The ident of the thread that leads.
        task: The task that leads; None for a thread.
        loop: The event loop of the task.
        future: Resolved with a `FlightResult`, or with the leader's error.
        marker: Marks the contexts of its generation.
        detached: Its key was invalidated meanwhile: its result answers those who wait, and is not stored.
        open_result: What is there of its result while it is still coming; None: nothing is.
        joining: For every follower that does not wait for the end: what is called with it, once it is there, and after
            how many purges that follower came.
        groups: The groups of its result, as far as they are known.
        grows: Whether its result may be in further groups.
        outdated: Its groups were purged softly meanwhile: its result is stored as one that has expired.
        purged_epoch: The first purge of one of its groups; 0: there was none.
        searches: Nothing is generated yet: tiers are searched.
    """

    __slots__ = (
        "detached",
        "future",
        "groups",
        "grows",
        "joining",
        "key",
        "loop",
        "marker",
        "noted",
        "open_result",
        "outdated",
        "pipeline",
        "purged_epoch",
        "searches",
        "task",
        "thread",
    )

    def __init__(
        self,
        key: Hashable,
        pipeline: str,
        thread: int,
        task: asyncio.Task[Any] | None,
        groups: Iterable[str] = (),
        *,
        grows: bool = False,
    ) -> None:
        self.key = key
        self.pipeline = pipeline
        self.thread = thread
        self.task = task
        self.loop = None if task is None else task.get_loop()
        self.detached = False
        self.open_result: OpenResult | None = None
        self.joining: list[tuple[int, Callable[[OpenResult], None]]] = []
        self.groups = frozenset(groups)
        self.grows = grows
        self.outdated = False
        self.searches = False
        self.purged_epoch = 0
        #: What was purged meanwhile and may turn out to be one of its groups: the first purge; whether all are soft.
        self.noted: dict[str, tuple[int, bool]] = {}
        self.marker = Marker()
        self.future: Future[FlightResult] = Future()
        # Running: so a follower that is cancelled cannot cancel it for the others.
        self.future.set_running_or_notify_cancel()

    def is_led_by(self, thread: int, task: object) -> bool:
        """Whether a caller in this thread and task would wait for itself, or was begun by the generation itself.

        A thread that waits stops every task in it, so a task may follow another task of its thread, a thread may not.
        """
        if self.marker in _leading.get():
            return True
        if thread != self.thread:
            return False
        return task is None or self.task is None or task is self.task

    @property
    def is_over(self) -> bool:
        """Whether nobody needs to wait for it: it has its result, or its event loop was closed under it."""
        return self.future.done() or (self.loop is not None and self.loop.is_closed())


class Flights:
    """The flights in progress, by key. Everything here runs under the cache's lock, but for `all`."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight] = {}
        #: Those that nobody may join, by key.
        self._alone: dict[Hashable, list[Flight]] = {}
        #: What each generation waits for, by its marker.
        self._awaited: dict[Marker, list[Flight]] = {}

    def all(self) -> list[Flight]:
        """All flights in progress."""
        return list(self._by_key.values())

    def get(self, key: Hashable) -> Flight | None:
        """The flight of a key, if there is one that is worth waiting for."""
        flight = self._by_key.get(key)
        # One that is over is still listed only if its key could not be looked up then, or its loop was closed.
        return None if flight is None or flight.is_over else flight

    def begin(self, flight: Flight) -> None:
        """List a flight, in the place of one that is over."""
        self._by_key[flight.key] = flight

    def begin_alone(self, flight: Flight) -> None:
        """List a flight that nobody may join, and that is none in the way of others of its key."""
        self._alone.setdefault(flight.key, []).append(flight)

    def seclude(self, flight: Flight) -> None:
        """Let nobody else join a flight that goes on."""
        self.leave(flight)
        self.begin_alone(flight)

    def follow(self, flight: Flight) -> tuple[Marker, ...] | None:
        """Note that the current context waits for a flight; gives what `unfollow` takes.

        None, and nothing is noted, where they would wait for each other for ever: the flight's generation waits,
        directly or through others, for one that the current context generates for.
        """
        generating = _leading.get()
        if generating:
            pending = [flight]
            for awaited in pending:  # grows while it is looked through
                if awaited.marker in generating:
                    return None
                pending += self._awaited.get(awaited.marker, ())
            for marker in generating:
                self._awaited.setdefault(marker, []).append(flight)
        return generating

    def unfollow(self, flight: Flight, generating: tuple[Marker, ...]) -> None:
        """End `follow`."""
        for marker in generating:
            awaited = self._awaited.get(marker)
            if awaited is not None:
                awaited.remove(flight)
                if not awaited:
                    del self._awaited[marker]

    def leave(self, flight: Flight) -> None:
        """Let nobody else join a flight."""
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        alone = self._alone.get(flight.key)
        if alone is not None and flight in alone:
            alone.remove(flight)
            if not alone:
                del self._alone[flight.key]

    def detach(self, key: Hashable) -> None:
        """Let nobody else join the flight of a key, and let its result not be stored: the key was invalidated."""
        flight = self._by_key.pop(key, None)
        if flight is not None:
            flight.detached = True
        for alone in self._alone.pop(key, ()):
            alone.detached = True

    def detach_all(self, pipeline: str | None) -> None:
        """Detach the flights of a pipeline, or of all of them."""
        for key in {flight.key for flight in self._listed() if pipeline in (None, flight.pipeline)}:
            self.detach(key)

    def _listed(self) -> Iterator[Flight]:
        """All flights, those that nobody may join among them."""
        return chain(self._by_key.values(), chain.from_iterable(self._alone.values()))

    def purge(self, names: Collection[str], pipeline: str | None, epoch: int, *, soft: bool) -> None:
        """Let no result that is being generated outlive a purge of its groups. O(flights)."""
        for flight in list(self._listed()):
            if pipeline not in (None, flight.pipeline):
                continue
            if not flight.groups.isdisjoint(names):
                self._outlived(flight, epoch, soft)
            elif flight.grows:
                for name in names:
                    first, was_soft = flight.noted.get(name, (epoch, True))
                    flight.noted[name] = first, was_soft and soft
                if len(flight.noted) > _MOST_NOTED:
                    self._outlived(flight, epoch, soft=False)

    def learn(self, flight: Flight, names: Iterable[str]) -> None:
        """Note the groups of a flight's result, now that all of them are known."""
        flight.groups = flight.groups.union(names)
        flight.grows = False
        for name in flight.groups.intersection(flight.noted):
            self._outlived(flight, *flight.noted[name])
        flight.noted.clear()

    def _outlived(self, flight: Flight, epoch: int, soft: bool) -> None:
        """One of a flight's groups was purged: nobody else joins it, and its result is not stored, or as expired."""
        flight.purged_epoch = min(flight.purged_epoch or epoch, epoch)
        if soft and not flight.detached:
            flight.outdated = True
            if self._by_key.get(flight.key) is flight:
                self.seclude(flight)
        else:
            flight.detached = True
            self.leave(flight)

    def abandon_all(self) -> None:
        """Forget all flights: their leaders are not in this process."""
        for flight in self._listed():
            flight.detached = True
        self._by_key = {}
        self._alone = {}
        self._awaited = {}


def depth(flight: Flight) -> int:
    """How often the current context generates what a flight is to bring: more than once where it asks for itself."""
    return _leading.get().count(flight.marker)


def mark(flight: Flight) -> tuple[Marker, ...]:
    """Mark what is begun from now on as part of a flight's generation; gives what `unmark` takes."""
    before = _leading.get()
    _leading.set((*before, flight.marker))
    return before


def unmark(before: tuple[Marker, ...]) -> None:
    """End `mark`. Not by a token: a coroutine that is dropped is closed in whatever context drops it."""
    _leading.set(before)
