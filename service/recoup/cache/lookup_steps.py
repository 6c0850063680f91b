"""What a lookup asks for, and how it goes on without a hit: past the cache, following a flight, or leading one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, NamedTuple

from recoup.cache.flights import ABANDONED, Flight, FlightResult, Marker
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.open_results import Decision, OpenResult
from recoup.cache.stats import BypassReason, Lookup, MissReason

Mode = Literal["default", "bypass", "refresh", "only_if_cached"]


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
        return KEPT if self.store_if is None or self.store_if(value) else NOT_KEPT


KEPT, NOT_KEPT = Decision(), Decision(store=False)


def lookup_only(key: Hashable, pipeline: str) -> Request:
    """What looks a key up, and generates nothing."""
    return Request(key, pipeline, None, "only_if_cached", None, None, "request", None)


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
