"""How the process-wide cache is made: from the environment. The core itself reads none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from recoup.cache import LRUCache
from recoup.settings import Settings


def cache_from_environment(environ: Mapping[str, str] = os.environ) -> LRUCache:
    """A cache as the environment configures it; the factory of `get_cache`.

    Raises:
        SettingError: A variable that it is made from cannot be used.
    """
    return LRUCache(**Settings.from_environment(environ, parts=("cache",)).cache_options())
