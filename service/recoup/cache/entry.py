"""One stored result, with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic

from recoup.cache.histogram import AGE_SECONDS
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
    """

    # `check_at`, the one time that a hit is held against, is the sooner of two: the entry expires, or its age passes
    # into the next bucket of the histogram of hit ages. So all hits between two checks fall into one known bucket,
    # and they are counted at once. `newer` and `older` are its neighbours in the order of eviction.
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
        "price",
        "size_bytes",
        "used_at",
        "value",
    )

    newer: CacheEntry[Any] | None
    older: CacheEntry[Any] | None

    def __init__(
        self,
        key: Hashable,
        value: V,
        counters: PipelineCounters,
        size_bytes: int = 0,
        created_at: float = 0.0,
        expires_at: float = math.inf,
        cost_seconds: float = 0.0,
        price: float = 0.0,
    ) -> None:
        self.key = key
        self.value = value
        self.counters = counters
        self.size_bytes = size_bytes
        self.created_at = self.used_at = created_at
        self.expires_at = expires_at
        self.cost_seconds = cost_seconds
        self.price = price
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

    def __repr__(self) -> str:
        return f"<CacheEntry {self.key!r} of {self.pipeline}: {self.size_bytes} bytes, {self.hits} hits>"
