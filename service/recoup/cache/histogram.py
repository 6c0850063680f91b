"""A histogram of fixed buckets. Not safe under threads by itself: its owner holds a lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
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

    def observe_all(self, observations: Iterable[tuple[float, str]], timestamp: float) -> None:
        """Count many observations, each with its trace id, in their order."""
        bounds, counts, total = self.bounds, self.counts, 0.0
        newest: dict[int, tuple[float, str]] = {}
        for observation in observations:
            bucket = bisect_left(bounds, observation[0])
            counts[bucket] += 1
            total += observation[0]
            newest[bucket] = observation
        self.total += total
        for bucket, (value, trace_id) in newest.items():
            self._exemplars[bucket] = (trace_id, value, timestamp)

    def snapshot(self) -> HistogramSnapshot:
        """The histogram as it is now."""
        kept = self._exemplars
        exemplars = {bucket: Exemplar(*kept[bucket]) for bucket in kept} if kept else _NO_EXEMPLARS
        return HistogramSnapshot(self.bounds, tuple(self.counts), self.total, exemplars)
