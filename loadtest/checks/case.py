"""What a check is given, and how it says what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtest.journal import Phase, Run
from loadtest.panels import Figure, Panels
from loadtest.result import Check
from loadtest.settings import Settings
from loadtest.thresholds import Thresholds

NOTHING = "nothing"


@dataclass(frozen=True)
class Case:
    """A run, whom to ask about it, and what is asked of it.

    Attributes:
        run: As its journal has it.
        panels: The dashboards' panels, over the run's Prometheus.
        asked: What it has to reach.
        window_seconds: How far the recorded rules look back; None: Prometheus does not say.
    """

    run: Run
    panels: Panels
    asked: Thresholds
    window_seconds: float | None

    def phases(self, scenario: str) -> tuple[Phase, ...]:
        """The phases of a scenario, in their order."""
        return tuple(phase for phase in self.run.phases if phase.scenario == scenario)

    def played(self, scenario: str) -> bool:
        """Whether any of its phases began."""
        return bool(self.phases(scenario))

    def setting(self, name: str) -> Any:
        """A setting of the workload."""
        return self.run.settings[name]

    @property
    def settings(self) -> Settings | None:
        """The settings of the workload; None: they cannot be used."""
        try:
            return Settings.from_mapping(self.run.settings)
        except (TypeError, ValueError):
            return None

    @property
    def settle_seconds(self) -> float:
        """How long there is no traffic before and after a steady state: two scrapes."""
        return 2 * float(self.setting("scrape_seconds"))


@dataclass(frozen=True)
class Bounds:
    """What a figure has to be within, both included; infinite: open there."""

    low: float = float("-inf")
    high: float = float("inf")

    def hold(self, value: float) -> bool:
        """Whether a figure is within."""
        return self.low <= value <= self.high

    def said(self, word: Callable[[float], str]) -> str:
        """Such as `66.7 % to 72.0 %`."""
        if self.low == float("-inf"):
            return f"at most {word(self.high)}"
        if self.high == float("inf"):
            return f"at least {word(self.low)}"
        return word(self.low) if self.low == self.high else f"{word(self.low)} to {word(self.high)}"


def judged(
    scenario: str,
    name: str,
    value: float | None,
    bounds: Bounds,
    word: Callable[[float], str],
    detail: str = "",
    source: str = "",
) -> Check:
    """A figure against its bounds; none at all has failed."""
    if value is None:
        return Check(scenario, name, NOTHING, bounds.said(word), passed=False, detail=detail, source=source)
    return Check(scenario, name, word(value), bounds.said(word), bounds.hold(value), detail, source)


def shown(
    scenario: str, name: str, figure: Figure, bounds: Bounds, word: Callable[[float], str], detail: str = ""
) -> Check:
    """A panel's figure against its bounds; why there is none is the detail then."""
    said = detail if figure.value is not None else figure.problem
    return judged(scenario, name, figure.value, bounds, word, said, figure.source)


def failed(scenario: str, name: str, wanted: str, why: str, source: str = "") -> Check:
    """A check that found nothing to judge by."""
    return Check(scenario, name, NOTHING, wanted, passed=False, detail=why, source=source)
