"""The verdict on a run: its journal, and what the dashboards' own queries give, against the thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loadtest import journal, workload
from loadtest.checks import clients, counts, faults, remote, scraping, stress, typical, usages
from loadtest.checks.case import Case
from loadtest.journal import Phase
from loadtest.panels import Panels
from loadtest.prometheus import Prometheus, QueryError
from loadtest.result import Check, PanelChart, Result, Span
from loadtest.table import as_text, headline
from loadtest.thresholds import Thresholds

__all__ = ["as_text", "headline", "judge"]

#: The order in which checks are told, after those of the run.
_FIRST = "run"


def judge(
    run: journal.Run,
    source: Prometheus,
    asked: Thresholds,
    *,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, str | Sequence[str]] | None = None,
) -> Result:
    """The verdict. Asks `source`, and nobody else; whatever is missing is a failed check, never an error.

    Args:
        run: As its journal has it.
        source: The Prometheus that scraped the service; it has to have scraped twice since the run ended.
        asked: What the run has to reach.
        environment: What it ran on, by name; the recorded rules' window is added.
        variables: What is chosen at the top of the dashboards, by variable, where Prometheus scrapes several services.
    """
    chosen = Panels(source, float(run.settings["scrape_seconds"]))
    if variables:
        chosen = Panels(source, chosen.scrape_seconds, {**chosen.variables, **variables})
    window, why = _window(source)
    case = Case(run, chosen, asked, window)
    checks = tuple(_checks(case))
    charts, lacking = _charts(case)
    told = {} if window is None else {"window of the recorded rules": f"{window:g} s"}
    return Result(
        passed=bool(checks) and all(check.passed for check in checks),
        checks=checks,
        usages=usages.table(case),
        spans=tuple(map(_span, case.run.phases)),
        charts=charts,
        settings=dict(run.settings),
        environment={**(environment or {}), **told},
        notes=(*_shortened(window), *why, *lacking, *scraping.notes(case), *_interrupted(case)),
        begin=run.begin,
        end=_end(run),
    )


def _span(phase: Phase) -> Span:
    return Span(
        scenario=phase.scenario,
        part=phase.part,
        begin=phase.begin,
        end=phase.end,
        requests=len(phase.requests),
        failures=sum(not request.allowed for request in phase.requests),
        hit_ratio=clients.hit_ratio(phase.requests),
        outcomes=dict(clients.outcomes(phase.requests)),
        reasons=dict(clients.reasons(phase.requests)),
        window=workload.is_steady(phase),
    )


def _window(source: Prometheus) -> tuple[float | None, tuple[str, ...]]:
    try:
        return source.window_seconds(), ()
    except QueryError as error:
        return None, (f"It is not known how far the recorded rules look back: {error}.",)


def _checks(case: Case) -> Iterator[Check]:
    """In the order of the scenarios, those of the run first."""
    found = [*counts.checks(case), *scraping.checks(case), *usages.checks(case)]
    if case.played(typical.SCENARIO):
        found += typical.checks(case)
    found += remote.checks(case)
    found += [*stress.checks(case), *faults.checks(case)]
    order = list(dict.fromkeys((_FIRST, *(phase.scenario for phase in case.run.phases))))
    yield from sorted(found, key=lambda each: order.index(each.scenario))


def _charts(case: Case) -> tuple[tuple[PanelChart, ...], tuple[str, ...]]:
    if not case.run.phases:
        return (), ()
    begin, end = scraping.span(case)
    try:
        return case.panels.charts(begin, end + case.settle_seconds), ()
    except (QueryError, KeyError) as error:
        return (), (f"There are no charts: {error}.",)


def _shortened(window: float | None) -> tuple[str, ...]:
    usual = 300.0
    if window is None or window == usual:
        return ()
    return (
        f"The recorded rules were shortened for this run: they look back over {window:g} s instead of {usual:g} s.",
    )


def _interrupted(case: Case) -> tuple[str, ...]:
    return tuple(
        f"The service ended during {phase.name}: what it counted there is known from its last word alone."
        for phase in case.run.phases
        if phase.after is None and phase.scenario in counts.INTERRUPTED
    )


def _end(run: journal.Run) -> float:
    return run.end if run.end is not None else max((phase.end for phase in run.phases), default=run.begin)
