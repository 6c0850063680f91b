"""Histograms of fixed buckets, and the upper bounds of those that the cache keeps.

Not safe under threads by themselves: their owner holds a lock. The last bucket, to infinity, is implied.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

from recoup.cache.stats import Exemplar, HistogramSnapshot

#: Seconds that a caller waited: from 50 microseconds, well under any hit over HTTP, to five minutes.
REQUEST_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip

#: Seconds that one generation took.
GENERATION_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0)

#: Seconds since an entry was stored, at a hit or at its eviction: from a second to a week.
AGE_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 21600.0, 43200.0, 86400.0, 259200.0, 604800.0)

#: Bytes that one entry takes, all that is accounted for it: from 512 bytes to 256 MiB.
SIZE_BYTES = (*(float(512 * 4**power) for power in range(10)), float(256 * 2**20))

#: By the bit length of (size - 1): the bucket of a whole number of bytes. The bounds are powers of two, so it is exact.
SIZE_BUCKETS = tuple(bisect_left(SIZE_BYTES, 2**bits) for bits in range(64))

_NO_EXEMPLARS: MappingProxyType[int, Exemplar] = MappingProxyType({})


class Histogram:
    """Counts observations by bucket, as Prometheus does: a bucket holds what is at most its upper bound.

    Args:
        bounds: Upper bounds, ascending, without infinity.
    """

    __slots__ = ("_exemplars", "bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._exemplars: dict[int, tuple[str, float, float]] = {}

    def observe(self, value: float, trace_id: str | None = None, timestamp: float = 0.0) -> None:
        """Count one observation; with a trace id, keep it as its bucket's newest exemplar."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id is not None:
            self._exemplars[bucket] = (trace_id, value, timestamp)

    def observe_all(self, values: Sequence[float], trace_ids: Sequence[str] = (), timestamp: float = 0.0) -> None:
        """Count many observations, in their order; each with its trace id, or none with one."""
        bounds, counts = self.bounds, self.counts
        # Sorted, a look-up for each bound does for all values.
        ordered = sorted(values)
        ends = [0, *(bisect_right(ordered, bound) for bound in bounds), len(ordered)]
        filled = 0
        for bucket, (start, end) in enumerate(pairwise(ends)):
            counts[bucket] += end - start
            filled += end > start
        self.total += sum(values)
        if not trace_ids:
            return
        newest: set[int] = set()
        for value, trace_id in zip(reversed(values), reversed(trace_ids), strict=True):
            bucket = bisect_left(bounds, value)
            if bucket not in newest:
                newest.add(bucket)
                self._exemplars[bucket] = (trace_id, value, timestamp)
                if len(newest) == filled:
                    break

    def snapshot(self) -> HistogramSnapshot:
        """The histogram as it is now."""
        kept = self._exemplars
        exemplars = {bucket: Exemplar(*kept[bucket]) for bucket in kept} if kept else _NO_EXEMPLARS
        return HistogramSnapshot(self.bounds, tuple(self.counts), self.total, exemplars)
