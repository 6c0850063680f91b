"""Typical usage: the product's targets, measured twice, and held against theory."""

from __future__ import annotations

import math
from collections.abc import Iterator

from loadtest import formatting, panels, theory
from loadtest.checks import clients, counters, windows
from loadtest.checks.case import Bounds, Case, failed, judged
from loadtest.checks.memory import overhead
from loadtest.checks.usages import past
from loadtest.journal import Phase, Request, hit_ratio
from loadtest.panels import Figure
from loadtest.result import Check
from loadtest.settings import Settings
from loadtest.workload import expected_hit_ratio
from recoup.telemetry.catalogue import LOOKUPS

SCENARIO = "typical"


def checks(case: Case) -> Iterator[Check]:
    """Those of typical usage."""
    cached = case.run.phase(SCENARIO, "cached")
    if cached is None or not past(case, SCENARIO):
        yield failed(SCENARIO, "Steady state", "with and without the cache", "the run has no such phases")
        return
    asked = case.asked
    ratios = Bounds(asked.hit_ratio_min, asked.hit_ratio_max)
    yield windows.worst(case, cached, "Hit ratio", panels.HIT_RATIO, ratios, formatting.percent)
    yield from hit_ratios(case, cached)
    yield from speedups(case, cached, asked.speedup_limit_share_min)
    yield _achieved(case, cached)
    yield _failed(case, cached)
    slow = Bounds(high=asked.slow_hits_max)
    yield windows.worst(case, cached, "Slow hits", panels.SLOW_HITS, slow, formatting.percent)
    yield from overhead(case, cached)


def hit_ratios(case: Case, cached: Phase) -> Iterator[Check]:
    """The hit ratio, from all who can know it."""
    scenario, asked = cached.scenario, case.asked
    measured = clients.hit_ratio(cached.requests)
    yield from watched_hit_ratios(case, cached)
    yield against_theory(scenario, measured, case.settings, asked.theory_tolerance)
    yield from _replayed(case, cached)


def watched_hit_ratios(case: Case, cached: Phase) -> Iterator[Check]:
    """The panel against what the clients and the service's counters say."""
    yield _panel_agrees(case, cached)
    name = "Hit ratio: the service's counters against the panel"
    counted = _counted(cached)
    yield _near(cached.scenario, name, counted, _nearest(case, cached, counted), case.asked.panel_tolerance)


def against_theory(scenario: str, measured: float | None, settings: Settings | None, tolerance: float) -> Check:
    """A hit ratio against what Che's approximation gives for the settings."""
    expected = None if settings is None else expected_hit_ratio(settings)
    return _near(scenario, "Hit ratio against Che's approximation", measured, expected, tolerance)


def _near(scenario: str, name: str, found: float | None, wanted: float | None, tolerance: float) -> Check:
    """Two shares that may differ by so much."""
    bounds = Bounds(high=tolerance)
    if found is None or wanted is None:
        why = "nothing was measured" if found is None else "there is nothing to compare with"
        return failed(scenario, name, bounds.said(formatting.points), why)
    detail = f"{formatting.percent(found)} against {formatting.percent(wanted)}"
    return judged(scenario, name, abs(found - wanted), bounds, formatting.points, detail)


def _panel_agrees(case: Case, cached: Phase) -> Check:
    """The panel against what the clients saw answered in the same windows."""
    name = "Hit ratio: the clients against the panel"
    found = [
        _near(cached.scenario, name, _seen(cached, figure), figure.figure.value, case.asked.panel_tolerance)
        for figure in windows.figures(case, cached, panels.HIT_RATIO)
    ]
    if not found:
        return failed(cached.scenario, name, _tolerated(case), windows.too_short(case, cached))
    return next((each for each in found if not each.passed), found[0])


def _tolerated(case: Case) -> str:
    return Bounds(high=case.asked.panel_tolerance).said(formatting.points)


def _seen(cached: Phase, window: windows.Window) -> float | None:
    return clients.hit_ratio(clients.answered_within(cached.requests, window.begin, window.end))


def _nearest(case: Case, cached: Phase, ratio: float | None) -> float | None:
    """What the panel shows next to a ratio of the whole: its windows together make the whole, so it lies among them."""
    found = [figure.figure.value for figure in windows.figures(case, cached, panels.HIT_RATIO)]
    known = [each for each in found if each is not None]
    if ratio is None or not known or len(known) < len(found):
        return None
    return min(max(ratio, min(known)), max(known))


def _counted(cached: Phase) -> float | None:
    return hit_ratio(counters.growth_by(cached, LOOKUPS.name, "outcome"))


def _replayed(case: Case, cached: Phase) -> Iterator[Check]:
    """An exact LRU, asked for the same items in the same order; what waited for another's generation is a hit to it.

    Its hit ratio alone would not do: under such traffic whatever an LRU once held, kept for ever, hits as often in the
    mean. So each answer is held against it, too.
    """
    ratio, single = "Hit ratio against an exact LRU that replays the run", "Answers that an exact LRU would not give"
    asked, warm, requests = case.asked, case.run.phase(cached.scenario, "warm"), _looked_up(cached)
    if warm is None or not requests:
        why = "the run has no warm phase" if warm is None else "nothing was measured"
        yield failed(cached.scenario, ratio, Bounds(high=asked.replay_tolerance).said(formatting.points), why)
        yield failed(cached.scenario, single, Bounds(high=asked.replay_answers_max).said(formatting.percent), why)
        return
    found = [request.outcome != "miss" for request in requests]
    replayed = theory.replay([request.item for request in requests], case.setting("cache_entries"), _items(warm))
    total = len(requests)
    yield _near(cached.scenario, ratio, sum(found) / total, sum(replayed) / total, asked.replay_tolerance)
    other = sum(one != another for one, another in zip(found, replayed, strict=True))
    detail = f"{formatting.count(other, 'answer')} of {total:,}"
    bounds = Bounds(high=asked.replay_answers_max)
    yield judged(cached.scenario, single, other / total, bounds, formatting.percent, detail)


def _looked_up(phase: Phase) -> list[Request]:
    found = [request for request in clients.generations(phase) if request.outcome not in (None, "bypass")]
    return clients.in_order_of_sending(found)


def _items(phase: Phase) -> list[str]:
    return [request.item for request in _looked_up(phase)]


def speedups(case: Case, cached: Phase, share: float, least: float = 0.0) -> Iterator[Check]:
    """The clients' way and the service's.

    Args:
        case: What is judged.
        cached: The steady state.
        share: The least share of the limit, which is 1 / (1 - hit ratio).
        least: What it has to be in any case.
    """
    scenario, ratio = cached.scenario, clients.hit_ratio(cached.requests) or 0.0
    target = Bounds(low=max(least, share * theory.limit(min(ratio, 0.9999))))
    slow, fast, client = measured_speedup(case, cached)
    detail = f"{formatting.percent(share)} of the limit {formatting.times(theory.limit(ratio))}"
    if slow and fast:
        detail += f"; {formatting.seconds(slow)} without the cache, {formatting.seconds(fast)} with it"
    detail += _machine(case, cached)
    yield judged(scenario, "Speed-up, the clients' way", client, target, formatting.times, detail)
    yield windows.worst(case, cached, "Speed-up, the service's way", panels.SPEEDUP, target, formatting.times)


def measured_speedup(case: Case, cached: Phase) -> tuple[float | None, float | None, float | None]:
    """What clients waited in the mean without the cache and with it, in seconds, and the former over the latter."""
    slow, fast = clients.mean(past(case, cached.scenario)), clients.mean(clients.waited(cached.requests))
    return slow, fast, slow / fast if slow is not None and fast else None


def _machine(case: Case, cached: Phase) -> str:
    """What one generation took without and with the cache, by the service: whether the machine changed."""
    bypassed = [
        request for phase in case.phases(cached.scenario) for request in phase.requests if request.outcome == "bypass"
    ]
    missed = [request for request in cached.requests if request.outcome == "miss"]
    past_it, through_it = (
        clients.mean([each.generation_seconds for each in found if each.generation_seconds is not None])
        for found in (bypassed, missed)
    )
    if past_it is None or through_it is None:
        return ""
    return f"; one generation took {formatting.seconds(past_it)} and {formatting.seconds(through_it)}"


def _achieved(case: Case, cached: Phase) -> Check:
    """Little's law: so many users who never pause can send `users / mean response time` requests a second.

    J. D. C. Little: A Proof for the Queuing Formula: L = lambda W. Operations Research 9 (3), 1961. Fewer than that,
    and the time was lost between the requests, by Locust.
    """
    name, bounds = "Achieved, of what the users could send", Bounds(low=case.asked.achieved_min)
    mean = clients.mean([request.seconds for request in cached.requests])
    elapsed = cached.end - cached.begin
    if not mean or elapsed <= 0:
        return failed(SCENARIO, name, bounds.said(formatting.percent), "nothing was measured")
    offered, achieved = case.setting("users") / mean, len(cached.requests) / elapsed
    detail = f"{achieved:.1f} of {offered:.1f} requests a second"
    return judged(SCENARIO, name, achieved / offered, bounds, formatting.percent, detail)


def _failed(case: Case, cached: Phase) -> Check:
    # Its rates look back, so the first moment that is this phase's alone comes after it began.
    first = cached.begin + case.panels.rate_seconds(cached.end - cached.begin)
    if first >= cached.end:
        first = cached.end
    figure = case.panels.over(panels.FAILED, first, cached.end)
    return _shown_none(figure)


def _shown_none(figure: Figure) -> Check:
    value = figure.value
    passed = value is not None and math.isclose(value, 0.0, abs_tol=1e-12)
    found = "nothing" if value is None else f"{value:.2f} a second"
    return Check(SCENARIO, "Failed requests", found, "none", passed, figure.problem, figure.source)
