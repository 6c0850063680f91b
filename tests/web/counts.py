"""What a cache has counted, as tests compare it."""

from __future__ import annotations

from recoup import LRUCache


def outcomes(cache: LRUCache) -> dict[str, int]:
    """The counts that are not zero."""
    stats = cache.stats()
    counts = {
        "hit": stats.hits,
        "stale": stats.stale,
        "coalesced": stats.coalesced,
        "miss": stats.misses,
        "bypass": stats.bypassed,
    }
    return {name: count for name, count in counts.items() if count}
