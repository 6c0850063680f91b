"""What other sizes and policies would bring: all of them simulated at once, on a sample of the keys.

A key is sampled where its hash is below a threshold, so all lookups of a key are, or none (SHARDS, USENIX FAST 2015).
The threshold adapts itself: it is lowered where the simulations hold more than they may. Lookups are weighted with one
through the share that was sampled when they came. What a sample has too many or too few lookups of is put down to keys
that are asked for all the time, which are hits at any size (the correction of SHARDS-adj, section 5 there).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from recoup.cache.config import BYTES_PER_MB
from recoup.cache.policies import POLICIES
from recoup.insight.miniature import MiniatureCache
from recoup.insight.stack import LRUStack

#: Sizes, as multiples of today's limits.
SCALES: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_TODAY: Final = SCALES.index(1.0)
#: Hashes are from 0 to this.
HASHES: Final = 1 << 64
#: Entries that all simulations together may hold: what fits into 8 MB.
MOST_ENTRIES: Final = 28_000
#: What the share is multiplied with when they hold more.
_LOWERED: Final = 0.8
_LOOK_EVERY: Final = 64
_SPREAD: Final = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Point:
    """What a policy would bring at a scale.

    Attributes:
        policy: Its name.
        scale: A multiple of today's limits.
        max_size: The limit of entries there.
        max_memory_mb: The limit of memory there, in megabytes (2^20 bytes).
        hit_ratio: From 0 to 1; None before the first lookup.
        recouped_seconds_per_hour: Seconds of generation that its hits would save in an hour.
    """

    policy: str
    scale: float
    max_size: int
    max_memory_mb: float
    hit_ratio: float | None
    recouped_seconds_per_hour: float | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Simulation:
    """Simulations of all policies at all scales.

    Args:
        max_size: Today's limit of entries.
        max_memory_mb: Today's limit of memory in megabytes (2^20 bytes).
        share: The share of keys that is sampled to begin with; it is lowered as needed.
        most_entries: Entries that all simulations together may hold.

    Attributes:
        share: The share of keys that is sampled now.
        sampled_lookups: Lookups that were simulated.
    """

    def __init__(
        self, max_size: int, max_memory_mb: float, *, share: float = 1.0, most_entries: int = MOST_ENTRIES
    ) -> None:
        self._max_size = max_size
        self._max_memory_mb = max_memory_mb
        self._most_entries = most_entries
        self.share = share
        self._threshold = int(share * HASHES)
        self._stack = LRUStack(self._limits(), share)
        self._caches = {
            policy: [MiniatureCache(policy, entries * share, size * share) for entries, size in self._limits()]
            for policy in POLICIES
            if policy != "lru"
        }
        self._flat: list[LRUStack | MiniatureCache] = [
            self._stack,
            *(cache for caches in self._caches.values() for cache in caches),
        ]
        self.sampled_lookups = 0
        #: All lookups, sampled or not; and what the sampled ones stand for.
        self._lookups = 0.0
        self._weighted = 0.0
        self._costs = 0.0
        self._began = math.inf
        self._now = -math.inf

    def _limits(self) -> list[tuple[int, int]]:
        max_bytes = self._max_memory_mb * BYTES_PER_MB
        return [(max(1, round(self._max_size * scale)), int(max_bytes * scale)) for scale in SCALES]

    # --- what happened

    def is_sampled(self, key_hash: int) -> bool:
        """Whether the lookups of a key are simulated."""
        return key_hash * _SPREAD % HASHES < self._threshold

    def count(self, lookups: int) -> None:
        """Count lookups of all keys, sampled or not."""
        self._lookups += lookups

    def lookup(self, key_hash: int, at: float) -> None:
        """Simulate one lookup of a key that is sampled. `at` is in seconds, and never goes back."""
        weight = 1.0 / self.share
        self.sampled_lookups += 1
        self._weighted += weight
        self._began = min(self._began, at)
        self._now = at
        for cache in self._flat:
            cache.lookup(key_hash, at, weight)

    def store(self, key_hash: int, at: float, size: int, cost: float, ttl: float = math.inf) -> None:
        """Simulate that a key that is sampled was stored: where it is not held, it is from now on.

        Args:
            key_hash: The hash of the key.
            at: When, in seconds.
            size: The bytes of the entry.
            cost: Seconds that its generation took.
            ttl: Seconds until it expires.
        """
        for cache in self._flat:
            cache.store(key_hash, at, size, cost, ttl)
        if self.sampled_lookups % _LOOK_EVERY == 0:
            self._adapt()

    def access(self, key_hash: int, at: float, size: int, cost: float, ttl: float = math.inf) -> None:
        """One request of a trace: looked up, and stored where it is not held."""
        self._lookups += 1
        if self.is_sampled(key_hash):
            self.lookup(key_hash, at)
            self.store(key_hash, at, size, cost, ttl)

    def configure(self, max_size: int, max_memory_mb: float) -> None:
        """Go on from other limits of today; what was counted before counts no more."""
        self._max_size, self._max_memory_mb = max_size, max_memory_mb
        self._resample()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew, with what the simulations hold."""
        self.sampled_lookups = 0
        self._lookups = self._weighted = 0.0
        self._began, self._now = math.inf, -math.inf
        self._stack.hits = [0.0] * len(SCALES)
        self._stack.recouped = [0.0] * len(SCALES)
        for caches in self._caches.values():
            for cache in caches:
                cache.hits = cache.recouped = 0.0

    # --- the sample

    def entries(self) -> int:
        """What all simulations hold together. A key of the stack counts three times: it is as large."""
        return 3 * len(self._stack) + sum(len(cache) for caches in self._caches.values() for cache in caches)

    def _adapt(self) -> None:
        while self.entries() > self._most_entries:
            self.share *= _LOWERED
            self._threshold = int(self.share * HASHES)
            self._resample()

    def _resample(self) -> None:
        limits = self._limits()
        self._stack.resample(self.share, limits, self.is_sampled)
        for caches in self._caches.values():
            for cache, (entries, size) in zip(caches, limits, strict=True):
                cache.resample(entries * self.share, size * self.share, self.is_sampled)

    # --- what they say

    def points(self) -> list[Point]:
        """What every policy would bring at every scale."""
        # Too many or too few sampled lookups are those of keys that are always hits.
        missing = self._lookups - self._weighted if self._lookups else 0.0
        lookups = self._lookups or self._weighted
        hours = max(self._now - self._began, 0.0) / 3600
        found = {"lru": list(zip(self._stack.hits, self._stack.recouped, strict=True))}
        found |= {policy: [(cache.hits, cache.recouped) for cache in caches] for policy, caches in self._caches.items()}
        points = []
        for policy in POLICIES:
            for scale, limits, (hits, recouped) in zip(SCALES, self._limits(), found[policy], strict=True):
                ratio = min(max((hits + missing) / lookups, 0.0), 1.0) if lookups else None
                corrected = recouped * (hits + missing) / hits if hits > 0 else 0.0
                points.append(
                    Point(
                        policy,
                        scale,
                        limits[0],
                        self._max_memory_mb * scale,
                        ratio,
                        max(corrected, 0.0) / hours if hours else None,
                    )
                )
        return points
