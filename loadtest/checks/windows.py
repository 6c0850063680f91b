"""The steady state: what clients and counters say of it, and what the panels show at the ends of its windows.

The recorded rules look back over W seconds. Traffic rests for two scrapes before and after a steady state, so a window
is the steady state's own when it begins in the rest before it, at the earliest, and ends with the rest after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtest import formatting
from loadtest.checks.case import Bounds, Case, failed, shown
from loadtest.journal import Phase
from loadtest.panels import Figure, Name
from loadtest.result import Check


def ends(case: Case, phase: Phase) -> list[float]:
    """Where the windows of a steady state end, the last first; none: it is too short, or the window is not known."""
    if case.window_seconds is None:
        return []
    settle = case.settle_seconds
    found, end = [], last_moment(case, phase)
    while end - case.window_seconds >= phase.begin - settle:
        found.append(end)
        end -= case.window_seconds
    return found


def last_moment(case: Case, phase: Phase) -> float:
    """The end of the rest after it: what comes next begins there, if it comes sooner."""
    following = [each.begin for each in case.run.phases if each.begin >= phase.end and each is not phase]
    return min([phase.end + case.settle_seconds, *following])


def too_short(case: Case, phase: Phase) -> str:
    """Why a steady state has no window."""
    if case.window_seconds is None:
        return "Prometheus does not say how far its recorded rules look back"
    lasted = phase.end - phase.begin
    return f"the panels look back over {case.window_seconds:.0f} s, the steady state lasted {lasted:.0f} s"


@dataclass(frozen=True)
class Window:
    """What a panel shows at the end of one window."""

    begin: float
    end: float
    figure: Figure


def figures(case: Case, phase: Phase, panel: Name) -> list[Window]:
    """A panel at the ends of all windows of a steady state."""
    return [Window(end - (case.window_seconds or 0.0), end, case.panels.at(panel, end)) for end in ends(case, phase)]


def worst(case: Case, phase: Phase, name: str, panel: Name, bounds: Bounds, word: Callable[[float], str]) -> Check:
    """A panel within bounds at the end of every window; the figure that is furthest out is the one that is told."""
    found = figures(case, phase, panel)
    if not found:
        return failed(phase.scenario, name, bounds.said(word), too_short(case, phase), _source(case, phase, panel))
    lacking = next((each.figure for each in found if each.figure.value is None), None)
    chosen = lacking or min((each.figure for each in found), key=lambda figure: room(figure.value or 0.0, bounds))
    return shown(phase.scenario, name, chosen, bounds, word, _said(case, len(found)))


def room(value: float, bounds: Bounds) -> float:
    """How far a figure is within its bounds; negative: how far out."""
    return min(value - bounds.low, bounds.high - value)


def _said(case: Case, windows: int) -> str:
    seconds = f"{case.window_seconds:.0f} s"
    return f"over {seconds}" if windows == 1 else f"the worst of {formatting.count(windows, 'window')} of {seconds}"


def _source(case: Case, phase: Phase, panel: Name) -> str:
    return case.panels.at(panel, phase.end).source
