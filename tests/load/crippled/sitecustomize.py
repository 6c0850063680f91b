"""Cripples a cache on purpose: on a service's PYTHONPATH, with RECOUP_X_CRIPPLED naming how. A verdict has to notice.

Python imports a module of this name at its start, in every process, before anything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_LIE = 0.03


def reversed_order() -> None:
    """Evict what was used last instead of what was used least recently."""
    from recoup.cache.store import Store

    def shrink(self: Store, now: float, writer: Any = None) -> list[Any]:
        gone = []
        while len(self.live) > self.max_size or self.memory_bytes > self.max_memory_bytes:
            newest = next(self.order.newest_first())
            self.evict(newest, "size" if len(self.live) > self.max_size else "memory", now)
            gone.append(newest)
        return gone

    Store.shrink = shrink  # type: ignore[method-assign]


def one_second() -> None:
    """Let every entry expire after a second, whatever the configuration says."""
    from recoup.cache.lru import ResultCache

    ResultCache._ttl = lambda self, ttl_seconds: 1.0  # type: ignore[method-assign]


def tenth() -> None:
    """Keep a tenth of the entries that the configuration allows."""
    from recoup.cache.store import Store

    whole = Store.shrink

    def shrink(self: Store, now: float, writer: Any = None) -> list[Any]:
        limit = self.max_size
        self.max_size = max(1, limit // 10)
        try:
            return whole(self, now, writer)
        finally:
            self.max_size = limit

    Store.shrink = shrink  # type: ignore[method-assign]


def lying() -> None:
    """Count three hits in a hundred twice."""
    from recoup.cache.counters import PipelineCounters

    honest = PipelineCounters.count_hits
    owed: dict[int, float] = {}

    def count_hits(self: PipelineCounters, hits: int, recouped_seconds: float) -> None:
        owed[id(self)] = owed.get(id(self), 0.0) + _LIE * hits
        more = int(owed[id(self)])
        owed[id(self)] -= more
        honest(self, hits + more, recouped_seconds)

    PipelineCounters.count_hits = count_hits  # type: ignore[method-assign]


WAYS: dict[str, Callable[[], None]] = {
    "reversed-order": reversed_order,
    "one-second": one_second,
    "tenth": tenth,
    "lying": lying,
}

if "RECOUP_X_CRIPPLED" in os.environ:
    WAYS[os.environ["RECOUP_X_CRIPPLED"]]()
