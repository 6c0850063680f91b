"""The steady state of typical usage and of the soak: the product's targets, measured twice, and held against theory.

The recorded rules look back over W seconds. Traffic rests for two scrapes before and after a steady state, so a window
is the steady state's own when it begins in the rest before it, at the earliest, and ends with the rest after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from loadtest import panels, settings, theory
from loadtest.checks import clients, counters
from loadtest.checks.case import Bounds, Scope, at_least, at_most
from loadtest.checks.usages import past
from loadtest.formatting import count, megabytes, percent, points, seconds, times
from loadtest.journal import Phase, Request, hit_ratio
from loadtest.panels import Figure, Name
from loadtest.result import Check
from loadtest.scenarios.usage import REMOTE_RATE
from loadtest.service import UPSTREAM_REQUESTS
from loadtest.workload import expected_hit_ratio
from recoup.telemetry.catalogue import GENERATION_DURATION, LOOKUPS, MEMORY

RESIDENT = "process_resident_memory_bytes"
STARTED = "process_start_time_seconds"


def typical(scope: Scope, cached: Phase) -> Iterator[Check]:
    """Two thirds of the requests hit, as theory and an exact LRU have it, and that is three times as fast."""
    steady, asked = SteadyState(scope, cached), scope.asked
    if not steady.past:
        yield _only_cached(scope)
        return
    yield from _hit_ratios(steady)
    yield from _speedups(steady, asked.speedup_limit_share_min)
    yield _throughput(steady)
    yield _failed(steady)
    yield _slow_hits(steady)
    yield from _memory(steady)


def remote(scope: Scope, cached: Phase) -> Iterator[Check]:
    """The product's promise, where the generator takes no time from the processor that everything else needs."""
    steady, asked = SteadyState(scope, cached), scope.asked
    if not steady.past:
        yield _only_cached(scope)
        return
    chosen = scope.case.settings
    expected = None if chosen is None else expected_hit_ratio(settings.remote(chosen))
    yield steady.worst("Hit ratio", panels.HIT_RATIO, at_least(asked.hit_ratio_min, percent))
    yield from _watched(steady)
    yield _near(scope, THEORY, steady.ratio, expected, asked.remote_theory_tolerance)
    yield from _speedups(steady, asked.remote_limit_share_min, asked.remote_speedup_min)
    yield _speedups_agree(steady)
    due = REMOTE_RATE * (cached.end - cached.begin)
    yield scope.within(
        "Achieved, of what was due",
        len(cached.requests) / due if due > 0 else None,
        at_least(asked.remote_achieved_min, percent),
        f"{len(cached.requests):,} of {due:,.0f} requests",
    )
    yield _upstream(scope)


def soak(scope: Scope, cached: Phase) -> Iterator[Check]:
    """The same as typical usage for a long time, and nothing grows meanwhile."""
    steady = SteadyState(scope, cached)
    if not cached.requests:
        yield scope.lacks("Steady state", "a long one", "nothing was measured")
        return
    yield from _hit_ratios(steady)
    yield _slow_hits(steady)
    yield _flat_latency(steady)
    yield _flat_memory(steady)


THEORY = "Hit ratio against Che's approximation"
REPLAYED = "Hit ratio against an exact LRU that replays the run"
ANSWERS = "Answers that an exact LRU would not give"


@dataclass(frozen=True)
class Window:
    """What a panel shows at the end of one window."""

    begin: float
    end: float
    figure: Figure


@dataclass(frozen=True)
class SteadyState:
    """A steady state, and what clients and panels say of it."""

    scope: Scope
    phase: Phase

    @property
    def ratio(self) -> float | None:
        """The hit ratio that the clients saw."""
        return clients.hit_ratio(self.phase.requests)

    @cached_property
    def past(self) -> list[float]:
        """What callers waited past the cache."""
        return past(self.scope.case, self.scope.scenario)

    @property
    def speedup(self) -> float | None:
        """What clients waited in the mean without the cache, by what they waited with it."""
        slow, fast = clients.mean(self.past), clients.mean(clients.waited(self.phase.requests))
        return slow / fast if slow is not None and fast else None

    @property
    def last_moment(self) -> float:
        """The end of the rest after it: what comes next begins there, if it comes sooner."""
        return rest_after(self.scope, self.phase)

    def windows(self, panel: Name) -> list[Window]:
        """A panel at the ends of all windows, the last first; none: it is too short, or the window is not known."""
        case, shown, end = self.scope.case, list[Window](), self.last_moment
        while case.window_seconds and end - case.window_seconds >= self.phase.begin - case.settle_seconds:
            shown.append(Window(end - case.window_seconds, end, case.panels.at(panel, end)))
            end -= case.window_seconds
        return shown

    def too_short(self) -> str:
        """Why there is no window."""
        window, lasted = self.scope.case.window_seconds, self.phase.end - self.phase.begin
        if window is None:
            return "Prometheus does not say how far its recorded rules look back"
        return f"the panels look back over {window:.0f} s, the steady state lasted {lasted:.0f} s"

    def worst(self, name: str, panel: Name, bounds: Bounds) -> Check:
        """A panel within bounds at the end of every window; the figure that is furthest out is the one that is told."""
        figures = [window.figure for window in self.windows(panel)]
        if not figures:
            source = self.scope.case.panels.at(panel, self.phase.end).source
            return self.scope.lacks(name, bounds, self.too_short(), source)
        missing = [figure for figure in figures if figure.value is None]
        chosen = missing[0] if missing else min(figures, key=lambda figure: bounds.room(figure.value or 0.0))
        width = f"{self.scope.case.window_seconds:.0f} s"
        detail = f"over {width}" if len(figures) == 1 else f"the worst of {count(len(figures), 'window')} of {width}"
        return self.scope.within(name, chosen, bounds, detail)


def rest_after(scope: Scope, phase: Phase) -> float:
    """The end of the rest after a phase: what comes next begins there, if it comes sooner."""
    following = [other.begin for other in scope.case.run.phases if other.begin >= phase.end and other is not phase]
    return min([phase.end + scope.case.settle_seconds, *following])


def _only_cached(scope: Scope) -> Check:
    return scope.lacks("Steady state", "with and without the cache", "nothing was sent past the cache")


def _hit_ratios(steady: SteadyState) -> Iterator[Check]:
    """The hit ratio, from all who can know it."""
    scope, asked = steady.scope, steady.scope.asked
    bounds = Bounds(asked.hit_ratio_min, asked.hit_ratio_max, percent)
    yield steady.worst("Hit ratio", panels.HIT_RATIO, bounds)
    yield from _watched(steady)
    chosen = scope.case.settings
    expected = None if chosen is None else expected_hit_ratio(chosen)
    yield _near(scope, THEORY, steady.ratio, expected, asked.theory_tolerance)
    yield from _replayed(steady)


def _near(scope: Scope, name: str, measured: float | None, expected: float | None, tolerance: float) -> Check:
    """Two shares that may differ by so much."""
    bounds = at_most(tolerance, points)
    if measured is None or expected is None:
        return scope.lacks(
            name, bounds, "there is nothing to compare with" if expected is None else "nothing was measured"
        )
    return scope.within(name, abs(measured - expected), bounds, f"{percent(measured)} against {percent(expected)}")


def _watched(steady: SteadyState) -> Iterator[Check]:
    """The panel against what the clients saw answered in the same windows, and against the service's counters."""
    scope, tolerance = steady.scope, steady.scope.asked.panel_tolerance
    by_clients, by_service = (f"Hit ratio: the {who} against the panel" for who in ("clients", "service's counters"))
    windows = steady.windows(panels.HIT_RATIO)
    compared = [
        _near(
            scope,
            by_clients,
            clients.hit_ratio(clients.answered_within(steady.phase.requests, window.begin, window.end)),
            window.figure.value,
            tolerance,
        )
        for window in windows
    ]
    lacking = [] if compared else [scope.lacks(by_clients, at_most(tolerance, points), steady.too_short())]
    yield min(compared or lacking, key=lambda check: check.passed)
    counted = hit_ratio(counters.growth_by(steady.phase, LOOKUPS.name, "outcome"))
    shown = [window.figure.value for window in windows if window.figure.value is not None]
    # The windows together make the whole, so its ratio lies among theirs.
    known = counted is not None and shown and len(shown) == len(windows)
    yield _near(
        scope, by_service, counted, min(max(counted or 0, min(shown)), max(shown)) if known else None, tolerance
    )


def _replayed(steady: SteadyState) -> Iterator[Check]:
    """An exact LRU, asked for the same items in the same order; what waited for another's generation is a hit to it.

    Its hit ratio alone would not do: under such traffic whatever an LRU once held, kept for ever, hits as often in the
    mean. So each answer is held against it, too.
    """
    scope, asked = steady.scope, steady.scope.asked
    answers = at_most(asked.replay_answers_max, percent)
    warm, requests = scope.phase("warm"), _in_order(steady.phase)
    if warm is None or not requests:
        why = "the run has no warm phase" if warm is None else "nothing was measured"
        yield scope.lacks(REPLAYED, at_most(asked.replay_tolerance, points), why)
        yield scope.lacks(ANSWERS, answers, why)
        return
    hits, entries = [request.outcome != "miss" for request in requests], scope.case.setting("cache_entries")
    replayed = theory.replay([one.item for one in requests], entries, [one.item for one in _in_order(warm)])
    total = len(requests)
    yield _near(scope, REPLAYED, sum(hits) / total, sum(replayed) / total, asked.replay_tolerance)
    other = sum(hit != expected for hit, expected in zip(hits, replayed, strict=True))
    yield scope.within(ANSWERS, other / total, answers, f"{count(other, 'answer')} of {total:,}")


def _in_order(phase: Phase) -> list[Request]:
    """Its lookups, as they were sent."""
    lookups = [one for one in clients.generations(phase.requests, cached=True) if one.outcome is not None]
    return sorted(lookups, key=lambda request: request.at)


def _speedups(steady: SteadyState, share: float, least: float = 0.0) -> Iterator[Check]:
    """The clients' way and the service's: a share of the limit 1 / (1 - hit ratio), and `least` in any case."""
    scope, ratio = steady.scope, steady.ratio or 0.0
    bounds = at_least(max(least, share * theory.limit(min(ratio, 0.9999))), times)
    detail = [f"{percent(share)} of the limit {times(theory.limit(ratio))}"]
    slow, fast = clients.mean(steady.past), clients.mean(clients.waited(steady.phase.requests))
    if slow and fast:
        detail.append(f"{seconds(slow)} without the cache, {seconds(fast)} with it")
    # By the service, so that one sees whether the machine has changed meanwhile.
    bypasses = [request for phase in scope.phases for request in phase.requests]
    generated = [clients.generated(bypasses, "bypass"), clients.generated(steady.phase.requests, "miss")]
    if None not in generated:
        detail.append("one generation took " + " and ".join(seconds(took or 0) for took in generated))
    yield scope.within("Speed-up, the clients' way", steady.speedup, bounds, "; ".join(detail))
    yield steady.worst("Speed-up, the service's way", panels.SPEEDUP, bounds)


def _speedups_agree(steady: SteadyState) -> Check:
    """The speed-up as clients and service measure it; here nothing but the upstream's pace is between them."""
    name, bounds = (
        "Speed-up: clients and service agree",
        at_most(steady.scope.asked.remote_speedup_agreement, percent),
    )
    client, shown = steady.speedup, [window.figure.value for window in steady.windows(panels.SPEEDUP)]
    apart = {abs(client - value) / value: value for value in shown if value} if client is not None else {}
    if client is None or not apart:
        return steady.scope.lacks(name, bounds, "one of the two is missing")
    furthest = max(apart)
    return steady.scope.within(name, furthest, bounds, f"{times(client)} and {times(apart[furthest])}")


def _throughput(steady: SteadyState) -> Check:
    """Little's law: so many users who never pause can send `users / mean response time` requests a second.

    J. D. C. Little: A Proof for the Queuing Formula: L = lambda W. Operations Research 9 (3), 1961. Fewer than that,
    and the time was lost between the requests, by Locust.
    """
    phase, case = steady.phase, steady.scope.case
    mean, elapsed = clients.mean([request.seconds for request in phase.requests]), phase.end - phase.begin
    offered = case.setting("users") / mean if mean else 0.0
    achieved = len(phase.requests) / elapsed if elapsed > 0 else 0.0
    return steady.scope.within(
        "Achieved, of what the users could send",
        achieved / offered if offered and achieved else None,
        at_least(case.asked.achieved_min, percent),
        f"{achieved:.1f} of {offered:.1f} requests a second",
        why="nothing was measured",
    )


def _failed(steady: SteadyState) -> Check:
    # Its rates look back, so the first moment that is this phase's alone comes after it began.
    phase, shown = steady.phase, steady.scope.case.panels
    first = min(phase.begin + shown.rate_seconds(phase.end - phase.begin), phase.end)
    figure = shown.over(panels.FAILED, first, phase.end)
    if figure.value is None:
        return steady.scope.lacks("Failed requests", "none", figure.problem, figure.source)
    measured, passed = f"{figure.value:.2f} a second", abs(figure.value) <= 1e-12
    return steady.scope.holds("Failed requests", measured, "none", passed, source=figure.source)


def _slow_hits(steady: SteadyState) -> Check:
    return steady.worst("Slow hits", panels.SLOW_HITS, at_most(steady.scope.asked.slow_hits_max, percent))


def _memory(steady: SteadyState) -> Iterator[Check]:
    """What a process that began empty grew by, beyond what the cache says that it holds: by its own word, and shown."""
    scope, phase = steady.scope, steady.phase
    started = counters.total(phase.before, STARTED)
    first = next(other for other in scope.case.run.phases if counters.total(other.before, STARTED) == started)
    grown = [
        counters.total(phase.after or {}, name) - counters.total(first.before, name)
        if counters.has(phase.after, name)
        else None
        for name in (RESIDENT, MEMORY.name)
    ]
    yield _overhead(scope, "Memory overhead", grown, "the service does not tell")
    # From the first moment at which the panel shows both lines to the last.
    figures = [
        scope.case.panels.over(panels.MEMORY, first.begin, steady.last_moment, line)
        for line in ("resident", "accounted")
    ]
    resident, accounted = (dict(figure.points) for figure in figures)
    both = sorted(resident.keys() & accounted.keys())
    shown = [line[both[-1]] - line[both[0]] if both else None for line in (resident, accounted)]
    problem = next((figure.problem for figure in figures if figure.value is None), "it never shows both lines")
    yield _overhead(scope, "Memory overhead, as the panel shows", shown, problem, figures[0].source)


def _overhead(scope: Scope, name: str, grown: list[float | None], problem: str, source: str = "") -> Check:
    bounds, least = at_most(scope.asked.memory_overhead_max, percent), scope.asked.memory_growth_min
    resident, accounted = grown
    if resident is None or accounted is None:
        return scope.lacks(name, bounds, problem, source)
    detail = f"the process grew by {megabytes(resident)}, the cache by {megabytes(accounted)}"
    if accounted < least:
        return scope.lacks(name, bounds, f"{detail}: under {megabytes(least)} it says nothing", source)
    return scope.within(name, resident / accounted - 1, bounds, detail, source=source)


def _upstream(scope: Scope) -> Check:
    """What reached the upstream, by its own count, against what the service says that it generated."""
    name, expected = "Generations, by the upstream's own count", "as many as the service counts"
    if not all(
        counters.has(counted, UPSTREAM_REQUESTS) for phase in scope.phases for counted in (phase.before, phase.after)
    ):
        return scope.lacks(name, expected, "the upstream could not be asked")
    reached = sum(counters.growth(phase, UPSTREAM_REQUESTS) for phase in scope.phases)
    generations = f"{GENERATION_DURATION.name}_count"
    generated = sum(counters.growth(phase, generations, pipeline="remote") for phase in scope.phases)
    measured = f"{count(reached, 'request')}, {count(generated, 'generation')}"
    return scope.holds(name, measured, expected, reached == generated > 0)


def _flat_latency(steady: SteadyState) -> Check:
    """The mean wait for misses, which are nearly all of the waiting: the first third against the last."""
    requests = steady.phase.requests
    first, last = (
        clients.mean(clients.waited(clients.answered_within(requests, *span), "miss"))
        for span in clients.ends_of(steady.phase)
    )
    return steady.scope.within(
        "Growth of response times",
        last / first - 1 if first and last else None,
        at_most(steady.scope.asked.soak_latency_growth_max, percent),
        f"{seconds(first or 0)}, then {seconds(last or 0)}",
        why="there are no misses",
    )


def _flat_memory(steady: SteadyState) -> Check:
    """What the process has beyond what is accounted for: the highest of the first third against that of the last.

    A share of the resident memory at the beginning. From the panel, whose two lines are asked for at the same moments.
    """
    scope, spans = steady.scope, clients.ends_of(steady.phase)
    bounds = at_most(scope.asked.soak_memory_growth_max, percent)
    figures = [
        scope.case.panels.over(panels.MEMORY, *span, line) for line in ("resident", "accounted") for span in spans
    ]
    resident, resident_last, accounted, accounted_last = (figure.value or 0.0 for figure in figures)
    return scope.within(
        "Growth of memory beyond the entries",
        (resident_last - resident - accounted_last + accounted) / resident
        if all(figure.value is not None for figure in figures) and resident
        else None,
        bounds,
        f"resident {megabytes(resident)}, then {megabytes(resident_last)}",
        why=next((figure.problem for figure in figures if figure.value is None), ""),
        source=figures[0].source,
    )
