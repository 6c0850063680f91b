"""What the service does when it is not asked nicely: stampedes, scans, floods, a busy operator, a long time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from loadtest import formatting, panels
from loadtest.checks import clients, counters, windows
from loadtest.checks.case import NOTHING, Bounds, Case, failed, judged, shown
from loadtest.checks.typical import hit_ratios
from loadtest.journal import Phase, Request
from loadtest.result import Check
from recoup.telemetry.catalogue import GENERATION_DURATION

NOT_PLAYED = "the run has no such phase"


def checks(case: Case) -> Iterator[Check]:
    """Those of the scenarios that ran."""
    every: dict[str, Callable[[Case], Iterator[Check]]] = {
        "stampede": _stampede,
        "churn": _churn,
        "saturation": _saturation,
        "management": _management,
        "soak": _soak,
    }
    for scenario, found in every.items():
        if case.played(scenario):
            yield from found(case)


def _stampede(case: Case) -> Iterator[Check]:
    """The first of each users generates; the others wait for it, or come so late that it is stored."""
    phases = case.phases("stampede")
    requests = [request for phase in phases for request in clients.generations(phase)]
    keys = len({request.item for request in requests})
    found = counters.over(phases, f"{GENERATION_DURATION.name}_count")
    measured = f"{formatting.count(found, 'generation')} for {formatting.count(keys, 'key')}"
    yield Check("stampede", "Generations", measured, "one for each key", found == keys > 0)
    outcomes = clients.outcomes(requests)
    waited = outcomes["coalesced"]
    rest = len(requests) - outcomes["miss"] - waited - sum(outcomes[each] for each in clients.HITS)
    measured = _listed(outcomes) or "nothing"
    passed = outcomes["miss"] == keys > 0 and waited > 0 and rest == 0
    yield Check("stampede", "Callers", measured, "one miss for each key, the others wait for it", passed)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))


def _churn(case: Case) -> Iterator[Check]:
    """Of the popular keys alone; the scan's own requests are never asked for again."""
    found = [case.run.phase("churn", part) for part in ("warm", "before", "scan", "after")]
    warm, before, scan, after = found
    if warm is None or before is None or scan is None or after is None:
        yield failed("churn", "Hit ratio of the popular keys", "falls and rises again", NOT_PLAYED)
        return
    popular, middle = {request.item for request in warm.requests}, (after.begin + after.end) / 2
    # What the scan has pushed out is missed until it was asked for once more, which goes on into the calm.
    early, late = (
        clients.answered_within(after.requests, *span) for span in ((after.begin, middle), (middle, after.end))
    )
    ratios = [_ratio_of(popular, requests) for requests in (before.requests, scan.requests, early, late)]
    told = ", then ".join(NOTHING if ratio is None else formatting.percent(ratio) for ratio in ratios)
    known = [ratio for ratio in ratios if ratio is not None]
    low = min(known[1:3]) if len(known) == len(ratios) else None
    fall = None if low is None else known[0] - low
    rise = None if low is None else known[3] - low
    least = Bounds(low=case.asked.churn_fall_min)
    yield judged("churn", "The scan pushes popular keys out", fall, least, formatting.points, told)
    yield judged("churn", "They come back", rise, Bounds(low=case.asked.churn_recovery_min), formatting.points, told)
    yield _missed_once(after)
    yield _miss_reasons(scan, popular)


def _ratio_of(items: set[str], requests: Iterable[Request]) -> float | None:
    return clients.hit_ratio(request for request in requests if request.item in items)


def _missed_once(after: Phase) -> Check:
    """As many keys as there is room for: none can be pushed out again once it was asked for. An LRU's exact order."""
    missed = Counter(request.item for request in after.requests if request.outcome == "miss")
    again = [item for item, number in missed.items() if number > 1]
    measured = f"{formatting.count(len(again), 'key')} of {len(missed)}"
    return Check("churn", "Missed twice in the calm", measured, "none", not again and bool(after.requests))


def _miss_reasons(scan: Phase, popular: set[str]) -> Check:
    """A popular key was there and had to make room; a key of the scan was never there."""
    mine = clients.reasons(request for request in scan.requests if request.item in popular)
    others = clients.reasons(request for request in scan.requests if request.item not in popular)
    said = f"popular: {_listed(mine) or 'none'}; the scan's: {_listed(others) or 'none'}"
    passed = set(mine) == {"evicted"} and set(others) == {"cold"}
    return Check("churn", "Reasons of the misses", said, "popular keys evicted, the scan's cold", passed)


def _saturation(case: Case) -> Iterator[Check]:
    flood, calm = (case.run.phase("saturation", part) for part in ("flood", "recovery"))
    if flood is None or calm is None:
        yield failed("saturation", "Flood", "hits, refusals, recovery", NOT_PLAYED)
        return
    refused = [request for request in flood.requests if request.status == 503]
    yield Check(
        "saturation", "Refused for want of room", formatting.count(len(refused), "request"), "some", bool(refused)
    )
    told = sum(each.retry_after is not None and each.retry_after > 0 for each in refused)
    measured = f"{told:,} of {len(refused):,}"
    yield Check("saturation", "Refusals that say when to come again", measured, "all", told == len(refused) > 0)
    yield from _hits_in_flood(case, flood)
    yield from recovery(case, calm, flood.end)


def _hits_in_flood(case: Case, flood: Phase) -> Iterator[Check]:
    """The 99th percentile by the service's histogram, over the whole flood: a panel so narrow that it is one point."""
    bounds = Bounds(high=case.asked.flood_hit_p99_max)
    seconds = flood.end - flood.begin
    figure = case.panels.at(panels.HIT_LATENCY, windows.last_moment(case, flood), "p99", seconds)
    client = clients.quantile(clients.waited(flood.requests, "hit"), 0.99)
    detail = (
        "" if client is None else f"clients, who share the processor with the flood, see {formatting.seconds(client)}"
    )
    yield shown("saturation", "Hits during the flood, 99th percentile", figure, bounds, formatting.seconds, detail)
    hits = clients.outcomes(flood.requests)["hit"]
    yield Check("saturation", "Hits during the flood", formatting.count(hits, "hit"), "some", hits > 0)


def recovery(case: Case, calm: Phase, ended: float) -> Iterator[Check]:
    """Every request after a flood or a fault succeeds, and the first of them soon."""
    yield afterwards(calm)
    yield recovered(case, calm.scenario, [request for request in calm.requests if request.status == 200], ended)


def afterwards(calm: Phase) -> Check:
    """Every request of a phase succeeds."""
    good = sum(request.status == 200 for request in calm.requests)
    measured = f"{good:,} of {len(calm.requests):,} answered with 200"
    return Check(calm.scenario, "Requests afterwards", measured, "all", good == len(calm.requests) > 0)


def recovered(case: Case, scenario: str, good: Sequence[Request], ended: float) -> Check:
    """How long until the first good answer after a moment."""
    bounds = Bounds(high=case.asked.recovery_seconds_max)
    soonest = min((request.at + request.seconds for request in good if request.at >= ended), default=None)
    seconds = None if soonest is None else soonest - ended
    return judged(scenario, "Recovery", seconds, bounds, formatting.seconds, "until the first good answer")


def _management(case: Case) -> Iterator[Check]:
    phases = case.phases("management")
    managed = [request for phase in phases for request in phase.requests if request.kind == "manage"]
    acted = [action for phase in phases for action in phase.actions if action.at >= phase.begin]
    bad = sum(not request.allowed for request in managed) + sum(action.error is not None for action in acted)
    done = len(managed) + len(acted)
    measured = f"{formatting.count(bad, 'failure')} in {done:,}"
    yield Check("management", "Operations under load", measured, "none, in some", bad == 0 < done)


def _soak(case: Case) -> Iterator[Check]:
    cached = case.run.phase("soak", "cached")
    if cached is None or not cached.requests:
        yield failed("soak", "Steady state", "a long one", NOT_PLAYED)
        return
    asked = case.asked
    ratios = Bounds(asked.hit_ratio_min, asked.hit_ratio_max)
    yield windows.worst(case, cached, "Hit ratio", panels.HIT_RATIO, ratios, formatting.percent)
    yield from hit_ratios(case, cached)
    slow = Bounds(high=asked.slow_hits_max)
    yield windows.worst(case, cached, "Slow hits", panels.SLOW_HITS, slow, formatting.percent)
    yield _flat_latency(case, cached)
    yield _flat_memory(case, cached)


def _flat_latency(case: Case, cached: Phase) -> Check:
    """The mean wait for misses, which are nearly all of the waiting: the first third against the last."""
    third = (cached.end - cached.begin) / 3
    spans = ((cached.begin, cached.begin + third), (cached.end - third, cached.end))
    first, last = (
        clients.mean(clients.waited(clients.answered_within(cached.requests, *span), "miss")) for span in spans
    )
    growth = last / first - 1 if first and last else None
    detail = (
        f"{formatting.seconds(first)}, then {formatting.seconds(last)}" if first and last else "there are no misses"
    )
    bounds = Bounds(high=case.asked.soak_latency_growth_max)
    return judged("soak", "Growth of response times", growth, bounds, formatting.percent, detail)


def _flat_memory(case: Case, cached: Phase) -> Check:
    """What the process has beyond what is accounted for: the highest of the first third against that of the last.

    A share of the resident memory at the beginning. From the panel, whose two lines are asked for at the same moments.
    """
    name, bounds = "Growth of memory beyond the entries", Bounds(high=case.asked.soak_memory_growth_max)
    third = (cached.end - cached.begin) / 3
    spans = ((cached.begin, cached.begin + third), (cached.end - third, cached.end))
    peaks = [[case.panels.over(panels.MEMORY, *span, ending) for span in spans] for ending in ("resident", "accounted")]
    problem = next((each.problem for pair in peaks for each in pair if each.value is None), None)
    source = peaks[0][0].source
    if problem is not None:
        return failed("soak", name, bounds.said(formatting.percent), problem, source)
    resident, accounted = ([each.value or 0.0 for each in pair] for pair in peaks)
    beyond = (resident[1] - accounted[1]) - (resident[0] - accounted[0])
    detail = f"resident {formatting.megabytes(resident[0])}, then {formatting.megabytes(resident[1])}"
    return judged(
        "soak", name, beyond / resident[0] if resident[0] else None, bounds, formatting.percent, detail, source
    )
