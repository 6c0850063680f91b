"""Purges: how long one takes with a million entries held, and what hits cost before, during and after it.

Hits take turns with those of a cache that holds as much and is never purged.
"""

from __future__ import annotations

import time

from benchmarks.measuring import calling
from benchmarks.table import Row
from recoup import LRUCache

_HELD, _KEPT = 1_000_000, 1000
_TURNS = 60
#: Seconds that a purge may take, and what a hit may cost more before and after it.
_PURGE_SECONDS, _HIT = 0.010, 1.05


def purges() -> list[Row]:
    """A soft purge of a million, a hard one of the same, and hits in between."""
    purged, other = _filled(), _filled()
    rows = [_hits("before", purged, other)]
    for soft in (True, False):
        kind = "soft" if soft else "hard"
        started = time.perf_counter()
        purged.purge(["all"], soft=soft)
        seconds = time.perf_counter() - started
        figure = f"{seconds * 1e3:.2f} ms"
        rows.append(
            Row(f"{kind} purge of 1,000,000, in tens of ms", "-", figure, seconds / _PURGE_SECONDS, at_most=1.0)
        )
        rows.append(_hits(f"while the {kind} purge is not done", purged, other))
    started = time.perf_counter()
    while purged.collect_purged():
        pass
    rows.append(Row("the rest of it", "-", f"{time.perf_counter() - started:.2f} s"))
    rows.append(_hits("after", purged, other))
    assert len(purged) == _KEPT  # or nothing was measured
    return rows


def _filled() -> LRUCache:
    cache = LRUCache(max_size=2 * _HELD, max_memory_mb=10**6)
    for number in range(_HELD):
        cache.set(number, b"", groups=["all"])
    for number in range(_KEPT):
        cache.set(str(number), b"", groups=["kept"])
    return cache


def _hits(when: str, purged: LRUCache, other: LRUCache) -> Row:
    """Processor seconds of the fastest turn of each."""
    keys = [str(number) for number in range(_KEPT)]
    works = {"purged": calling(purged.get, keys), "never purged": calling(other.get, keys)}
    fastest = dict.fromkeys(works, float("inf"))
    for turn in range(_TURNS):
        for who in list(works)[:: 1 if turn % 2 else -1]:
            started = time.thread_time()
            works[who]()
            fastest[who] = min(fastest[who], time.thread_time() - started)
    ours, theirs = (fastest[who] / _KEPT for who in works)
    least = None if when.startswith("while") else _HIT
    return Row(
        f"a hit {when}", "never purged", f"{ours * 1e9:.0f} ns, {theirs * 1e9:.0f} ns", ours / theirs, at_most=least
    )
