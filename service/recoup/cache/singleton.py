"""The process-wide cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from recoup.cache.lru import LRUCache, ResultCache

_lock = threading.Lock()
_cache: ResultCache[Any] | None = None
_factory: Callable[[], ResultCache[Any]] = LRUCache


#: The pipelines of functions that are decorated for the process-wide cache.
_announced: dict[str, None] = {}


def announce(pipeline: str) -> None:
    """Have the process-wide cache know a pipeline, whenever it is made: its figures are zeros before its first call."""
    with _lock:
        _announced[pipeline] = None
        cache = _cache
    if cache is not None:
        cache.register(pipeline)


def _register_announced(cache: ResultCache[Any]) -> None:
    for pipeline in list(_announced):
        cache.register(pipeline)


def get_cache() -> ResultCache[Any]:
    """The process-wide cache: made from the environment at first use, the same ever after.

    Raises:
        SettingError: A variable of the environment cannot be used.
    """
    global _cache
    if _cache is None:
        with _lock:
            if _cache is None:
                made = _factory()
                _register_announced(made)
                _cache = made
    return _cache


def set_cache(cache: ResultCache[Any] | None) -> None:
    """Make another cache the process-wide one; None: the next `get_cache` makes one anew."""
    global _cache
    with _lock:
        if cache is not None:
            _register_announced(cache)
        _cache = cache


def set_factory(factory: Callable[[], ResultCache[Any]]) -> None:
    """Say how the process-wide cache is made. The core reads no environment itself."""
    global _factory
    _factory = factory
