"""The core: a result cache with a full account of itself. Standard library only, no I/O."""

from __future__ import annotations

from recoup.cache.config import DEFAULT
from recoup.cache.decorator import cached_result
from recoup.cache.entry import CacheEntry
from recoup.cache.keys import digest
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.lookup_steps import Mode
from recoup.cache.lru import LRUCache, ResultCache
from recoup.cache.singleton import get_cache, set_cache
from recoup.cache.sizing import measure
from recoup.cache.stats import CacheStats, Lookup

__all__ = [
    "DEFAULT",
    "CacheEntry",
    "CacheStats",
    "ConcurrencyLimiter",
    "LRUCache",
    "Lookup",
    "Mode",
    "ResultCache",
    "cached_result",
    "digest",
    "get_cache",
    "measure",
    "set_cache",
]
