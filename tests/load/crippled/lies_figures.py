"""Lies of the figures: what is counted, what is accounted, and what `/metrics` says of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from patching import patch

_SCRAPES_SECONDS = 30.0


def hits_3_percent() -> None:
    """Count three hits in a hundred twice, wherever they are told."""
    _count_hits(lambda hits, owed: (hits, owed + 0.03 * hits))


def lost_increment() -> None:
    """Lose one hit in a thousand."""
    _count_hits(lambda hits, owed: (hits, owed - 0.001 * hits))


def _count_hits(change: Callable[[int, float], tuple[int, float]]) -> None:
    from recoup.cache.counters import PipelineCounters

    honest, owed = PipelineCounters.count_hits, dict[int, float]()

    def count_hits(self: PipelineCounters, hits: int, recouped_seconds: float, recouped_cost: float) -> None:
        hits, debt = change(hits, owed.get(id(self), 0.0))
        whole = int(debt)
        owed[id(self)] = debt - whole
        honest(self, hits + whole, recouped_seconds, recouped_cost)

    patch(PipelineCounters, count_hits=count_hits)


def _exposed(change: Callable[[Any, Any], float]) -> None:
    """Export other values than the statistics have; told the family and the sample."""
    from recoup.telemetry.collector import CacheCollector

    collect = CacheCollector.collect

    def collected(self: CacheCollector) -> Iterator[Any]:
        for family in collect(self):
            family.samples = [sample._replace(value=change(family, sample)) for sample in family.samples]
            yield family

    patch(CacheCollector, collect=collected)


def exported_hits() -> None:
    """Export hits three per cent too high."""
    _exposed(lambda _, sample: round(1.03 * sample.value) if sample.labels.get("outcome") == "hit" else sample.value)


def exported_counters() -> None:
    """Export every counter ten per cent too high."""
    _exposed(lambda family, sample: round(1.1 * sample.value, 6) if family.type == "counter" else sample.value)


def _statistics(change: Callable[[Any], Any]) -> None:
    from recoup.cache.counters import PipelineCounters

    honest = PipelineCounters.stats
    patch(PipelineCounters, stats=lambda self: change(honest(self)))


def coalesced_counted_as_hits() -> None:
    """Count who waited for another's generation as a hit."""
    _statistics(lambda stats: replace(stats, hits=stats.hits + stats.coalesced, coalesced=0))


def _moved(counts: Any, one: str, other: str) -> dict[str, int]:
    return {**counts, one: 0, other: counts[other] + counts[one]}


def wrong_reasons_counted() -> None:
    """Count misses after an eviction as expired."""
    _statistics(lambda stats: replace(stats, miss_reasons=_moved(stats.miss_reasons, "evicted", "expired")))


def wrong_causes_counted() -> None:
    """Count evictions by the limit of entries as those by memory."""
    _statistics(lambda stats: replace(stats, evictions=_moved(stats.evictions, "size", "memory")))


def recouped_5_percent() -> None:
    """Count five per cent more seconds than hits recouped."""
    from recoup.cache.counters import PipelineCounters

    honest = PipelineCounters.count_hits
    patch(PipelineCounters, count_hits=lambda self, hits, seconds, cost: honest(self, hits, 1.05 * seconds, cost))


def costs_10_percent() -> None:
    """Take every generation for ten per cent longer than it was."""
    from recoup.cache.generating import GenerationRunner

    honest = GenerationRunner._atimed

    async def timed(self: GenerationRunner, *given: Any) -> tuple[Any, float]:
        value, cost = await honest(self, *given)
        return value, 1.1 * cost

    patch(GenerationRunner, _atimed=timed)


def slow_hits_unrecorded() -> None:
    """Leave the slowest twentieth of hits out of the latencies."""
    from recoup.cache.lru import ResultCache

    honest = ResultCache.record_requests

    def recorded(self: Any, pipeline: str, outcome: Any, waits: Sequence[float], traces: Sequence[str] = ()) -> None:
        kept = sorted(range(len(waits)), key=waits.__getitem__)[: -math.ceil(len(waits) / 20)]
        if kept:
            honest(self, pipeline, outcome, [waits[one] for one in kept], [traces[one] for one in kept])

    patch(ResultCache, record_requests=recorded)


def memory_10_percent() -> None:
    """Account for ten per cent less than an entry takes."""
    from recoup.cache.state import CacheState

    honest = CacheState.size_of

    def size_of(self: CacheState, key: Any, value: Any) -> int | None:
        size = honest(self, key, value)
        return None if size is None else int(0.9 * size)

    patch(CacheState, size_of=size_of)


def old_metrics() -> None:
    """Answer `/metrics` with what was true up to half a minute ago."""
    from recoup.telemetry import exposition

    honest, kept = vars(exposition)["choose_encoder"], dict[str, tuple[float, bytes]]()

    def choose(accept: str) -> tuple[Callable[[Any], bytes], str]:
        encode, content_type = honest(accept)

        def encoded(registry: Any) -> bytes:
            at, text = kept.get(content_type, (-math.inf, b""))
            if time.monotonic() > at + _SCRAPES_SECONDS:
                text = encode(registry)
                kept[content_type] = time.monotonic(), text
            return text

        return encoded, content_type

    patch(exposition, choose_encoder=choose)


def reset_once() -> None:
    """Begin to count anew, once."""
    from recoup.cache.state import CacheState

    honest, misses = CacheState.count_miss, list[int]()

    def count_miss(self: CacheState, *given: Any, **more: Any) -> Any:
        misses.append(1)
        if len(misses) == 200:
            self.reset_counts()
        return honest(self, *given, **more)

    patch(CacheState, count_miss=count_miss)


def leak() -> None:
    """Keep fifty kilobytes of each request for ever."""
    from recoup.web.recorder import RequestRecorder

    honest, kept = RequestRecorder.record_hit, list[bytes]()

    def record_hit(self: RequestRecorder, *given: Any) -> None:
        kept.append(b"%d" % len(kept) * 10_000)
        kept[-1] += b"x" * (50_000 - len(kept[-1]) % 50_000)
        honest(self, *given)

    patch(RequestRecorder, record_hit=record_hit)


WAYS: dict[str, Callable[[], None]] = {
    "hits-3-percent": hits_3_percent,
    "lost-increment": lost_increment,
    "exported-hits": exported_hits,
    "exported-counters": exported_counters,
    "coalesced-counted-as-hits": coalesced_counted_as_hits,
    "wrong-reasons-counted": wrong_reasons_counted,
    "wrong-causes-counted": wrong_causes_counted,
    "recouped-5-percent": recouped_5_percent,
    "costs-10-percent": costs_10_percent,
    "slow-hits-unrecorded": slow_hits_unrecorded,
    "memory-10-percent": memory_10_percent,
    "old-metrics": old_metrics,
    "reset-once": reset_once,
    "leak": leak,
}
