"""Memory: what the process grew by, against what the cache says that it holds."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest import formatting, panels
from loadtest.checks import counters, windows
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
    yield _shown(case, phase, first)


def _shown(case: Case, phase: Phase, first: Phase) -> Check:
    """By the panel, from the first moment at which it shows both lines to the last."""
    span = (first.begin, windows.last_moment(case, phase))
    figures = [case.panels.over(panels.MEMORY, *span, ending) for ending in ("resident", "accounted")]
    problem = next((figure.problem for figure in figures if figure.value is None), "")
    resident, accounted = (dict(figure.points) for figure in figures)
    both = sorted(resident.keys() & accounted.keys())
    grown = [line[both[-1]] - line[both[0]] if both else None for line in (resident, accounted)]
    name, source = "Memory overhead, as the panel shows", figures[0].source
    return _judged(case, phase.scenario, name, grown[0], grown[1], problem, source)


def baseline(case: Case, phase: Phase) -> Phase:
    """The first phase of the same process."""
    started = counters.total(phase.before, STARTED)
    return next((phase for phase in case.run.phases if counters.total(phase.before, STARTED) == started), phase)


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
        return failed(scenario, name, bounds.said(formatting.percent), problem or "the service does not tell", source)
    detail = f"the process grew by {formatting.megabytes(resident)}, the cache by {formatting.megabytes(accounted)}"
    if accounted < case.asked.memory_growth_min:
        least = formatting.megabytes(case.asked.memory_growth_min)
        return failed(
            scenario, name, bounds.said(formatting.percent), f"{detail}: under {least} it says nothing", source
        )
    return judged(scenario, name, resident / accounted - 1, bounds, formatting.percent, detail, source)
