"""What a check is given, and the ways in which it says what was measured and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from loadtest.formatting import count
from loadtest.journal import Phase, Run
from loadtest.panels import Figure, Panels
from loadtest.result import Check
from loadtest.settings import Settings
from loadtest.thresholds import Thresholds

NOTHING = "nothing"
#: Exceptions that are told, of many.
_SHOWN = 3
#: Writes a figure with its unit.
Unit = Callable[[float], str]


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

    low: float
    high: float
    unit: Unit

    def hold(self, value: float) -> bool:
        """Whether a figure is within."""
        return self.low <= value <= self.high

    def room(self, value: float) -> float:
        """How far a figure is within; negative: how far out."""
        return min(value - self.low, self.high - value)

    def __str__(self) -> str:
        """Such as `66.7 % to 72.0 %`."""
        if self.low == float("-inf"):
            return f"at most {self.unit(self.high)}"
        if self.high == float("inf"):
            return f"at least {self.unit(self.low)}"
        return f"{self.unit(self.low)} to {self.unit(self.high)}"


def at_most(high: float, unit: Unit) -> Bounds:
    """Bounds that are open below."""
    return Bounds(float("-inf"), high, unit)


def at_least(low: float, unit: Unit) -> Bounds:
    """Bounds that are open above."""
    return Bounds(low, float("inf"), unit)


@dataclass(frozen=True)
class Scope:
    """What a check is about: one scenario of a run, or the run itself. Makes its checks."""

    case: Case
    scenario: str

    @property
    def asked(self) -> Thresholds:
        """What the run has to reach."""
        return self.case.asked

    def phase(self, part: str) -> Phase | None:
        """The phase of the scenario with this name; None: there is none."""
        return self.case.run.phase(self.scenario, part)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Its phases, in their order."""
        return self.case.phases(self.scenario)

    def holds(
        self, name: str, measured: object, expected: str, passed: bool, detail: str = "", source: str = ""
    ) -> Check:
        """A statement that is true or not."""
        return Check(self.scenario, name, str(measured), expected, passed, detail, source)

    def lacks(self, name: str, expected: object, why: str, source: str = "") -> Check:
        """A check that has nothing to judge by, which is a failure."""
        return self.holds(name, NOTHING, str(expected), False, why, source)

    def within(
        self,
        name: str,
        value: float | Figure | None,
        bounds: Bounds,
        detail: str = "",
        *,
        why: str = "",
        source: str = "",
    ) -> Check:
        """A figure against its bounds.

        Args:
            name: Of the check.
            value: What was measured, also as a panel shows it; None: nothing, which is a failure.
            bounds: What is expected.
            detail: A sentence more.
            why: Of a failure for want of a value, instead of `detail`; a panel has its own.
            source: The panel, where `value` does not say it.
        """
        if isinstance(value, Figure):
            why, source = value.problem, value.source
            value = value.value
        if value is None:
            return self.lacks(name, bounds, why or detail, source)
        return self.holds(name, bounds.unit(value), str(bounds), bounds.hold(value), detail, source)

    def none(
        self,
        name: str,
        wrong: Iterable[str],
        of: int,
        what: str,
        *,
        called: str = "difference",
        expected: str = "none",
        least: int = 1,
    ) -> Check:
        """No exception among some; the first few are told.

        Args:
            name: Of the check.
            wrong: A sentence of each exception.
            of: How many there were to look at.
            what: They are, such as `answer`.
            called: What one exception is.
            expected: As the report has it.
            least: So many have to be there.
        """
        told = list(wrong)
        measured = f"{count(len(told), called)} in {count(of, what)}"
        more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return self.holds(name, measured, expected, not told and of >= least, "; ".join(told[:_SHOWN]) + more)

    def all_of(self, name: str, good: int, of: int, said: str = "", detail: str = "") -> Check:
        """All of at least one have to be good."""
        return self.holds(name, f"{good:,} of {of:,}{said}", "all", good == of > 0, detail)
