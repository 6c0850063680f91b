"""The workload: from its settings to the phases that a run plays. Nothing here sends anything, or looks at a clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from loadtest import journal, theory
from loadtest.actions import is_fault, settle
from loadtest.plan import Phase
from loadtest.scenarios import audit, behaviour, faults, usage  # noqa: F401  # they register theirs
from loadtest.scenarios.parts import REGISTERED, Scenario
from loadtest.settings import DEFAULT_NAMES, NAMES, Settings, scenarios

__all__ = [
    "DEFAULT_NAMES",
    "NAMES",
    "SCENARIOS",
    "Scenario",
    "Settings",
    "expected_hit_ratio",
    "is_steady",
    "needs_owner",
    "phases",
    "scenarios",
]


#: By name, in the order of a run.
SCENARIOS: Mapping[str, Scenario] = {name: REGISTERED[name] for name in NAMES}


def phases(settings: Settings) -> tuple[Phase, ...]:
    """The phases of all scenarios that the settings name, one after another."""
    planned: list[Phase] = []
    for name in (name for name in NAMES if name in settings.scenarios):
        for phase in SCENARIOS[name].phases(settings):
            after_steady = bool(planned) and is_steady(planned[-1])
            planned.append(replace(phase, before=(settle(), *phase.before)) if after_steady else phase)
    return tuple(planned)


def needs_owner(phases: Iterable[Phase]) -> tuple[str, ...]:
    """The scenarios among phases that need processes of the run's own: to bring about a fault, or an upstream."""
    needing = (
        phase
        for phase in phases
        if phase.scenario in (usage.REMOTE, audit.SCENARIO) or any(map(is_fault, phase.actions))
    )
    return tuple(dict.fromkeys(phase.scenario for phase in needing))


def is_steady(phase: Phase | journal.Phase) -> bool:
    """Whether it is the steady state that the panels are asked for: Prometheus scrapes before and after it."""
    return phase.part == "cached" and phase.scenario in ("typical", usage.REMOTE, "soak")


def expected_hit_ratio(settings: Settings) -> float:
    """The hit ratio of typical usage in its steady state, by Che's approximation."""
    return theory.che(theory.zipf(settings.catalogue, settings.alpha), settings.cache_entries)
