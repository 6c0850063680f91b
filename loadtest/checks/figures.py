"""The service's figures, from whoever tells them: its text for Prometheus, its statistics, and what Prometheus has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain, pairwise
from math import isclose
from typing import Any

from grafana.queries import DASHBOARDS, marks, panels, queries, read
from metrics.rulebook.recordings import groups
from metrics.thresholds import Thresholds

from loadtest.checks import counters
from loadtest.checks.case import Scope
from loadtest.formatting import count
from loadtest.journal import Phase
from loadtest.prometheus import QueryError
from loadtest.result import Check
from loadtest.service import series
from recoup.telemetry import catalogue
from recoup.telemetry.catalogue import ENTRIES, HTTP_REQUESTS, LOOKUPS, METRICS, REQUEST_DURATION

#: Of the service's own process: another one begins with its counters at 0.
STARTED = "process_start_time_seconds"
#: Sums of seconds are added in another order by those who tell them.
_EXACT = 1e-9
_SHOWN = 3

#: By series' name, where the statistics of a pipeline have it: a number, or numbers by the value of a label.
_STATISTICS: Mapping[str, tuple[str, str | None]] = {
    catalogue.MISSES.name: ("miss_reasons", "reason"),
    catalogue.BYPASSES.name: ("bypass_reasons", "reason"),
    catalogue.EVICTIONS.name: ("evictions", "cause"),
    catalogue.INVALIDATIONS.name: ("invalidations", "cause"),
    catalogue.UNUSED_EVICTIONS.name: ("unused_evictions", None),
    catalogue.RECOUPED.name: ("recouped_seconds", None),
    catalogue.REGRETTED.name: ("regretted_seconds", None),
    catalogue.GENERATION_FAILURES.name: ("generation_failures", "error"),
    f"{catalogue.GENERATION_DURATION.name}_count": ("generations", None),
    f"{catalogue.GENERATION_DURATION.name}_sum": ("generation_seconds", None),
    catalogue.ENTRIES.name: ("entries", None),
    catalogue.MEMORY.name: ("memory_bytes", None),
    catalogue.GENERATIONS_IN_PROGRESS.name: ("generations_in_progress", None),
    catalogue.GENERATIONS_WAITING.name: ("generations_waiting", None),
}
_OUTCOMES = {"hit": "hits", "stale": "stale", "coalesced": "coalesced", "miss": "misses", "bypass": "bypassed"}
#: Counted for a pipeline, and in no statistics: of each what counts is held against something else that is there.
_DERIVED = {
    catalogue.SPENT.name,
    *(
        f"{metric.name}_{suffix}"
        for metric in (REQUEST_DURATION, catalogue.ENTRY_SIZE, catalogue.HIT_AGE, catalogue.EVICTION_AGE)
        for suffix in ("count", "sum")
    ),
}


def checks(scope: Scope) -> Iterator[Check]:
    """Those of the whole run."""
    known = [phase for phase in scope.case.run.phases if phase.after is not None]
    yield _began_empty(scope)
    yield _never_fall(scope)
    yield _fresh(scope)
    yield _waits(scope, known)
    yield _statistics(scope, known)
    yield _scraped(scope, known)


@lru_cache(maxsize=1)
def shown() -> frozenset[str]:
    """The names of all series of the service's catalogue that a panel uses, by itself or through a recorded rule.

    Where it uses a histogram's buckets, those are its count and its sum.
    """
    boards = [read(path) for path in sorted(DASHBOARDS.glob("*.json"))]
    asked = [query.expr for board in boards for panel in panels(board) for query in queries(panel)]
    asked += [query.expr for board in boards for _, query in marks(board)]
    recorded = {record.name: record.expression for group in groups(Thresholds()) for record in group.records}
    while more := [recorded.pop(name) for name in list(recorded) if any(name in text for text in asked)]:
        asked += more
    used = [metric for metric in METRICS if any(name in text for name in metric.series for text in asked)]
    return frozenset(name for metric in used for name in metric.series if not name.endswith("_bucket"))


def is_counter(name: str) -> bool:
    """Whether a series of the catalogue only grows: a counter, or the count or sum of a histogram."""
    return any(name in metric.series and metric.kind != "gauge" for metric in METRICS)


def _began_empty(scope: Scope) -> Check:
    """A cache that is warm when a run begins answers what it never generated for it.

    A service that ran before the run was told to is cleared by each scenario; what it held cannot answer then.
    """
    name, run = "The cache before the run", scope.case.run
    if run.counters is None:
        return scope.lacks(name, "empty", "the service was not asked")
    entries, lookups = (round(counters.total(run.counters, metric.name)) for metric in (ENTRIES, LOOKUPS))
    first: dict[str, str | None] = {}
    for phase in run.phases:
        for request in sorted(phase.requests, key=lambda request: request.at):
            if request.kind == "generate" and request.status == 200 and not request.bypass:
                first.setdefault(request.item, request.outcome)
    warm = [item for item, outcome in first.items() if outcome in ("hit", "stale")]
    # One that has answered somebody else before is no service of this run's own.
    held = entries if not lookups else 0
    measured = f"{count(held, 'entry')}, {count(len(warm), 'first request')} answered from it"
    return scope.holds(name, measured, "empty", not held and not warm, "; ".join(warm[:_SHOWN]))


def _readings(scope: Scope) -> list[tuple[str, Mapping[str, float]]]:
    """Every reading of the counters, in their order, and after which moment it was."""
    run = scope.case.run
    begun = [("the beginning", run.counters)] if run.counters is not None else []
    of_phases = chain.from_iterable(
        ((f"the beginning of {phase.name}", phase.before), (f"the end of {phase.name}", phase.after))
        for phase in run.phases
    )
    return [(moment, reading) for moment, reading in (*begun, *of_phases) if reading]


def _never_fall(scope: Scope) -> Check:
    """Of one process, whose start has not changed; between two readings, and between two scrapes."""
    name, readings, wrong = "Counters that never fall", _readings(scope), []
    for (_, earlier), (moment, later) in pairwise(readings):
        if earlier.get(STARTED) == later.get(STARTED):
            fell = [text for text, value in earlier.items() if later.get(text, value) < value and _counts(text)]
            wrong += [f"{text} before {moment}" for text in fell[:1]]
    restarts = sum(one.get(STARTED) != other.get(STARTED) for (_, one), (_, other) in pairwise(readings))
    run = scope.case.run
    try:
        if run.phases:
            end = max(phase.rested or phase.end for phase in run.phases)
            window = f"[{max(1, round(end - run.begin))}s]"
            for found in scope.case.panels.prometheus.instant(f"max(resets({LOOKUPS.name}{window}))", end):
                if (resets := found.points[-1][1]) > restarts:
                    wrong.append(f"Prometheus sees {count(resets, 'reset')}, and {count(restarts, 'restart')} were")
    except QueryError as error:
        wrong.append(str(error))
    return scope.none(name, wrong, len(readings), "reading")


def _counts(text: str) -> bool:
    return is_counter(counters.series(text)[0])


def _fresh(scope: Scope) -> Check:
    """Each reading is counted by the next one."""
    wrong, readings = [], _readings(scope)
    for (_, earlier), (moment, later) in pairwise(readings):
        reads = [counters.total(reading, HTTP_REQUESTS.name, route="/metrics") for reading in (earlier, later)]
        if earlier.get(STARTED) == later.get(STARTED) and reads[0] >= reads[1]:
            wrong.append(f"what was read at {moment} is what was read before it")
    return scope.none("Freshness of /metrics", wrong, len(readings) - 1, "reading")


def _waits(scope: Scope, phases: list[Phase]) -> Check:
    """What each caller with an outcome waited is in the histogram: as many waits as answers."""
    wrong = []
    for phase in phases:
        recorded = counters.growth_by(phase, f"{REQUEST_DURATION.name}_count", "outcome")
        for outcome in _OUTCOMES:
            answered = sum(request.outcome == outcome and request.kind != "manage" for request in phase.requests)
            if recorded[outcome] != answered and not any(request.outcome is None for request in phase.requests):
                wrong.append(f"{phase.name}: {recorded[outcome]:,} waits of {answered:,} with {outcome}")
    return scope.none("Waits recorded", wrong, len(phases), "phase")


def _statistics(scope: Scope, phases: list[Phase]) -> Check:
    """The text for Prometheus and the statistics say the same, to the unit, of all that panels use."""
    wrong, compared = [], 0
    for phase in phases:
        exposed, told = phase.after or {}, _told(phase.stats or {})
        for text, value in exposed.items():
            name = counters.series(text)[0]
            if name not in shown() or name in _DERIVED or "pipeline" not in _labels(name):
                continue
            compared += 1
            if text not in told:
                wrong.append(f"{phase.name}: the statistics do not tell {text}")
            elif not isclose(value, told[text], rel_tol=_EXACT, abs_tol=_EXACT):
                wrong.append(f"{phase.name}: {text} is {value:,.12g}, the statistics say {told[text]:,.12g}")
        wrong += [f"{phase.name}: {said}" for said in _derived(exposed)]
    return scope.none("The exposition against the statistics", wrong, compared, "value")


def _derived(exposed: Mapping[str, float]) -> Iterator[str]:
    """Seconds spent are those of the generations; each hit and each eviction has an age."""
    spent, took = (
        counters.total(exposed, name) for name in (catalogue.SPENT.name, f"{catalogue.GENERATION_DURATION.name}_sum")
    )
    if not isclose(spent, took, rel_tol=1e-6, abs_tol=1e-6):
        yield f"{spent:.6f} s were spent, and generations took {took:.6f} s"
    for counted, histogram in (
        (counters.total(exposed, LOOKUPS.name, outcome="hit"), catalogue.HIT_AGE),
        (counters.total(exposed, catalogue.EVICTIONS.name), catalogue.EVICTION_AGE),
    ):
        if counted != (observed := counters.total(exposed, f"{histogram.name}_count")):
            yield f"{histogram.name} has {observed:,.0f} of {counted:,.0f}"


@lru_cache(maxsize=256)
def _labels(name: str) -> tuple[str, ...]:
    return next((metric.labels for metric in METRICS if name in metric.series), ())


def _told(stats: Mapping[str, Any]) -> dict[str, float]:
    """The statistics as series."""
    told: dict[str, float] = {}
    for pipeline, figures in stats.get("pipelines", {}).items():
        for outcome, member in _OUTCOMES.items():
            told[series(LOOKUPS.name, {"pipeline": pipeline, "outcome": outcome})] = figures[member]
        for name, (member, label) in _STATISTICS.items():
            if label is None:
                told[series(name, {"pipeline": pipeline})] = figures[member]
                continue
            for word, value in figures[member].items():
                told[series(name, {"pipeline": pipeline, label: word})] = value
    return told


def _scraped(scope: Scope, phases: list[Phase]) -> Check:
    """What Prometheus scraped after a phase, before anything else happened, is what the service said at its end."""
    name = "Prometheus against the exposition"
    wrong, compared, unscraped = [], 0, 0
    wanted = "|".join(sorted(name for name in shown() if is_counter(name)) if shown() else [])
    for phase in phases:
        if phase.rested is None:
            continue
        try:
            scraped = scope.case.panels.prometheus.samples(
                f'{{__name__=~"{wanted}"{_chosen(scope)}}}', phase.end, phase.rested
            )
        except QueryError as error:
            return scope.lacks(name, "equal", str(error))
        found: dict[str, float] = {}
        for one in scraped:
            labels = {key: value for key, value in one.labels.items() if key not in _ADDED}
            text = series(labels.pop("__name__"), labels)
            found[text] = found.get(text, 0.0) + one.points[0][1]
        unscraped += not found
        for text, value in found.items():
            if text.startswith(HTTP_REQUESTS.name) and 'route="/' in text and "/api/" not in text:
                continue  # scraping is counted, too
            if 'route="/api/cache' in text:
                continue  # and so is what the conductor asks at the end
            compared += 1
            if not isclose(value, (phase.after or {}).get(text, 0.0), rel_tol=_EXACT, abs_tol=_EXACT):
                wrong.append(f"{phase.name}: {text} is {value:,.12g} there")
    if unscraped > len(phases) / 5:
        wrong.append(f"{unscraped} of {count(len(phases), 'phase')} were not scraped at their end")
    return scope.none(name, wrong, compared, "sample")


#: What a scrape adds to a series.
_ADDED = frozenset({"job", "instance", "cluster", "namespace"})


def _chosen(scope: Scope) -> str:
    job = scope.case.panels.variables.get("job")
    return f', job="{job}"' if isinstance(job, str) and job.isidentifier() else ""
