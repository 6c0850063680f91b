"""The checks of the verdict, by what they look at. Each gives `result.Check`s, and raises nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtest.checks import audit, bodies, chat, counts, faults, figures, rules, scraping, steady, stress, usages
from loadtest.checks.case import Case, Scope
from loadtest.result import Check


@dataclass(frozen=True)
class Checks:
    """The checks of one scenario.

    Attributes:
        of: Makes them from the scope and the phases of these parts, in this order.
        parts: That the scenario has to have.
        without: Name of the check that fails where one of them is missing.
    """

    of: Callable[..., Iterator[Check]]
    parts: tuple[str, ...] = ("cached",)
    without: str = "Steady state"

    def on(self, scope: Scope) -> Iterator[Check]:
        """The checks, after the one of the traffic."""
        yield counts.traffic(scope)
        phases = [scope.phase(part) for part in self.parts]
        missing = [part for part, phase in zip(self.parts, phases, strict=True) if phase is None]
        if missing:
            yield scope.lacks(self.without, "every phase", f"the run has no phase {' and '.join(missing)}")
        else:
            yield from self.of(scope, *phases)


#: Of the whole run, whatever was played.
RUN: tuple[Callable[[Scope], Iterator[Check]], ...] = (
    counts.checks,
    scraping.checks,
    bodies.checks,
    figures.checks,
    rules.checks,
)

#: By scenario.
SCENARIOS = {
    "single": Checks(usages.single, without="Gain"),
    "duplicate": Checks(usages.duplicate, ("without", "cached"), "Gain"),
    "pair": Checks(usages.batches, without="Gain"),
    "triple": Checks(usages.batches, without="Gain"),
    "typical": Checks(steady.typical),
    "typical-remote": Checks(steady.remote),
    "stampede": Checks(stress.stampede, without="Generations"),
    "churn": Checks(stress.churn, ("warm", "before", "scan", "after"), "Hit ratio of the popular keys"),
    "saturation": Checks(stress.saturation, ("flood", "recovery"), "Flood"),
    "management": Checks(stress.management, without="Operations under load"),
    "soak": Checks(steady.soak),
    "kill-worker": Checks(faults.kill_worker, ("fault", "recovery"), "The fault"),
    "prometheus-restart": Checks(faults.prometheus_restart, ("fault", "recovery"), "The fault"),
    "terminate": Checks(faults.terminate, ("fault", "restarted"), "The fault"),
    "garbage": Checks(faults.garbage, ("fault", "recovery"), "The fault"),
    "audit": Checks(audit.audit, audit.PARTS, "The audit"),
    "chat": Checks(chat.chat, ("mixed", "followers", "refused", "short", "dead", "recovery"), "The chat"),
    "shrink": Checks(faults.shrink, ("fault", "recovery"), "The fault"),
}


def checks(case: Case) -> Iterator[Check]:
    """Those of the run, and then those of every scenario of which a phase began."""
    for of_the_run in RUN:
        yield from of_the_run(Scope(case, "run"))
    for scenario in dict.fromkeys(phase.scenario for phase in case.run.phases):
        yield from SCENARIOS[scenario].on(Scope(case, scenario))
