"""Single requests, duplicates, pairs and triples; and the table that the product promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

from loadtest import formatting, theory
from loadtest.checks import clients, counters
from loadtest.checks.case import Bounds, Case, failed, judged
from loadtest.journal import Phase, Request
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
_EXACT = 1e-9
#: The part of a scenario in which the workers begin.
FIRST = "first"


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
    generated = _generated(cached)
    overhead = miss_overhead_seconds(cached)
    if not generated or overhead is None:
        return failed("single", name, bounds.said(formatting.percent), "the service counts no generations")
    detail = f"{formatting.seconds(generated)} to generate, {formatting.seconds(overhead)} beside it"
    return judged("single", name, overhead / generated, bounds, formatting.percent, detail)


def _duplicate(case: Case, cached: Phase) -> Iterator[Check]:
    asked, found = case.asked, clients.outcomes(cached.requests)
    requests = len(_through(cached))
    others = f"{formatting.count(found['hit'], 'hit')} in {formatting.count(requests, 'request')}"
    all_but_one = found["hit"] == requests - 1
    yield Check("duplicate", "Hits", others, "all but the first", all_but_one)
    yield _server_hits(cached, asked.hit_seconds_max)
    middle = clients.middle(clients.waited(cached.requests, "hit"))
    bounds = Bounds(high=asked.hit_client_seconds_max)
    yield judged("duplicate", "A hit, as clients see it", middle, bounds, formatting.seconds, "the median")


def _server_hits(cached: Phase, most: float) -> Check:
    hits = counters.growth(cached, f"{REQUEST_DURATION.name}_count", outcome="hit")
    waited = counters.growth(cached, f"{REQUEST_DURATION.name}_sum", outcome="hit")
    mean = waited / hits if hits > 0 else None
    detail = "the mean" if hits > 0 else "the service counts no hits"
    return judged("duplicate", "A hit, as the service measures it", mean, Bounds(high=most), formatting.seconds, detail)


def _batches(case: Case, cached: Phase, size: int) -> Iterator[Check]:
    tolerance = case.asked.batch_gain_tolerance
    yield _hit_ratio(cached, (size - 1) / size)
    yield _gain(case, cached.scenario, Bounds(size * (1 - tolerance), size * (1 + tolerance)))


def _hit_ratio(cached: Phase, exactly: float) -> Check:
    found = clients.hit_ratio(cached.requests)
    passed = found is not None and math.isclose(found, exactly, abs_tol=_EXACT)
    measured = "nothing" if found is None else formatting.percent(found)
    return Check(cached.scenario, "Hit ratio", measured, formatting.percent(exactly), passed)


def _gain(case: Case, scenario: str, bounds: Bounds) -> Check:
    row = usage(case, scenario)
    return judged(scenario, "Gain", None if row is None else row.gain, bounds, formatting.times, _compared(row))


def _compared(row: Usage | None) -> str:
    if row is None:
        return ""
    return (
        f"{formatting.seconds(row.without_seconds)} without the cache, {formatting.seconds(row.with_seconds)} with it"
    )


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
    cached = case.run.phase(scenario, "cached")
    if cached is None:
        return None
    slow = clients.mean(past(case, scenario))
    fast = clients.mean(clients.waited(_through(cached)))
    ratio = clients.hit_ratio(cached.requests)
    if slow is None or not fast or ratio is None:
        return None
    limit = theory.limit(ratio)
    long = case.setting("scaled_generation_seconds") + (miss_overhead_seconds(cached) or 0.0)
    hit = clients.mean(clients.waited(cached.requests, *clients.HITS)) or 0.0
    scaled = (1 - ratio) * long + ratio * hit
    return Usage(
        name=NAMES[scenario],
        requests=len(_through(cached)),
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
    return [request for phase in measured for request in clients.waited(phase.requests, "bypass")]


def _through(phase: Phase) -> list[Request]:
    """The requests for a generation that did not go past the cache."""
    return [request for request in clients.generations(phase) if request.outcome != "bypass"]


def _generated(phase: Phase) -> float | None:
    """What the generations of a phase's misses took, in the mean, as the service told each of their callers."""
    found = [request.generation_seconds for request in phase.requests if request.outcome == "miss"]
    return clients.mean([each for each in found if each is not None])


def miss_overhead_seconds(phase: Phase) -> float | None:
    """What callers of a miss waited beyond its generation, in the mean, by the service's clock; None without misses."""
    misses = counters.growth(phase, f"{REQUEST_DURATION.name}_count", outcome="miss")
    waited = counters.growth(phase, f"{REQUEST_DURATION.name}_sum", outcome="miss")
    generated = _generated(phase)
    return max(0.0, waited / misses - generated) if misses > 0 and generated is not None else None
