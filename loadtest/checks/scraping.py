"""Whether Prometheus saw all of it: no gap between two scrapes, but where a scenario makes one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise

from loadtest.checks.case import NOTHING, Case, Scope
from loadtest.formatting import count
from loadtest.prometheus import QueryError
from loadtest.result import Check

#: Scenarios that stop Prometheus, or what it scrapes.
MAKE_GAPS = ("prometheus-restart", "terminate")


@dataclass(frozen=True)
class Gap:
    """A time that Prometheus has no samples of one process, from the last to the first; the scenario that made it."""

    instance: str
    begin: float
    end: float
    scenario: str | None

    def __str__(self) -> str:
        """As a sentence for a reader, in universal time."""
        first, last = (f"{datetime.fromtimestamp(at, timezone.utc):%H:%M:%S}" for at in (self.begin, self.end))
        return f"{self.instance}: nothing from {first} to {last} ({self.end - self.begin:.0f} s)"


def gaps(case: Case) -> tuple[int, tuple[Gap, ...]]:
    """How many instances were scraped, and every gap of theirs from the run's beginning to its end.

    A Prometheus that has just begun takes up to five seconds to find its targets, so the first sample may be late.

    Raises:
        QueryError: Prometheus cannot be asked.
        KeyError: A panel is missing.
    """
    begin, end = span(case)
    longest = case.asked.gap_scrapes_max * float(case.setting("scrape_seconds"))
    scraped = case.panels.scrapes(begin, end)
    return len(scraped), tuple(
        Gap(instance, earlier, later, _maker(case, earlier, later))
        for instance, times in sorted(scraped.items())
        for earlier, later in pairwise([begin, *times, end])
        if later - earlier > (max(longest, case.asked.recovery_seconds_max) if earlier == begin else longest)
    )


def span(case: Case) -> tuple[float, float]:
    """From the beginning of the first phase to the end of the last."""
    return case.run.phases[0].begin, max(phase.end for phase in case.run.phases)


def _maker(case: Case, begin: float, end: float) -> str | None:
    """Of the scenarios that may have made a gap, the one that lasted for most of it."""
    # A scrape before the fault may be the last that is known, and the first after it may come later.
    slack = case.asked.recovery_seconds_max
    shares: dict[str, float] = {}
    for scenario in MAKE_GAPS:
        phases = case.phases(scenario)
        if phases and begin >= phases[0].begin - slack and end <= phases[-1].end + slack:
            shares[scenario] = min(end, phases[-1].end) - max(begin, phases[0].begin)
    return max(shares, key=shares.__getitem__, default=None)


def checks(scope: Scope) -> Iterator[Check]:
    """The one for the run."""
    name, expected = "Scrapes without a gap", "none but those that a scenario makes"
    if not scope.case.run.phases:
        return
    try:
        instances, every = gaps(scope.case)
    except (QueryError, KeyError) as error:
        yield scope.lacks(name, expected, str(error))
        return
    wrong = [gap for gap in every if gap.scenario is None]
    measured = f"{count(len(wrong), 'gap')} in {count(instances, 'instance')}" if instances else NOTHING
    detail = "; ".join(map(str, wrong[:3])) if instances else "Prometheus has no samples of the service"
    yield scope.holds(name, measured, expected, instances > 0 and not wrong, detail)


def notes(case: Case) -> tuple[str, ...]:
    """What Prometheus lacks, for the gaps that were to be."""
    if not case.run.phases:
        return ()
    try:
        _, every = gaps(case)
    except (QueryError, KeyError):
        return ()  # the check says so
    return tuple(f"Prometheus lacks what {gap.scenario} kept from it. {gap}." for gap in every if gap.scenario)
