"""A cache scaled down: the policy's own order, over a sample of the keys, within limits in the same proportion.

Waldspurger, Saemundsson, Ahmad and Park: Cache modeling and optimization using miniature simulations. USENIX ATC 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from recoup.cache.policies import POLICIES


class _Entry:
    __slots__ = ("cost_seconds", "expires_at", "key", "newer", "older", "rank", "size_bytes")

    def __init__(self, key: int, size: int, cost: float, expires_at: float) -> None:
        self.key = key
        self.size_bytes = size
        self.cost_seconds = cost
        self.expires_at = expires_at
        self.newer = self.older = None


class MiniatureCache:
    """One policy at one scale.

    Args:
        policy: Its name.
        max_entries: The limit of entries, scaled down.
        max_bytes: The limit of bytes, scaled down.

    Attributes:
        hits: Weighted lookups that were hits.
        recouped: Weighted seconds that these recouped.
    """

    __slots__ = ("_bytes", "_live", "_max_bytes", "_max_entries", "_order", "_soonest", "_sweep", "hits", "recouped")

    def __init__(self, policy: str, max_entries: float, max_bytes: float) -> None:
        self._order = POLICIES[policy].make_order()
        self._live: dict[int, _Entry] = {}
        self._bytes = 0
        self._max_entries = max(1, round(max_entries))
        self._max_bytes = max_bytes
        self._sweep: Any = None
        #: Nothing has expired before.
        self._soonest = math.inf
        self.hits = 0.0
        self.recouped = 0.0

    def __len__(self) -> int:
        return len(self._live)

    def resample(self, max_entries: float, max_bytes: float, keeps: Callable[[int], bool]) -> None:
        """Go on within other limits: keys that `keeps` refuses are dropped."""
        self._max_entries = max(1, round(max_entries))
        self._max_bytes = max_bytes
        for entry in [entry for entry in self._live.values() if not keeps(entry.key)]:
            self._remove(entry)
        self._shrink()

    def lookup(self, key_hash: int, at: float, weight: float) -> None:
        """Count one lookup of a key."""
        entry = self._live.get(key_hash)
        if entry is None:
            return
        if at >= entry.expires_at:
            self._remove(entry)
            return
        self._order.touch({entry: 1})
        self.hits += weight
        self.recouped += weight * entry.cost_seconds

    def store(self, key_hash: int, at: float, size: int, cost: float, ttl: float) -> None:
        """Note that a key was stored, if it is not held."""
        held = self._live.get(key_hash)
        if held is not None:
            if at < held.expires_at:
                return
            self._remove(held)
        if size > self._max_bytes:
            return
        entry = self._live[key_hash] = _Entry(key_hash, size, cost, at + ttl)
        self._order.insert(entry)
        self._bytes += size
        if entry.expires_at < self._soonest:
            self._soonest = entry.expires_at
        if at >= self._soonest:
            self._collect(at)
        self._shrink()

    def _remove(self, entry: _Entry) -> None:
        if entry is self._sweep:
            self._sweep = self._order.after(entry)
        del self._live[entry.key]
        self._bytes -= entry.size_bytes
        self._order.remove(entry)

    def _shrink(self) -> None:
        live, order = self._live, self._order
        while len(live) > self._max_entries or (self._bytes > self._max_bytes and live):
            self._remove(order.victim(len(live) <= self._max_entries))

    def _collect(self, at: float) -> None:
        """Look at the next few entries for expiry, as the cache itself does."""
        for _ in range(4):
            entry = self._sweep if self._sweep is not None else self._order.first()
            if entry is None:
                return
            self._sweep = self._order.after(entry)
            if at >= entry.expires_at:
                self._remove(entry)
