"""What the service does when it is not asked nicely: stampedes, scans, floods, a busy operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from loadtest import panels
from loadtest.checks import clients, counters, steady
from loadtest.checks.case import NOTHING, Scope, at_least, at_most
from loadtest.formatting import count, percent, points, seconds
from loadtest.journal import Phase, Request
from loadtest.result import Check
from recoup.telemetry.catalogue import GENERATION_DURATION


def stampede(scope: Scope, cached: Phase) -> Iterator[Check]:
    """The first of each users generates; the others wait for it, or come so late that it is stored."""
    requests = clients.generations(cached.requests)
    keys = len({request.item for request in requests})
    generated = counters.growth(cached, f"{GENERATION_DURATION.name}_count")
    measured = f"{count(generated, 'generation')} for {count(keys, 'key')}"
    yield scope.holds("Generations", measured, "one for each key", generated == keys > 0)
    outcomes = clients.outcomes(requests)
    others = outcomes["coalesced"] + sum(outcomes[hit] for hit in clients.HITS)
    passed = outcomes["miss"] == keys > 0 < outcomes["coalesced"] and others == len(requests) - keys
    expected = "one miss for each key, the others wait for it"
    yield scope.holds("Callers", listed(outcomes) or NOTHING, expected, passed)


def listed(counts: Mapping[str, int]) -> str:
    """Such as `245 coalesced, 5 miss`."""
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))


def churn(scope: Scope, warm: Phase, before: Phase, scan: Phase, after: Phase) -> Iterator[Check]:
    """Of the popular keys alone; the scan's own requests are never asked for again."""
    popular = {request.item for request in warm.requests}
    # What the scan has pushed out is missed until it was asked for once more, which goes on into the calm.
    calm = [clients.answered_within(after.requests, *half) for half in clients.halves(after)]
    ratios = [
        clients.hit_ratio(request for request in requests if request.item in popular)
        for requests in (before.requests, scan.requests, *calm)
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    whole, low = len(known) == len(ratios), min(known[1:3], default=0.0)
    asked, said = scope.asked, in_turn(ratios)
    fall, rise = (known[place] - low if whole else None for place in (0, -1))
    yield scope.within("The scan pushes popular keys out", fall, at_least(asked.churn_fall_min, points), said)
    yield scope.within("They come back", rise, at_least(asked.churn_recovery_min, points), said)
    # As many keys as there is room for: none can be pushed out again once it was asked for. An LRU's exact order.
    missed = Counter(request.item for request in after.requests if request.outcome == "miss")
    again = [item for item, number in missed.items() if number > 1]
    measured = f"{count(len(again), 'key')} of {len(missed)}"
    yield scope.holds("Missed twice in the calm", measured, "none", not again and bool(after.requests))
    # A popular key was there and had to make room; a key of the scan was never there.
    mine, others = (
        clients.reasons(request for request in scan.requests if (request.item in popular) is of) for of in (True, False)
    )
    measured = f"popular: {listed(mine) or 'none'}; the scan's: {listed(others) or 'none'}"
    passed = set(mine) == {"evicted"} and set(others) == {"cold"}
    yield scope.holds("Reasons of the misses", measured, "popular keys evicted, the scan's cold", passed)


def in_turn(ratios: Iterable[float | None]) -> str:
    """Hit ratios one after another."""
    return ", then ".join(NOTHING if ratio is None else percent(ratio) for ratio in ratios)


def saturation(scope: Scope, flood: Phase, calm: Phase) -> Iterator[Check]:
    """Who finds no room is sent away and told when to come again; hits stay fast meanwhile."""
    refused = [request for request in flood.requests if request.status == 503]
    yield scope.holds("Refused for want of room", count(len(refused), "request"), "some", bool(refused))
    told = clients.count(refused, lambda request: (request.retry_after or 0) > 0)
    yield scope.all_of("Refusals that say when to come again", told, len(refused))
    # By the service's histogram, over the whole flood: of a panel so narrow that it is one point.
    moment, width = steady.rest_after(scope, flood), flood.end - flood.begin
    figure = scope.case.panels.at(panels.HIT_LATENCY, moment, "p99", width)
    client = clients.quantile(clients.waited(flood.requests, "hit"), 0.99)
    detail = f"clients, who share the processor with the flood, see {seconds(client)}" if client is not None else ""
    bounds = at_most(scope.asked.flood_hit_p99_max, seconds)
    yield scope.within("Hits during the flood, 99th percentile", figure, bounds, detail)
    hits = clients.outcomes(flood.requests)["hit"]
    yield scope.holds("Hits during the flood", count(hits, "hit"), "some", hits > 0)
    yield afterwards(scope, calm)
    yield recovered(scope, calm.requests, flood.end)


def answered(scope: Scope, name: str, requests: Iterable[Request]) -> Check:
    """Every one of some requests succeeds, and there are some."""
    statuses = [request.status for request in requests]
    return scope.all_of(name, statuses.count(200), len(statuses), " answered with 200")


def afterwards(scope: Scope, calm: Phase) -> Check:
    """Every request after a flood or a fault succeeds."""
    return answered(scope, "Requests afterwards", calm.requests)


def recovered(scope: Scope, requests: Iterable[Request], ended: float) -> Check:
    """How long until the first good answer to what was sent after a moment."""
    good = [one.at + one.seconds for one in requests if one.status == 200 and one.at >= ended]
    bounds = at_most(scope.asked.recovery_seconds_max, seconds)
    return scope.within("Recovery", min(good) - ended if good else None, bounds, "until the first good answer")


def management(scope: Scope, cached: Phase) -> Iterator[Check]:
    """What an operator does under load succeeds."""
    done = [request.allowed for request in cached.requests if request.kind == "manage"]
    done += [action.error is None for action in cached.actions if action.at >= cached.begin]
    bad = done.count(False)
    measured = f"{count(bad, 'failure')} in {len(done):,}"
    yield scope.holds("Operations under load", measured, "none, in some", bad == 0 < len(done))
