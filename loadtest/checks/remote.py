"""Typical usage before a generator elsewhere: the product's promise, where this machine is not in the way."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest import formatting, panels
from loadtest.checks import clients, counters, typical, windows
from loadtest.checks.case import Bounds, Case, failed, judged
from loadtest.checks.usages import past
from loadtest.journal import Phase
from loadtest.result import Check
from loadtest.scenarios.remote import RATE, SCENARIO
from loadtest.service import UPSTREAM_REQUESTS
from loadtest.settings import remote
from recoup.telemetry.catalogue import GENERATION_DURATION


def checks(case: Case) -> Iterator[Check]:
    """Those of the scenario, if it ran."""
    if not case.played(SCENARIO):
        return
    cached, asked = case.run.phase(SCENARIO, "cached"), case.asked
    if cached is None or not past(case, SCENARIO):
        yield failed(SCENARIO, "Steady state", "with and without the cache", "the run has no such phases")
        return
    ratios = Bounds(low=asked.hit_ratio_min)
    yield windows.worst(case, cached, "Hit ratio", panels.HIT_RATIO, ratios, formatting.percent)
    yield from typical.watched_hit_ratios(case, cached)
    chosen = None if case.settings is None else remote(case.settings)
    yield typical.against_theory(SCENARIO, clients.hit_ratio(cached.requests), chosen, asked.remote_theory_tolerance)
    yield from typical.speedups(case, cached, asked.remote_limit_share_min, asked.remote_speedup_min)
    yield _agree(case, cached)
    yield _achieved(case, cached)
    yield _upstream(case)


def _agree(case: Case, cached: Phase) -> Check:
    """The speed-up as clients and service measure it; here nothing but the upstream's pace is between them."""
    name, bounds = "Speed-up: clients and service agree", Bounds(high=case.asked.remote_speedup_agreement)
    client = typical.measured_speedup(case, cached)[2]
    shown = [window.figure.value for window in windows.figures(case, cached, panels.SPEEDUP)]
    apart = {abs(client - value) / value: value for value in shown if value} if client is not None else {}
    if client is None or not apart:
        return failed(SCENARIO, name, bounds.said(formatting.percent), "one of the two is missing")
    furthest = max(apart)
    detail = f"{formatting.times(client)} and {formatting.times(apart[furthest])}"
    return judged(SCENARIO, name, furthest, bounds, formatting.percent, detail)


def _achieved(case: Case, cached: Phase) -> Check:
    """What was answered of what was due."""
    bounds, due = Bounds(low=case.asked.remote_achieved_min), RATE * (cached.end - cached.begin)
    share = len(cached.requests) / due if due > 0 else None
    detail = f"{len(cached.requests):,} of {due:,.0f} requests"
    return judged(SCENARIO, "Achieved, of what was due", share, bounds, formatting.percent, detail)


def _upstream(case: Case) -> Check:
    """What reached the upstream, by its own count, against what the service says that it generated."""
    name, wanted = "Generations, by the upstream's own count", "as many as the service counts"
    phases = case.phases(SCENARIO)
    if not all(counters.has(counts or {}, UPSTREAM_REQUESTS) for p in phases for counts in (p.before, p.after)):
        return failed(SCENARIO, name, wanted, "the upstream could not be asked")
    reached = counters.over(phases, UPSTREAM_REQUESTS)
    generated = counters.over(phases, f"{GENERATION_DURATION.name}_count", pipeline="remote")
    measured = f"{formatting.count(reached, 'request')}, {formatting.count(generated, 'generation')}"
    return Check(SCENARIO, name, measured, wanted, reached == generated > 0)
