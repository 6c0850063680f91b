"""A histogram of fixed buckets. Not safe under threads by itself: its owner holds a lock."""

from __future__ import annotations

from bisect import bisect_left
from types import MappingProxyType

from recoup.cache.records import Exemplar, HistogramSnapshot

_NO_EXEMPLARS: MappingProxyType[int, Exemplar] = MappingProxyType({})


class Histogram:
    """Counts observations by bucket, as Prometheus does: a bucket holds what is at most its upper bound.

    Args:
        bounds: Upper bounds, ascending, without infinity.
    """

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Count one observation, and keep its exemplar as its bucket's newest."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if exemplar is not None:
            self.exemplars[bucket] = exemplar

    def snapshot(self) -> HistogramSnapshot:
        """The histogram as it is now."""
        exemplars = dict(self.exemplars) if self.exemplars else _NO_EXEMPLARS
        return HistogramSnapshot(self.bounds, tuple(self.counts), self.total, exemplars)
