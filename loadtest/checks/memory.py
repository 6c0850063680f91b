"""Memory: what the process grew by, against what the cache says that it holds."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest import panels
from loadtest.checks import counters, windows, words
from loadtest.checks.case import Bounds, Case, failed, judged
from loadtest.journal import Phase
from loadtest.result import Check
from recoup.telemetry.catalogue import MEMORY

RESIDENT = "process_resident_memory_bytes"
STARTED = "process_start_time_seconds"


def overhead(case: Case, phase: Phase) -> Iterator[Check]:
    """What a process that began empty grew by until the end of a phase, beyond what is accounted for."""
    first = baseline(case, phase)
    scenario = phase.scenario
    after = phase.after or {}
    resident, accounted = (
        counters.total(after, name) - counters.total(first.before, name) if counters.has(after, name) else None
        for name in (RESIDENT, MEMORY.name)
    )
    yield _judged(case, scenario, "Memory overhead", resident, accounted)
    # Two scrapes after it began, so that a Prometheus that began with it has seen it.
    moments = (first.begin + case.settle_seconds, windows.last_moment(case, phase))
    shown = [[case.panels.at(panels.MEMORY, at, ending) for at in moments] for ending in ("resident", "accounted")]
    source = shown[0][0].source
    problem = next((each.problem for pair in shown for each in pair if each.problem), "")
    grown = [None if problem else (end.value or 0.0) - (begin.value or 0.0) for begin, end in shown]
    yield _judged(case, scenario, "Memory overhead, as the panel shows", grown[0], grown[1], problem, source)


def baseline(case: Case, phase: Phase) -> Phase:
    """The first phase of the same process."""
    started = counters.total(phase.before, STARTED)
    return next((each for each in case.run.phases if counters.total(each.before, STARTED) == started), phase)


def _judged(
    case: Case,
    scenario: str,
    name: str,
    resident: float | None,
    accounted: float | None,
    problem: str = "",
    source: str = "",
) -> Check:
    bounds = Bounds(high=case.asked.memory_overhead_max)
    if resident is None or accounted is None:
        return failed(scenario, name, bounds.said(words.percent), problem or "the service does not tell", source)
    detail = f"the process grew by {words.megabytes(resident)}, the cache by {words.megabytes(accounted)}"
    if accounted < case.asked.memory_growth_min:
        least = words.megabytes(case.asked.memory_growth_min)
        return failed(scenario, name, bounds.said(words.percent), f"{detail}: under {least} it says nothing", source)
    return judged(scenario, name, resident / accounted - 1, bounds, words.percent, detail, source)
