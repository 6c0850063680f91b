"""Single requests, duplicates, pairs and triples; and the table that the product promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

from loadtest import theory
from loadtest.checks import clients, counters
from loadtest.checks.case import NOTHING, Bounds, Case, Scope, at_most
from loadtest.formatting import count, percent, seconds, times
from loadtest.journal import Phase
from loadtest.result import Check, Usage
from recoup.telemetry.catalogue import REQUEST_DURATION

#: Scenarios and their names in the table.
NAMES = {
    "single": "Single request",
    "duplicate": "Duplicate request",
    "pair": "2-item pipeline",
    "triple": "3-item pipeline",
    "typical": "Typical usage",
    "typical-remote": "Typical usage, generator elsewhere",
}
#: Equal requests in a batch.
_SIZES = {"pair": 2, "triple": 3}
#: The part of a scenario in which the workers begin.
FIRST = "first"


def single(scope: Scope, cached: Phase) -> Iterator[Check]:
    """Nothing is gained, and nothing is lost."""
    asked = scope.asked
    yield _hit_ratio(scope, cached, 0.0)
    yield _gain(scope, asked.single_gain_min, asked.single_gain_max)
    generated, overhead = clients.generated(cached.requests, "miss"), miss_overhead_seconds(cached)
    yield scope.within(
        "Overhead of a miss",
        overhead / generated if generated and overhead is not None else None,
        at_most(asked.miss_overhead_max, percent),
        f"{seconds(generated or 0)} to generate, {seconds(overhead or 0)} beside it",
        why="the service counts no generations",
    )


def duplicate(scope: Scope, _without: Phase, cached: Phase) -> Iterator[Check]:
    """All but the first are hits, and quick."""
    asked, hits = scope.asked, clients.outcomes(cached.requests)["hit"]
    sent = len(clients.generations(cached.requests, cached=True))
    measured = f"{count(hits, 'hit')} in {count(sent, 'request')}"
    yield scope.holds("Hits", measured, "all but the first", hits == sent - 1)
    served = counters.mean(cached, REQUEST_DURATION.name, outcome="hit")
    most = at_most(asked.hit_seconds_max, seconds)
    yield scope.within("A hit, as the service measures it", served, most, "the mean", why="the service counts no hits")
    waited = clients.median(clients.waited(cached.requests, "hit"))
    yield scope.within("A hit, as clients see it", waited, at_most(asked.hit_client_seconds_max, seconds), "the median")


def batches(scope: Scope, cached: Phase) -> Iterator[Check]:
    """The first of each batch is a miss, the others are hits."""
    size, tolerance = _SIZES[scope.scenario], scope.asked.batch_gain_tolerance
    yield _hit_ratio(scope, cached, (size - 1) / size)
    yield _gain(scope, size * (1 - tolerance), size * (1 + tolerance))


def _hit_ratio(scope: Scope, cached: Phase, exactly: float) -> Check:
    ratio = clients.hit_ratio(cached.requests)
    passed = ratio is not None and math.isclose(ratio, exactly, abs_tol=1e-9)
    return scope.holds("Hit ratio", NOTHING if ratio is None else percent(ratio), percent(exactly), passed)


def _gain(scope: Scope, low: float, high: float) -> Check:
    row = usage(scope.case, scope.scenario)
    bounds = Bounds(low, high, times)
    if row is None:
        return scope.lacks("Gain", bounds, "the run has no answers with and without the cache")
    detail = f"{seconds(row.without_seconds)} without the cache, {seconds(row.with_seconds)} with it"
    return scope.within("Gain", row.gain, bounds, detail)


def table(case: Case) -> tuple[Usage, ...]:
    """The rows of the scenarios that ran and have answers."""
    return tuple(row for scenario in NAMES if (row := usage(case, scenario)) is not None)


def usage(case: Case, scenario: str) -> Usage | None:
    """A row of the table; None where the run does not have it.

    The scaled columns are computed. With G the generation that was asked for, h the measured hit ratio (coalesced
    lookups wait for a generation, and stand with the misses here), and measured means:

        overhead      = mean wait of a miss, by the service's clock, less its generation
        scaled without = G + overhead
        scaled with    = (1 - h) (G + overhead) + h (mean wait of a hit, as clients see it)
    """
    cached = case.run.phase(scenario, "cached")
    through = clients.generations(cached.requests, cached=True) if cached is not None else []
    slow, fast = clients.mean(past(case, scenario)), clients.mean(clients.waited(through))
    ratio = clients.hit_ratio(through)
    if cached is None or slow is None or not fast or ratio is None:
        return None
    limit = theory.limit(ratio)
    long = case.setting("scaled_generation_seconds") + (miss_overhead_seconds(cached) or 0.0)
    hit = clients.mean(clients.waited(cached.requests, *clients.HITS)) or 0.0
    scaled = (1 - ratio) * long + ratio * hit
    return Usage(
        name=NAMES[scenario],
        requests=len(through),
        without_seconds=slow,
        with_seconds=fast,
        gain=slow / fast,
        hit_ratio=ratio,
        limit=limit if math.isfinite(limit) else None,
        scaled_without_seconds=long,
        scaled_with_seconds=scaled,
        scaled_gain=long / scaled,
    )


def past(case: Case, scenario: str) -> list[float]:
    """What callers of a scenario waited past the cache, but those who had the workers' first generations."""
    measured = (phase for phase in case.phases(scenario) if phase.part != FIRST)
    return [waited for phase in measured for waited in clients.waited(phase.requests, "bypass")]


def miss_overhead_seconds(phase: Phase) -> float | None:
    """What callers of a miss waited beyond its generation, in the mean, by the service's clock; None without misses."""
    waited = counters.mean(phase, REQUEST_DURATION.name, outcome="miss")
    generated = clients.generated(phase.requests, "miss")
    return max(0.0, waited - generated) if waited is not None and generated is not None else None
