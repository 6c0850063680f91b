"""Hit and set from a thousand entries to a million, beside a plain dict's look-up and assignment."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from benchmarks.measuring import calling, side_by_side
from benchmarks.table import Row
from recoup import LRUCache

_SIZES = (10**3, 10**4, 10**5, 10**6)
_CALLS = 20_000
_ROUNDS = 15
_FACTOR = 1.5


def _assign(mapping: dict[str, Any]) -> Callable[[str], None]:
    def assign(key: str) -> None:
        mapping[key] = b"y"

    return assign


def _times(size: int) -> dict[str, float]:
    """Seconds for one operation among `size` entries, at keys drawn at random."""
    keys = [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(1, size + 1)]
    drawn = random.Random(size).choices(keys, k=_CALLS)
    cache = LRUCache(max_size=size, max_memory_mb=8192)
    plain: dict[str, Any] = {}
    for key in keys:
        cache.set(key, b"x")
        plain[key] = b"x"
    work = {
        "hit": calling(cache.get, drawn),
        "dict look-up": calling(plain.get, drawn),
        "set": calling(lambda key: cache.set(key, b"y"), drawn),
        "dict assignment": calling(_assign(plain), drawn),
    }
    return side_by_side(work, rounds=_ROUNDS, operations=_CALLS)


def growth() -> list[Row]:
    """How much slower each becomes with the number of entries, as a ratio of growths."""
    times = {size: _times(size) for size in _SIZES}
    first = times[_SIZES[0]]
    rows = []
    for ours, plain in (("hit", "dict look-up"), ("set", "dict assignment")):
        for size in _SIZES:
            grown, plainly = times[size][ours] / first[ours], times[size][plain] / first[plain]
            figure = f"{times[size][ours] * 1e9:.0f} ns, {plain} {times[size][plain] * 1e9:.0f} ns"
            rows.append(Row(f"{ours} at {size:,} entries", f"growth, {plain}'s growth {plainly:.2f}", figure, grown,
                            at_most=plainly * _FACTOR))  # fmt: skip
    return rows
