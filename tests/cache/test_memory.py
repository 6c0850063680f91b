"""What the cache says that it holds, against what a process of its own grows by."""

from __future__ import annotations

import json

import pytest

from recoup.cache import LRUCache
from recoup.cache.sizing import measure_key

from .support import in_a_new_process

#: Fills a cache and prints the bytes accounted for, and the growth of the process' own memory as the kernel sees it:
#: pages of files, which the kernel takes away and gives back as others need memory, are not among it.
PROGRAM = """
import ctypes, dataclasses, gc, json, os, sys
from recoup.cache import LRUCache, digest

kind, count = sys.argv[1], int(sys.argv[2])

@dataclasses.dataclass
class Vertex:
    x: float
    y: float
    names: list

@dataclasses.dataclass
class Slim:
    __slots__ = ("x", "y")
    x: float
    y: float

class Plain:
    def __init__(self, i):
        self.index, self.text, self.pairs = i, f"text of {i:10d}", {f"k{i}-{j}": float(j + i) for j in range(20)}

def make(i):
    size, _, what = kind.partition(" ")
    if what == "bytes":
        return os.urandom(int(size))
    if what == "array":
        import numpy
        return numpy.full(int(size) // 8, float(i))
    if what == "views":
        import numpy
        return numpy.full(int(size) // 8, float(i)).reshape(-1, 4)[::2]
    if what == "arrays":
        import numpy
        return [numpy.full(32, float(i + j)) for j in range(int(size) // 256)]
    if what == "dataclasses":
        return [Vertex(i + j / 7, i - j / 7, [f"{i}/{j}", i * 1000 + j]) for j in range(int(size))]
    if what == "slots":
        return [Slim(i + j / 7, i - j / 7) for j in range(int(size))]
    if what == "dictionaries":
        return {f"{i}:{j}": {"name": f"name {i} {j}", "values": [float(i + j), i + j + 1000]} for j in range(int(size))}
    if what == "text":
        return [f"line {j} of {i}" * 4 for j in range(int(size))]
    if what == "objects":
        return [Plain(i * 100 + j) for j in range(int(size))]
    raise SystemExit(f"no such kind: {kind}")

def own_memory():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what imports have freed would be filled first, and not be seen as growth
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Anonymous:", "Swap:")))

def fill(cache, numbers):
    for i in numbers:
        cache.set(digest(i), make(i))

# Whatever is set up once (imports, tables, free lists, the dictionary's first size) is there before the measurement.
warm = LRUCache(max_size=count + 8)
fill(warm, range(-8, 0))
cache = LRUCache(max_size=count, max_memory_mb=4096)
fill(cache, [0])
before = own_memory()
accounted = cache.stats().memory_bytes
fill(cache, range(1, count))
print(json.dumps([cache.stats().memory_bytes - accounted, own_memory() - before, len(cache)]))
"""
KINDS = [
    ("1024 bytes", 30_000),
    ("10240 bytes", 4_000),
    ("102400 bytes", 400),
    ("1024 array", 20_000),
    ("10240 array", 4_000),
    ("102400 array", 400),
    ("10240 views", 2_500),
    ("10240 arrays", 1_000),
    ("40 dataclasses", 2_000),
    ("100 slots", 2_000),
    ("30 dictionaries", 2_000),
    ("50 text", 4_000),
    ("10 objects", 1_000),
]


def measured(kind: str, count: int) -> tuple[int, int]:
    accounted, grown, held = json.loads(in_a_new_process(PROGRAM, kind, str(count), PYTHONHASHSEED="0"))
    assert count == held
    print(f"{kind:>16}: accounted {accounted:>11,}, grew {grown:>11,}: {accounted / grown - 1:+.1%}")
    return accounted, grown


@pytest.mark.parametrize(("kind", "count"), KINDS, ids=[kind for kind, _ in KINDS])
def test_accounted_bytes_are_within_10_percent_of_the_growth(kind: str, count: int) -> None:
    accounted, grown = measured(kind, count)

    assert 0.9 <= accounted / grown <= 1.1


@pytest.mark.parametrize("size", [4096, 10_000, 100_000, 1_000_000])
def test_bookkeeping_is_under_10_percent_of_the_payload_from_4_kb_on(size: int) -> None:
    cache = LRUCache()
    key = "0123456789abcdef" * 2
    cache.set(key, bytes(size))

    assert 0 < cache.stats().memory_bytes - size - measure_key(key) < 0.1 * size
