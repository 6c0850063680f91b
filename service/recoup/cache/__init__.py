"""The core: an exact LRU result cache with a full account of itself. Standard library only, no I/O."""

from __future__ import annotations

from recoup.cache.decorator import cached_result
from recoup.cache.entry import CacheEntry
from recoup.cache.fetching import Mode
from recoup.cache.gate import Gate
from recoup.cache.keys import digest
from recoup.cache.limits import DEFAULT
from recoup.cache.lru import LRUCache
from recoup.cache.records import CacheStats, Lookup
from recoup.cache.singleton import get_cache, set_cache
from recoup.cache.sizing import measure

__all__ = [
    "DEFAULT",
    "CacheEntry",
    "CacheStats",
    "Gate",
    "LRUCache",
    "Lookup",
    "Mode",
    "cached_result",
    "digest",
    "get_cache",
    "measure",
    "set_cache",
]
