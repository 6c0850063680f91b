"""Hit ratios and recouped seconds by policy: `python -m benchmarks.policies --page` writes the table into its page."""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from recoup.cache import ResultCache
from recoup.cache.policies import POLICIES

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "traces"
PAGE = ROOT / "docs" / "explanation" / "policies.md"
_BEGIN, _END = "<!-- policies -->", "<!-- /policies -->"
_MB = 2**20

#: A request: its key, the bytes of its result, the seconds of its generation.
Request = tuple[str, int, float]


class _Sized:
    """A value that is accounted for with so many bytes, and takes none."""

    __slots__ = ("bytes",)

    def __init__(self, size: int) -> None:
        self.bytes = size


def _trace(path: Path) -> list[Request]:
    with gzip.open(path, "rt") as lines:
        return [(f"{int(line):+020}", 1000, 1.0) for line in lines]


def zipf_with_costs(requests: int = 100_000, keys: int = 20_000, alpha: float = 0.9) -> list[Request]:
    """Requests of Zipf popularity; sizes and costs are log-uniform, and depend neither on it nor on each other."""
    drawn = random.Random(2023)
    sizes = [int(1000 * 1000 ** drawn.random()) for _ in range(keys)]
    costs = [0.1 * 1000 ** drawn.random() for _ in range(keys)]
    chosen = drawn.choices(range(keys), [1 / (rank + 1) ** alpha for rank in range(keys)], k=requests)
    return [(f"{key:+020}", sizes[key], costs[key]) for key in chosen]


def _zipf(requests: int = 100_000, keys: int = 20_000, alpha: float = 0.9) -> list[Request]:
    drawn = random.Random(7)
    chosen = drawn.choices(range(keys), [1 / (rank + 1) ** alpha for rank in range(keys)], k=requests)
    return [(f"{key:+020}", 1000, 1.0) for key in chosen]


def replay(requests: Sequence[Request], policy: str, *, max_size: int, max_memory_mb: float) -> tuple[float, float]:
    """The hit ratio of a cache, and the share of all seconds that it recouped."""
    cache = ResultCache[_Sized](
        policy=policy, max_size=max_size, max_memory_mb=max_memory_mb, ttl_seconds=None, sizer=lambda value: value.bytes
    )
    for key, size, cost in requests:
        if cache.get(key) is None:
            cache.set(key, _Sized(size), cost_seconds=cost)
    stats = cache.stats()
    return stats.hit_ratio or 0.0, stats.recouped_seconds / sum(cost for _, _, cost in requests)


def _workloads() -> Iterator[tuple[str, list[Request], list[tuple[str, int, float]]]]:
    entries = [(f"{size:,} entries", size, 1e6) for size in (300, 1000, 3000)]
    yield "web07", _trace(SHARED / "cache2k-web07.txt.gz"), entries
    yield "web12", _trace(SHARED / "cache2k-web12.txt.gz"), entries
    yield "own", _trace(ROOT / "tests" / "cache" / "traces" / "own.txt.gz"), entries
    yield "zipf", _zipf(), entries
    yield "costs", zipf_with_costs(), [(f"{mb} MB", 10**6, mb) for mb in (64, 256, 1024)]


def table() -> str:
    """The table in Markdown: hit ratios; for `costs`, also the shares of all seconds that were recouped."""
    lines = ["| trace | limit | " + " | ".join(f"`{policy}`" for policy in POLICIES) + " |", "|---|---|" + "---|" * 4]
    for name, requests, limits in _workloads():
        for label, max_size, memory in limits:
            figures = {policy: replay(requests, policy, max_size=max_size, max_memory_mb=memory) for policy in POLICIES}
            cells = " | ".join(f"{100 * hits:.1f} %" for hits, _ in figures.values())
            lines.append(f"| `{name}` | {label} | {cells} |")
            if name == "costs":
                cells = " | ".join(f"{100 * seconds:.1f} %" for _, seconds in figures.values())
                lines.append(f"| `{name}`, recouped seconds | {label} | {cells} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the table to standard output, or into its page."""
    if "--page" not in arguments:
        sys.stdout.write(f"{table()}\n")
        return 0
    text = PAGE.read_text()
    head, tail = text.partition(_BEGIN)[0], text.partition(_END)[2]
    PAGE.write_text(f"{head}{_BEGIN}\n{table()}\n{_END}{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
