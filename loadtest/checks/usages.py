"""Single requests, duplicates, pairs and triples; and the table that the product promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

from loadtest import theory
from loadtest.checks import clients, counters, words
from loadtest.checks.case import Bounds, Case, failed, judged
from loadtest.journal import Phase
from loadtest.result import Check, Usage
from recoup.telemetry.catalogue import GENERATION_DURATION, REQUEST_DURATION

#: Scenarios and their names in the table.
NAMES = {
    "single": "Single request",
    "duplicate": "Duplicate request",
    "pair": "2-item pipeline",
    "triple": "3-item pipeline",
    "typical": "Typical usage",
}
#: Equal requests in a batch.
_SIZES = {"pair": 2, "triple": 3}
_EXACT = 1e-9


def checks(case: Case) -> Iterator[Check]:
    """Those of the scenarios that ran."""
    for scenario in ("single", "duplicate", *_SIZES):
        if not case.played(scenario):
            continue
        cached = case.run.phase(scenario, "cached")
        if cached is None or usage(case, scenario) is None:
            yield failed(scenario, "Gain", "a figure", "the run has no answers with and without the cache")
        elif scenario == "single":
            yield from _single(case, cached)
        elif scenario == "duplicate":
            yield from _duplicate(case, cached)
        else:
            yield from _batches(case, cached, _SIZES[scenario])


def _single(case: Case, cached: Phase) -> Iterator[Check]:
    asked = case.asked
    yield _hit_ratio(cached, 0.0)
    yield _gain(case, "single", Bounds(asked.single_gain_min, asked.single_gain_max))
    yield _miss_overhead(case, cached)


def _miss_overhead(case: Case, cached: Phase) -> Check:
    """What callers of a miss waited beyond its generation, by the service's own clocks."""
    name, bounds = "Overhead of a miss", Bounds(high=case.asked.miss_overhead_max)
    waited = counters.growth(cached, f"{REQUEST_DURATION.name}_sum", outcome="miss")
    generated = counters.growth(cached, f"{GENERATION_DURATION.name}_sum")
    misses = counters.growth(cached, f"{REQUEST_DURATION.name}_count", outcome="miss")
    if generated <= 0 or misses <= 0:
        return failed("single", name, bounds.said(words.percent), "the service counts no generations")
    detail = (
        f"{words.seconds(generated / misses)} to generate, {words.seconds((waited - generated) / misses)} beside it"
    )
    return judged("single", name, (waited - generated) / generated, bounds, words.percent, detail)


def _duplicate(case: Case, cached: Phase) -> Iterator[Check]:
    asked, found = case.asked, clients.outcomes(cached.requests)
    others = f"{words.count(found['hit'], 'hit')} in {words.count(len(cached.requests), 'request')}"
    all_but_one = found["hit"] == len(cached.requests) - 1
    yield Check("duplicate", "Hits", others, "all but the first", all_but_one)
    yield _server_hits(cached, asked.hit_seconds_max)
    middle = clients.middle(clients.waited(cached.requests, "hit"))
    bounds = Bounds(high=asked.hit_client_seconds_max)
    yield judged("duplicate", "A hit, as clients see it", middle, bounds, words.seconds, "the median")


def _server_hits(cached: Phase, most: float) -> Check:
    hits = counters.growth(cached, f"{REQUEST_DURATION.name}_count", outcome="hit")
    waited = counters.growth(cached, f"{REQUEST_DURATION.name}_sum", outcome="hit")
    mean = waited / hits if hits > 0 else None
    detail = "the mean" if hits > 0 else "the service counts no hits"
    return judged("duplicate", "A hit, as the service measures it", mean, Bounds(high=most), words.seconds, detail)


def _batches(case: Case, cached: Phase, size: int) -> Iterator[Check]:
    tolerance = case.asked.batch_gain_tolerance
    yield _hit_ratio(cached, (size - 1) / size)
    yield _gain(case, cached.scenario, Bounds(size * (1 - tolerance), size * (1 + tolerance)))


def _hit_ratio(cached: Phase, exactly: float) -> Check:
    found = clients.hit_ratio(cached.requests)
    passed = found is not None and math.isclose(found, exactly, abs_tol=_EXACT)
    measured = "nothing" if found is None else words.percent(found)
    return Check(cached.scenario, "Hit ratio", measured, words.percent(exactly), passed)


def _gain(case: Case, scenario: str, bounds: Bounds) -> Check:
    row = usage(case, scenario)
    return judged(scenario, "Gain", None if row is None else row.gain, bounds, words.times, _compared(row))


def _compared(row: Usage | None) -> str:
    if row is None:
        return ""
    return f"{words.seconds(row.without_seconds)} without the cache, {words.seconds(row.with_seconds)} with it"


def table(case: Case) -> tuple[Usage, ...]:
    """The rows of the scenarios that ran and have answers."""
    found = (usage(case, scenario) for scenario in NAMES)
    return tuple(each for each in found if each is not None)


def usage(case: Case, scenario: str) -> Usage | None:
    """A row of the table; None where the run does not have it.

    The scaled columns are computed. With G the generation that was asked for, h the measured hit ratio (coalesced
    lookups wait for a generation, and stand with the misses here), and measured means:

        overhead      = mean wait of a miss, by the service's clock, less its generation
        scaled without = G + overhead
        scaled with    = (1 - h) (G + overhead) + h (mean wait of a hit, as clients see it)
    """
    cached, without = (case.run.phase(scenario, part) for part in ("cached", "without"))
    if cached is None or without is None:
        return None
    slow, fast = (clients.mean(clients.waited(clients.generations(phase))) for phase in (without, cached))
    ratio = clients.hit_ratio(cached.requests)
    if slow is None or not fast or ratio is None:
        return None
    limit = theory.limit(ratio)
    long = case.setting("scaled_generation_seconds") + miss_overhead_seconds(cached)
    hit = clients.mean(clients.waited(cached.requests, *clients.HITS)) or 0.0
    scaled = (1 - ratio) * long + ratio * hit
    return Usage(
        name=NAMES[scenario],
        requests=len(cached.requests),
        without_seconds=slow,
        with_seconds=fast,
        gain=slow / fast,
        hit_ratio=ratio,
        limit=limit if math.isfinite(limit) else None,
        scaled_without_seconds=long,
        scaled_with_seconds=scaled,
        scaled_gain=long / scaled,
    )


def miss_overhead_seconds(phase: Phase) -> float:
    """What a caller of a miss waited beyond its generation, in the mean, by the service's clock; 0 without misses."""
    misses = counters.growth(phase, f"{REQUEST_DURATION.name}_count", outcome="miss")
    waited = counters.growth(phase, f"{REQUEST_DURATION.name}_sum", outcome="miss")
    generated = counters.growth(phase, f"{GENERATION_DURATION.name}_sum")
    return max(0.0, (waited - generated) / misses) if misses > 0 else 0.0
