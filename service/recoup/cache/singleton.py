"""The process-wide cache."""

from __future__ import annotations

import threading
from collections.abc import Callable

from recoup.cache.lru import LRUCache, ResultCache

_lock = threading.Lock()
_cache: ResultCache | None = None
_factory: Callable[[], ResultCache] = LRUCache


def get_cache() -> ResultCache:
    """The process-wide cache: made from the environment at first use, the same ever after.

    Raises:
        SettingError: A variable of the environment cannot be used.
    """
    global _cache
    if _cache is None:
        with _lock:
            if _cache is None:
                _cache = _factory()
    return _cache


def set_cache(cache: ResultCache | None) -> None:
    """Make another cache the process-wide one; None: the next `get_cache` makes one anew."""
    global _cache
    with _lock:
        _cache = cache


def set_factory(factory: Callable[[], ResultCache]) -> None:
    """Say how the process-wide cache is made. The core reads no environment itself."""
    global _factory
    _factory = factory
