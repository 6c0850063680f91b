"""What the cache says that it holds, beside what the process grew by: each payload in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.table import Row

_PAYLOADS: dict[str, tuple[int, str]] = {
    "bytes of 1 KB": (60_000, "os.urandom(1000)"),
    "bytes of 4 KB": (30_000, "os.urandom(4096)"),
    "bytes of 10 KB": (12_000, "os.urandom(10_000)"),
    "bytes of 100 KB": (1_500, "os.urandom(100_000)"),
    "nested Python objects": (8_000, "nested(number)"),
    "arrays of 64 KB": (2_000, "numpy.random.default_rng(number).random(8192)"),
}

_PROGRAM = """
import ctypes, dataclasses, gc, json, os, sys
import numpy
from recoup import LRUCache
from recoup.cache.sizing import ENTRY_OVERHEAD, measure_key

@dataclasses.dataclass
class Mesh:
    name: str
    points: list
    tags: dict

def nested(number):
    points = [(float(number) + step, float(step) / 3, -float(step)) for step in range(20)]
    tags = {f"tag {step}": [step * 1000 + number, str(number)] for step in range(8)}
    return Mesh(f"mesh number {number}", points, tags)

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:")) * 1024

def make(number):
    return PAYLOAD

cache = LRUCache(max_size=COUNT, max_memory_mb=4096)
for number in range(20):
    cache.set(f"{number:032x}", make(number))
cache.clear()
before = resident()
for number in range(COUNT):
    cache.set(f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}", make(number))
grown = resident() - before
print(json.dumps({"accounted": cache.stats().memory_bytes, "grown": grown, "overhead": ENTRY_OVERHEAD,
                  "key": measure_key("0" * 32), "count": COUNT}))
"""


def _measured(name: str) -> dict[str, Any]:
    count, payload = _PAYLOADS[name]
    program = _PROGRAM.replace("COUNT", str(count)).replace("PAYLOAD", payload)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def memory() -> list[Row]:
    """Accounted bytes against the growth of the process, and bookkeeping against the payload."""
    rows = []
    within: Callable[[float], float] = lambda ratio: max(ratio, 1 / ratio)  # noqa: E731
    for name in _PAYLOADS:
        measured = _measured(name)
        figure = f"accounted {measured['accounted'] / 1e6:.1f} MB, grew by {measured['grown'] / 1e6:.1f} MB"
        rows.append(
            Row("accounted against grown", name, figure, within(measured["accounted"] / measured["grown"]), at_most=1.1)
        )
        if name == "bytes of 4 KB":
            entry = measured["accounted"] / measured["count"] - measured["key"]
            rows.append(
                Row(
                    "bookkeeping against payload", name, f"{entry - 4096:.0f} bytes", (entry - 4096) / 4096, at_most=0.1
                )
            )
            real = measured["grown"] / measured["count"] - measured["key"] - 4096
            rows.append(Row("the same, as the process grew", name, f"{real:.0f} bytes", real / 4096, at_most=0.1))
    return rows
