"""Recoup: a result cache for slow, expensive generation work that shows whether it pays."""

from __future__ import annotations

from recoup.cache import (
    CacheEntry,
    CacheStats,
    ConcurrencyLimiter,
    Lookup,
    LRUCache,
    ResultCache,
    cached_result,
    digest,
    get_cache,
    set_cache,
)
from recoup.cache.singleton import set_factory
from recoup.process_cache import cache_from_environment

__version__ = "0.1.0"

__all__ = [
    "CacheEntry",
    "CacheStats",
    "ConcurrencyLimiter",
    "LRUCache",
    "Lookup",
    "ResultCache",
    "__version__",
    "cached_result",
    "digest",
    "get_cache",
    "set_cache",
]

set_factory(cache_from_environment)
