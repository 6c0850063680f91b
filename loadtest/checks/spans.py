"""The phases as spans on the time axis, with what the clients saw in each."""

from __future__ import annotations

from loadtest.checks import clients
from loadtest.checks.case import Case
from loadtest.journal import Phase
from loadtest.result import Span

#: Scenarios whose cached phase is a steady state, which the panels are asked for.
STEADY = ("typical", "typical-remote", "soak")


def spans(case: Case) -> tuple[Span, ...]:
    """Those of a run."""
    return tuple(map(_span, case.run.phases))


def _span(phase: Phase) -> Span:
    return Span(
        scenario=phase.scenario,
        part=phase.part,
        begin=phase.begin,
        end=phase.end,
        requests=len(phase.requests),
        failures=sum(not each.allowed for each in phase.requests),
        hit_ratio=clients.hit_ratio(phase.requests),
        outcomes=dict(clients.outcomes(phase.requests)),
        reasons=dict(clients.reasons(phase.requests)),
        window=phase.part == "cached" and phase.scenario in STEADY,
    )
