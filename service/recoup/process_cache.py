"""How the process-wide cache is made: from the environment. The core itself reads none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from recoup.cache import LRUCache, ResultCache
from recoup.settings import Settings


def cache_from_environment(environ: Mapping[str, str] = os.environ) -> ResultCache:
    """A cache as the environment configures it; the factory of `get_cache`. With the policy `lru`, an `LRUCache`.

    Raises:
        SettingError: A variable that it is made from cannot be used.
    """
    options = Settings.from_environment(environ, parts=("cache",)).cache_options()
    if options["policy"] != "lru":
        return ResultCache(**options)
    del options["policy"]
    return LRUCache(**options)
