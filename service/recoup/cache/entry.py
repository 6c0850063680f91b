"""One stored result, with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic

from recoup.cache.histogram import AGE_SECONDS
from recoup.cache.staleness import NEVER_STALE, Staleness
from recoup.cache.stats import V

if TYPE_CHECKING:
    from recoup.cache.counters import PipelineCounters
    from recoup.cache.groups import Membership

_AGE_EDGES = (*AGE_SECONDS, math.inf)
_FIRST_AGE_EDGE = AGE_SECONDS[0]


class CacheEntry(Generic[V]):
    """A stored result.

    Attributes:
        key: Its key.
        value: The result.
        size_bytes: All that is accounted for it: value, key and bookkeeping.
        created_at: When it was stored, monotonic seconds.
        expires_at: When it expires, monotonic seconds; infinity: never.
        used_at: When it was last stored or hit, monotonic seconds. Written by readers, without a lock.
        cost_seconds: Seconds that its generation took.
        price: What it cost in money, in the currency of its pipeline.
        hits: Hits that have been accounted.
        staleness: What may be done with it near its expiry and past it.
        refresh_at: When an answer from it next has it generated anew behind; infinity: never, or it is.
        failures: How often it could not be generated anew, one time after another.
        in_error_until: Until when the last of these counts as one that has just happened, if it may stand in for it.
    """

    # `check_at`, the one time that a hit is held against, is the sooner of two: the entry expires, or its age passes
    # into the next bucket of the histogram of hit ages. So all hits between two checks fall into one known bucket,
    # and they are counted at once. `newer` and `older` are its neighbours in the order of eviction; `rank` is what the
    # policy knows of it.
    __slots__ = (
        "age_bucket",
        "check_at",
        "cost_seconds",
        "counters",
        "created_at",
        "expires_at",
        "hits",
        "key",
        "newer",
        "older",
        "rank",
        "size_bytes",
        "used_at",
        "value",
    )

    #: What most entries have none of; `KeptEntry` has its own.
    staleness: Staleness = NEVER_STALE
    refresh_at: float = math.inf
    failures: int = 0
    in_error_until: float = -math.inf

    newer: CacheEntry[Any] | None
    older: CacheEntry[Any] | None
    rank: Any
    #: Most entries have none, and no room for it.
    price: float = 0.0

    def __init__(
        self,
        key: Hashable,
        value: V,
        counters: PipelineCounters,
        size_bytes: int = 0,
        created_at: float = 0.0,
        expires_at: float = math.inf,
        cost_seconds: float = 0.0,
    ) -> None:
        self.key = key
        self.value = value
        self.counters = counters
        self.size_bytes = size_bytes
        self.created_at = self.used_at = created_at
        self.expires_at = expires_at
        self.cost_seconds = cost_seconds
        self.hits = self.age_bucket = 0
        self.newer = self.older = None
        edge = created_at + _FIRST_AGE_EDGE
        self.check_at = expires_at if expires_at < edge else edge

    @property
    def pipeline(self) -> str:
        """The name of the pipeline that it belongs to."""
        return self.counters.name

    @property
    def membership(self) -> Membership | None:
        """Its groups; None: it has none. Not in the entry itself: most have none."""
        return self.counters.memberships.get(self)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of its groups."""
        membership = self.membership
        return () if membership is None else membership.names

    def expire(self, at: float) -> None:
        """Let it expire at a moment, or earlier if it does so anyway."""
        self.expires_at = min(self.expires_at, max(at, self.created_at))
        self.check_at = min(self.check_at, self.expires_at)

    def pass_age_edge(self, now: float) -> None:
        """Move to the bucket of the age at `now`, and on to the next check."""
        age = now - self.created_at
        while age > _AGE_EDGES[self.age_bucket]:  # an upper bound belongs to its bucket
            self.age_bucket += 1
        self.check_at = min(self.expires_at, self.created_at + _AGE_EDGES[self.age_bucket])

    def as_dict(self, now: float) -> dict[str, Any]:
        """What is known of it at `now`, as JSON takes it. `expires_in_seconds` is None when it never expires."""
        return {
            "key": self.key,
            "pipeline": self.pipeline,
            "size_bytes": self.size_bytes,
            "age_seconds": max(0.0, now - self.created_at),
            "idle_seconds": max(0.0, now - self.used_at),
            "expires_in_seconds": None if self.expires_at == math.inf else self.expires_at - now,
            "hits": self.hits,
            "cost_seconds": self.cost_seconds,
            "groups": list(self.groups),
            "price": self.price,
            "tier": "memory",
        }

    def is_answering_stale(self, now: float) -> bool:
        """Whether it answers at once although it has expired.

        So it does while it may be revalidated behind; and where generating it has just failed, as long as it may
        stand in for an error: who asks next would only wait for the same.
        """
        past = now - self.expires_at
        staleness = self.staleness
        if past < 0:
            return False
        if past < staleness.while_revalidate_seconds:
            return True
        return past < staleness.if_error_seconds and self._has_just_failed(now)

    def _has_just_failed(self, now: float) -> bool:
        if self.refresh_at == math.inf:  # it is being tried again, which may take long
            return self.in_error_until > -math.inf
        return now < self.in_error_until

    def __repr__(self) -> str:
        return f"<CacheEntry {self.key!r} of {self.pipeline}: {self.size_bytes} bytes, {self.hits} hits>"


class PricedEntry(CacheEntry[V]):
    """A stored result that cost money. It takes the same arguments, and then the price."""

    __slots__ = ("price",)

    def __init__(self, *arguments: Any, price: float) -> None:
        super().__init__(*arguments)
        self.price = price


class KeptEntry(CacheEntry[V]):
    """An entry that may answer past its expiry, or is generated anew ahead of it: most need no slots for that."""

    __slots__ = ("failures", "in_error_until", "price", "refresh_at", "staleness")

    def __init__(
        self,
        key: Hashable,
        value: V,
        counters: PipelineCounters,
        size_bytes: int,
        created_at: float,
        expires_at: float,
        cost_seconds: float,
        price: float,
        staleness: Staleness,
    ) -> None:
        super().__init__(key, value, counters, size_bytes, created_at, expires_at, cost_seconds)
        self.price = price
        self.staleness = staleness
        self.refresh_at = staleness.refresh_at(created_at, expires_at)
        self.failures = 0
        self.in_error_until = -math.inf

    def expire(self, at: float) -> None:
        """As of any entry; the next stale answer has it generated anew."""
        super().expire(at)
        if self.staleness.while_revalidate_seconds and self.refresh_at < math.inf:
            self.refresh_at = min(self.refresh_at, self.expires_at)
