"""In-process hits, in one thread and in four."""

from __future__ import annotations

import time

from benchmarks import contenders
from benchmarks.measuring import calling, in_threads, side_by_side, zipf
from benchmarks.table import Row

_ENTRIES = 1000
_CALLS = 20_000
_ROUNDS = 41
_THREADS = 4
#: Measured: 4.7 to 6.4 times, from run to run.
_TIMES_TTLCACHE = 4.5
_VALUE = b"x" * 1024


def keys_of(count: int) -> list[str]:
    return [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(1, count + 1)]


def one_thread() -> list[Row]:
    """A hit by `get`, beside what a user would pick instead: Zipf popularity (alpha 1) over 1,000 entries."""
    keys = keys_of(_ENTRIES)
    cachetools_get, cachetools_subscript = contenders.cachetools_caches(keys, _VALUE)
    gets = {
        "recoup": contenders.recoup_cache(keys, _VALUE).get,
        "cachetools.TTLCache + RLock": cachetools_get,
        "cachetools.TTLCache + RLock, cache[key]": cachetools_subscript,
        "OrderedDict + RLock, same features": contenders.locked_ordered_dict(keys, _VALUE),
        "moka-py": contenders.moka(keys, _VALUE),
        "cachebox.TTLCache": contenders.cachebox_ttl(keys, _VALUE),
        "cachebox.LRUCache": contenders.cachebox_lru(keys, _VALUE),
        "lru-dict": contenders.lru_dict(keys, _VALUE),
        "functools.lru_cache": contenders.functools_lru_cache(keys, _VALUE),
    }
    rows = []
    for name, sequence in (
        ("Zipf", zipf(keys, _CALLS, 1.0, seed=1)),
        ("uniform", zipf(keys, _CALLS, 0.0, seed=2)),
    ):
        times = side_by_side(
            {who: calling(get, sequence) for who, get in gets.items()},
            rounds=_ROUNDS,
            operations=_CALLS,
            clock=time.thread_time,
        )
        ours = times["recoup"]
        what = f"in-process hit, one thread, {name}"
        required = name == "Zipf"
        rows += [
            Row(what, "recoup", f"{ours * 1e9:.0f} ns"),
            Row.times(what, "cachetools.TTLCache + RLock", times, ours, at_least=_TIMES_TTLCACHE if required else None),
            Row.times(what, "cachetools.TTLCache + RLock, cache[key]", times, ours),
            Row.times(what, "OrderedDict + RLock, same features", times, ours),
            Row.times(what, "moka-py", times, ours, at_least=1 / 1.5 if required else None),
            *(Row.times(what, who, times, ours) for who in list(gets)[5:]),
        ]
    return rows


def four_threads() -> list[Row]:
    """The same hits in four threads at once."""
    keys = keys_of(_ENTRIES)
    sequence = zipf(keys, _CALLS, 1.0, seed=3)
    cachetools_get, _ = contenders.cachetools_caches(keys, _VALUE)
    gets = {
        "recoup": contenders.recoup_cache(keys, _VALUE).get,
        "OrderedDict + RLock, same features": contenders.locked_ordered_dict(keys, _VALUE),
        "cachetools.TTLCache + RLock": cachetools_get,
        "moka-py": contenders.moka(keys, _VALUE),
    }
    work = {who: in_threads(calling(get, sequence), _THREADS) for who, get in gets.items()}
    times = side_by_side(work, rounds=_ROUNDS // 2, operations=_CALLS * _THREADS)
    ours = times["recoup"]
    what = "in-process hit, four threads"
    return [
        Row(what, "recoup", f"{ours * 1e9:.0f} ns"),
        Row.times(what, "OrderedDict + RLock, same features", times, ours, at_least=3.0),
        Row.times(what, "cachetools.TTLCache + RLock", times, ours),
        Row.times(what, "moka-py", times, ours),
    ]
