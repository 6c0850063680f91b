"""Plain simulations of the policies, as their publications tell them: lists, searched from end to end."""

from __future__ import annotations

import gzip
import random
from collections.abc import Hashable, Sequence
from functools import cache
from pathlib import Path

from recoup.cache import ResultCache

TRACES = Path(__file__).resolve().parents[4] / "shared" / "traces"
OWN = Path(__file__).parents[1] / "traces" / "own.txt.gz"


@cache
def trace(name: str) -> tuple[int, ...]:
    """A trace by its name: `own`, `web07`, `web12`."""
    with gzip.open(OWN if name == "own" else TRACES / f"cache2k-{name}.txt.gz", "rt") as lines:
        return tuple(int(line) for line in lines)


@cache
def zipf(requests: int = 60_000, keys: int = 20_000, alpha: float = 0.9) -> tuple[int, ...]:
    """Independent requests of Zipf popularity."""
    drawn = random.Random(7)
    return tuple(drawn.choices(range(keys), [1 / (rank + 1) ** alpha for rank in range(keys)], k=requests))


def replayed(policy: str, keys: Sequence[int], size: int) -> int:
    """The hits of a cache, each of whose entries costs a second for each byte that it takes."""
    replayed = ResultCache[int](policy=policy, max_size=size)
    names = [f"{key:+020}" for key in keys]  # all of one size, as small integers are not
    replayed[f"{0:+020}"] = 0
    cost = float(replayed.entries()[0]["size_bytes"])
    replayed = ResultCache[int](policy=policy, max_size=size)
    for name in names:
        if replayed.get(name) is None:
            replayed.set(name, 0, cost_seconds=cost)
    stats = replayed.stats()
    assert {0} == set(stats.internal_errors.values())
    return stats.hits


def s3fifo(keys: Sequence[Hashable], size: int) -> int:
    """The hits of S3-FIFO: algorithm 1 of the publication, with the choices of libCacheSim."""
    small: list[Hashable] = []
    main: list[Hashable] = []
    ghosts: list[Hashable] = []
    reads: dict[Hashable, int] = {}
    most_small, most_ghosts = size // 10, 9 * size // 10
    hits, full = 0, False
    for key in keys:
        if key in reads:
            reads[key] += 1
            hits += 1
            continue
        returns = key in ghosts
        if returns:
            ghosts.remove(key)
        while len(reads) >= size:
            full = True
            if small and len(main) <= size - most_small:
                oldest = small.pop(0)
                if reads[oldest] >= 2:
                    main.append(oldest)
                    reads[oldest] = 0
                    continue
                ghosts.append(oldest)
                del ghosts[: max(0, len(ghosts) - most_ghosts)]
            else:
                oldest = main.pop(0)
                if reads[oldest]:
                    main.append(oldest)
                    reads[oldest] = min(reads[oldest], 3) - 1
                    continue
            del reads[oldest]
        into_main = returns or (not full and len(small) >= most_small)
        (main if into_main else small).append(key)
        reads[key] = 0
    return hits


def gdsf(keys: Sequence[Hashable], size: int) -> int:
    """The hits of Greedy-Dual-Size-Frequency where every entry costs one for each byte."""
    held: dict[Hashable, tuple[float, int, int]] = {}
    inflation, hits = 0.0, 0
    for number, key in enumerate(keys):
        frequency = 1
        if key in held:
            hits += 1
            frequency = held[key][2] + 1
        elif len(held) >= size:
            victim = min(held, key=held.__getitem__)
            inflation = held.pop(victim)[0]
        held[key] = (inflation + frequency, number, frequency)
    return hits
