"""The verdict on a run: its journal, and what the dashboards' own queries give, against the thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadtest import journal, workload
from loadtest.checks import checks, clients, counters, counts, scraping, usages
from loadtest.checks.case import Case
from loadtest.journal import Phase
from loadtest.panels import Panels
from loadtest.processes import WINDOW_SECONDS
from loadtest.prometheus import Prometheus, QueryError
from loadtest.result import PanelChart, Result, Span
from loadtest.table import as_text, headline
from loadtest.thresholds import Thresholds
from recoup.telemetry.catalogue import GENERATED_COST, RECOUPED_COST, Metric

__all__ = ["as_text", "headline", "judge"]


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
    panels = Panels(source, float(run.settings["scrape_seconds"]))
    if variables:
        panels = Panels(source, panels.scrape_seconds, {**panels.variables, **variables})
    facts, notes, window = dict(environment or {}), [], None
    try:
        window = source.window_seconds()
        facts["window of the recorded rules"] = f"{window:g} s"
        if window != WINDOW_SECONDS:
            shortened = f"they look back over {window:g} s instead of {WINDOW_SECONDS:g} s"
            notes.append(f"The recorded rules were shortened for this run: {shortened}.")
    except QueryError as error:
        notes.append(f"It is not known how far the recorded rules look back: {error}.")
    case = Case(run, panels, asked, window)
    judged = tuple(checks(case))
    charts: tuple[PanelChart, ...] = ()
    try:
        if run.phases:
            begin, end = scraping.span(case)
            charts = panels.charts(begin, end + case.settle_seconds)
    except (QueryError, KeyError) as error:
        notes.append(f"There are no charts: {error}.")
    interrupted = [phase for phase in run.phases if phase.after is None and phase.scenario in counts.INTERRUPTED]
    ended = "The service ended during {}: what it counted there is known from its last word alone."
    return Result(
        passed=bool(judged) and all(check.passed for check in judged),
        checks=judged,
        usages=usages.table(case),
        spans=tuple(map(_span, run.phases)),
        charts=charts,
        settings=dict(run.settings),
        environment=facts,
        notes=(*notes, *scraping.notes(case), *(ended.format(phase.name) for phase in interrupted)),
        recouped=_money(run, RECOUPED_COST),
        generated=_money(run, GENERATED_COST),
        begin=run.begin,
        end=run.end if run.end is not None else max((phase.end for phase in run.phases), default=run.begin),
    )


def _money(run: journal.Run, metric: Metric) -> dict[str, float]:
    """What a counter of money grew by over the run, by currency."""
    counted = (counters.select(phase.after or {}, metric.name) for phase in run.phases)
    currencies = {labels["currency"] for series in counted for labels, _ in series}
    grown = {
        name: sum(counters.growth(phase, metric.name, currency=name) for phase in run.phases) for name in currencies
    }
    return {name: value for name, value in sorted(grown.items()) if value}


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
