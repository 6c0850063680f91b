"""The process-wide cache, made from the environment: what `get_cache` gives at first use."""

from __future__ import annotations

from recoup.cache import LRUCache, get_cache, set_cache
from recoup.settings import Settings

__all__ = ["cache_from_environment", "get_cache", "set_cache"]


def cache_from_environment() -> LRUCache:
    """A cache as the environment says.

    Raises:
        SettingError: A variable that it is made from cannot be used.
    """
    return LRUCache(**Settings.from_environment(parts=("cache",)).cache_options())
