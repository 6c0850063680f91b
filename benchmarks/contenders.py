"""What a user would pick instead, each as a function from a key to its value, filled with the same entries."""

from __future__ import annotations

import functools
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import cachebox
import cachetools
import lru
import moka_py

from recoup import LRUCache
from recoup.cache.buckets import AGE_SECONDS

TTL = 86400.0
Get = Callable[[str], Any]


class LockedOrderedDict:
    """The usual cache: an `OrderedDict` under an `RLock`, with the features of ours.

    Exact LRU, a time to live, hits and recouped seconds by pipeline, hits and last use by entry, a histogram of ages.
    """

    def __init__(self, max_size: int) -> None:
        self._entries: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.RLock()
        self._max_size = max_size
        self.pipelines: dict[str, dict[str, Any]] = {}

    def order(self) -> list[str]:
        """The keys, used last last."""
        return list(self._entries)

    def set(self, key: str, value: Any, pipeline: str = "default", cost: float = 1.0) -> None:
        """Store a value."""
        with self._lock:
            now = time.monotonic()
            self._entries[key] = {
                "value": value, "created": now, "expires": now + TTL, "used": now, "hits": 0, "cost": cost,
                "pipeline": pipeline,
            }  # fmt: skip
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_size:
                self._entries.popitem(last=False)

    def get(self, key: str) -> Any:
        """The value of a key; None when there is none."""
        with self._lock:
            entry = self._entries.get(key)
            now = time.monotonic()
            if entry is None or entry["expires"] <= now:
                return None
            self._entries.move_to_end(key)
            entry["hits"] += 1
            entry["used"] = now
            counts = self.pipelines.get(entry["pipeline"])
            if counts is None:
                counts = {"hits": 0, "recouped": 0.0, "ages": [0] * (len(AGE_SECONDS) + 1), "age_total": 0.0}
                self.pipelines[entry["pipeline"]] = counts
            counts["hits"] += 1
            counts["recouped"] += entry["cost"]
            age = now - entry["created"]
            counts["ages"][bisect_left(AGE_SECONDS, age)] += 1
            counts["age_total"] += age
            return entry["value"]


def recoup_cache(keys: Sequence[str], value: Any) -> LRUCache:
    """Ours, filled."""
    cache = LRUCache(max_size=2 * len(keys), max_memory_mb=4096)
    for key in keys:
        cache.set(key, value, cost_seconds=1.0)
    return cache


def cachetools_caches(keys: Sequence[str], value: Any) -> tuple[Get, Get]:
    """`cachetools.TTLCache` under an `RLock`: by `get`, and by subscript."""
    cache: cachetools.TTLCache[str, Any] = cachetools.TTLCache(2 * len(keys), TTL)
    lock = threading.RLock()
    for key in keys:
        cache[key] = value

    def get(key: str) -> Any:
        with lock:
            return cache.get(key)

    def subscript(key: str) -> Any:
        with lock:
            return cache[key]

    return get, subscript


def locked_ordered_dict(keys: Sequence[str], value: Any) -> Get:
    """An `OrderedDict` under an `RLock` with the same features."""
    cache = LockedOrderedDict(2 * len(keys))
    for key in keys:
        cache.set(key, value)
    return cache.get


def moka(keys: Sequence[str], value: Any) -> Get:
    """`moka-py`, with a time to live."""
    cache: moka_py.Moka[str, Any] = moka_py.Moka(2 * len(keys), ttl=TTL)
    for key in keys:
        cache.set(key, value)
    return cache.get


def lru_dict(keys: Sequence[str], value: Any) -> Get:
    """`lru-dict`: no time to live."""
    cache: lru.LRU[str, Any] = lru.LRU(2 * len(keys))
    for key in keys:
        cache[key] = value
    return cache.get


def cachebox_ttl(keys: Sequence[str], value: Any) -> Get:
    """`cachebox.TTLCache`: a time to live, no LRU."""
    cache: cachebox.TTLCache[str, Any] = cachebox.TTLCache(2 * len(keys), TTL)
    for key in keys:
        cache[key] = value
    return cache.get


def cachebox_lru(keys: Sequence[str], value: Any) -> Get:
    """`cachebox.LRUCache`: no time to live."""
    cache: cachebox.LRUCache[str, Any] = cachebox.LRUCache(2 * len(keys))
    for key in keys:
        cache[key] = value
    return cache.get


def functools_lru_cache(keys: Sequence[str], value: Any) -> Get:
    """`functools.lru_cache`: no time to live, no statistics by entry, no limit of bytes."""

    @functools.lru_cache(maxsize=2 * len(keys))
    def cached(key: str) -> Any:
        return value

    for key in keys:
        cached(key)
    return cached
