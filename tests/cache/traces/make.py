"""Makes `own.txt.gz`: python tests/cache/traces/make.py. A trace of the project's own, free of any rights of others.

Twenty thousand lookups of Zipf popularity (alpha 0.9) over four thousand keys, whose favourites change half-way, with
scans in between: what a cache of results meets, in small.
"""

from __future__ import annotations

import gzip
import random
from pathlib import Path

LENGTH, KEYS, ALPHA = 20_000, 4_000, 0.9


def lookups() -> list[int]:
    drawn = random.Random(20240301)
    weights = [1 / rank**ALPHA for rank in range(1, KEYS + 1)]
    keys = [*range(KEYS)]
    drawn.shuffle(keys)
    trace: list[int] = []
    while len(trace) < LENGTH:
        if len(trace) >= LENGTH // 2 and keys[0] >= 0:
            keys = [-1 - key for key in keys]  # other favourites
        trace += drawn.choices(keys, weights, k=450)
        start = drawn.randrange(10**6, 2 * 10**6)
        trace += range(start, start + 50)
    return trace[:LENGTH]


if __name__ == "__main__":
    text = "".join(f"{key}\n" for key in lookups()).encode()
    # Without a time in its header, so that the same trace is the same file.
    Path(__file__).with_name("own.txt.gz").write_bytes(gzip.compress(text, 9, mtime=0))
