"""A histogram of fixed buckets. Not safe under threads by itself: its owner holds a lock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

from recoup.cache.records import Exemplar, HistogramSnapshot

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

    def observe_all(self, values: Sequence[float], trace_ids: Sequence[str], timestamp: float) -> None:
        """Count many observations, each with its trace id, in their order."""
        bounds, counts = self.bounds, self.counts
        # Sorted, a look-up for each bound does for all values.
        ordered = sorted(values)
        ends = [0, *(bisect_right(ordered, bound) for bound in bounds), len(ordered)]
        filled = 0
        for bucket, (start, end) in enumerate(pairwise(ends)):
            counts[bucket] += end - start
            filled += end > start
        self.total += sum(values)
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
