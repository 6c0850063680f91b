"""What storing and a decorated call cost, beside `cachetools` under a lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cachetools

from benchmarks.contenders import TTL
from benchmarks.hits import keys_of
from benchmarks.measuring import calling, side_by_side
from benchmarks.table import Row
from recoup import LRUCache, cached_result

_CALLS = 10_000
_ENTRIES = 1000
_ROUNDS = 21
_VALUE = b"x" * 1024
#: A decorated hit makes a key of its arguments: it may take 2.5 us where `cachetools.cached` with a lock takes 1.5.
_DECORATED = 2.5 / 1.5


def _locked_set(size: int) -> Callable[[str], None]:
    cache: cachetools.TTLCache[str, bytes] = cachetools.TTLCache(size, TTL)
    lock = threading.RLock()

    def assign(key: str) -> None:
        with lock:
            cache[key] = _VALUE

    return assign


def _set(size: int) -> Callable[[str], bool]:
    cache = LRUCache(max_size=size)
    return lambda key: cache.set(key, _VALUE)


def sets() -> list[Row]:
    """`set` of new keys, where each evicts another, and of keys that are there."""
    keys = keys_of(_CALLS)
    rows = []
    for what, size in (("set of a new key, one thread", _ENTRIES), ("set of a known key, one thread", 2 * _CALLS)):
        work = {"recoup": calling(_set(size), keys), "cachetools.TTLCache + RLock": calling(_locked_set(size), keys)}
        times = side_by_side(work, rounds=_ROUNDS, operations=_CALLS, clock=time.thread_time)
        rows += [
            Row(what, "recoup", f"{times['recoup'] * 1e9:.0f} ns"),
            Row.times(what, "cachetools.TTLCache + RLock", times, times["recoup"], at_least=1 / 2),
        ]
    return rows


def decorated() -> list[Row]:
    """A hit of a decorated function of two plain arguments."""

    def plain(number: int, text: str) -> int:
        return number

    ours = cached_result(cache=LRUCache())(plain)
    theirs = cachetools.cached(cachetools.LRUCache(_ENTRIES), lock=threading.RLock())(plain)
    numbers = [number % 16 for number in range(_CALLS)]
    work = {
        "recoup": calling(lambda number: ours(number, "text"), numbers),
        "cachetools.cached + RLock": calling(lambda number: theirs(number, "text"), numbers),
    }
    times = side_by_side(work, rounds=_ROUNDS, operations=_CALLS, clock=time.thread_time)
    what = "hit of a decorated function"
    return [
        Row(what, "recoup", f"{times['recoup'] * 1e9:.0f} ns"),
        Row.times(what, "cachetools.cached + RLock", times, times["recoup"], at_least=1 / _DECORATED),
    ]
