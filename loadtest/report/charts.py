"""Charts of a run: lines as SVG that stretches with the page, and around them the labels as HTML, which does not.

Scales, gaps, ticks and units are those of the dashboards' preview. Every chart has the run's whole time as its axis.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from grafana import style
from grafana.charts import text

from loadtest.report import words
from loadtest.report.frame import Frame, Margins, unbroken
from loadtest.result import Chart, Line, Result

#: The SVG's own units; the page stretches them.
WIDTH, HEIGHT = 1000, 100
#: Names that mean the same wherever they stand.
COLOURS = {
    **style.INVALIDATIONS,
    **style.CAUSES,
    **style.REASONS,
    **style.OUTCOMES,
    "failed": "red",
    "failures": "red",
    "limit": "red",
    "waiting": "orange",
    "in progress": "blue",
    "offered": "purple",
    "ended": "blue",
    "lookups": "green",
}
PALETTE = ("blue", "orange", "green", "purple", "yellow", "red")
#: Dashes by the end of a legend, as the boards have them.
DASHES = {"p95": "10 6", "p50": "2 5", "limit": "10 6", "accounted": "10 6", "offered": "10 6"}
#: Dashes of lines that share a colour of the palette.
ROUNDS = ("", "10 6", "2 5")
_AXIS_SECONDS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
_AXIS_LABELS = 7
#: A value stands for a moment as long as no more than so many steps have gone by since.
_STALE_STEPS = 3
#: For how many scrapes traffic rests after a steady state.
_SETTLE_SCRAPES = 2
#: How far the value axis reaches, at least, as a multiple of the largest value of the steady state.
_PEAK_ROOM = 4


@dataclass(frozen=True)
class Axis:
    """The time that all charts share.

    Attributes:
        begin: Seconds since the epoch.
        end: The same, later.
        rest: The moment whose values are shown as long as nobody asks for another: that of the verdict, the end of
            the steady state and of the rest after it, when Prometheus has it all and nothing that came later.
        window: The steady state, from and to; the whole where there is none.
        steady: Whether there is one.
    """

    begin: float
    end: float
    rest: float
    window: tuple[float, float]
    steady: bool = True

    @classmethod
    def of(cls, result: Result) -> Axis:
        """The axis of a run."""
        end = max([result.end, result.begin + 1, *(span.end for span in result.spans)])
        windows = [(span.begin, span.end) for span in result.spans if span.window]
        window = windows[-1] if windows else (result.begin, end)
        settled = window[1] + _SETTLE_SCRAPES * float(result.settings.get("scrape_seconds", 0))
        following = [span.begin for span in result.spans if span.begin >= window[1]]
        return cls(result.begin, end, min([settled, end, *following]), window, bool(windows))

    def percent(self, at: float) -> float:
        """Where a moment is, from the left."""
        return percent(at, self.begin, self.end)

    def labels(self) -> list[tuple[float, str]]:
        """Moments in percent from the left, and what stands there."""
        whole = self.end - self.begin
        step = next((step for step in _AXIS_SECONDS if whole / step <= _AXIS_LABELS), whole / _AXIS_LABELS)
        return [(100 * step * each / whole, words.clock(step * each)) for each in range(int(whole / step) + 1)]


def percent(at: float, begin: float, end: float) -> float:
    """Where a moment is between two others."""
    return round(100 * min(max((at - begin) / (end - begin), 0), 1), 3) if end > begin else 0.0


@dataclass(frozen=True)
class Drawn:
    """One line, ready for the page.

    Attributes:
        name: Its legend.
        colour: The name of a colour.
        dash: For `stroke-dasharray`; empty: a whole line.
        paths: Points for SVG, one text for each part without a gap.
        areas: The same for what is filled below it; none where nothing is.
        moments: Seconds since the beginning of the run.
        values: What stands there, as text.
        resting: The value at the moment of rest.
    """

    name: str
    colour: str
    dash: str
    paths: list[str]
    areas: list[str]
    moments: list[float]
    values: list[str]
    resting: str

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script needs."""
        return {"at": self.moments, "text": self.values, "stale": stale(self.moments)}


@dataclass(frozen=True)
class Picture:
    """One chart, ready for the page.

    Attributes:
        chart: What is drawn.
        lines: In the order of the legend.
        ticks: Places in percent from the top, and what stands there.
        targets: The same for the dashed lines.
        beyond: The largest value, where the axis ends below it.
        empty: Why there is nothing to be seen; empty: there is.
    """

    chart: Chart
    lines: list[Drawn]
    ticks: list[tuple[float, str]]
    targets: list[tuple[float, str]]
    beyond: str = ""
    empty: str = ""


def draw(chart: Chart, axis: Axis) -> Picture:
    """A chart as it stands on the page."""
    present = [line for line in chart.lines if line.points]
    if not present:
        return Picture(chart, [], [], [], empty=why_empty(chart))
    heights = list(_stacked(present) if chart.stacked else _beside(present))
    top = _top(chart, axis, [point for points, _ in heights for point in points])
    frame = _frame(chart, axis, [min(value, top) for points, _ in heights for _, value in points])
    looks = _looks([line.name for line in present])
    lines = [
        _line(line, look, frame, axis, *height, chart.unit)
        for line, look, height in zip(present, looks, heights, strict=True)
    ]
    ticks = [(_place(frame, value), _text(value, chart.unit)) for value in frame.ticks(chart.unit)]
    targets = [(_place(frame, value), _text(value, chart.unit)) for value in chart.targets]
    largest = max(value for points, _ in heights for _, value in points)
    return Picture(chart, lines, ticks, targets, _text(largest, chart.unit) if largest > top else "")


def why_empty(chart: Chart) -> str:
    """What stands in the place of lines that are not there."""
    if not chart.queries:
        return "Nothing was asked of Prometheus for this chart."
    if not chart.lines:
        return "Prometheus answered with no series for the time of the run."
    return "Prometheus answered with series that have no value in the time of the run."


def stale(moments: list[float]) -> float:
    """For how many seconds a value stands for the time after it."""
    steps = sorted(after - before for before, after in pairwise(moments))
    return round(_STALE_STEPS * steps[len(steps) // 2], 1) if steps else 1.0


Points = tuple[tuple[float, float], ...]


def _beside(lines: list[Line]) -> Iterator[tuple[Points, Points]]:
    for line in lines:
        yield line.points, ()


def _stacked(lines: list[Line]) -> Iterator[tuple[Points, Points]]:
    base: dict[float, float] = {}
    for line in lines:
        if _limit(line.name):
            yield line.points, ()
            continue
        floor = tuple((at, base.get(at, 0.0)) for at, _ in line.points)
        points = tuple((at, value + below) for (at, value), (_, below) in zip(line.points, floor, strict=True))
        base |= dict(points)
        yield points, floor


def _limit(name: str) -> bool:
    return name == "limit"


def _frame(chart: Chart, axis: Axis, values: list[float]) -> Frame:
    frame = Frame(WIDTH, HEIGHT, (axis.begin, axis.end), chart.logarithmic, Margins(0, 0, 2, 0))
    shown = [*values, *chart.targets]
    whole = chart.unit == style.SHARE and 0.9 < max(shown) <= 1
    frame.fit(shown, 1.0 if whole else None)
    return frame


def _top(chart: Chart, axis: Axis, points: list[tuple[float, float]]) -> float:
    """Where the value axis ends at the latest: a peak elsewhere must not flatten the steady state to a line."""
    steady = max((value for at, value in points if axis.window[0] <= at <= axis.window[1]), default=0.0)
    room = _PEAK_ROOM * steady
    peak = max(value for _, value in points)
    return room if 0 < room < peak / 1.5 and not chart.logarithmic else math.inf


def _text(value: float, unit: str) -> str:
    """As the preview has it, but for what only Grafana's readers know."""
    return text(value, unit).replace("%", " %").replace(" /s", "/s")


def _place(frame: Frame, value: float) -> float:
    return round(frame.y(value), 2)


def _line(
    line: Line, look: tuple[str, str], frame: Frame, axis: Axis, points: Points, floor: Points, unit: str
) -> Drawn:
    parts = list(unbroken(points))
    moments = [round(at - axis.begin, 1) for at, _ in line.points]
    values = [_text(value, unit) for _, value in line.points]
    return Drawn(
        name=line.name,
        colour=look[0],
        dash=look[1],
        paths=[_path(frame, points[part]) for part in parts],
        areas=[_path(frame, (*points[part], *reversed(floor[part]))) for part in parts] if floor else [],
        moments=moments,
        values=values,
        resting=_value_at(axis.rest - axis.begin, moments, values),
    )


def _path(frame: Frame, points: Points) -> str:
    # A point alone has no length, and a line with round ends needs two to be seen.
    seen = points if len(points) > 1 else points * 2
    return " ".join(f"{frame.x(at):.1f},{frame.y(value):.2f}" for at, value in seen)


def _value_at(moment: float, moments: list[float], values: list[str]) -> str:
    number = bisect_right(moments, moment) - 1
    if number < 0 or moment - moments[number] > stale(moments):
        return words.NOTHING
    return values[number]


def _looks(names: list[str]) -> list[tuple[str, str]]:
    """Colour and dash of each line: those of its word, or of the word it begins or ends with.

    Others take what the palette has left, and when that has been round, dashes tell them apart.
    """
    known = [COLOURS.get(name) or COLOURS.get(name.split(" ")[0]) for name in names]
    free = [colour for colour in PALETTE if colour not in known] or list(PALETTE)
    looks, others = [], 0
    for name, colour in zip(names, known, strict=True):
        dash = next((dash for end, dash in DASHES.items() if name.endswith(end)), "")
        if colour is None:
            colour, dash = free[others % len(free)], dash or ROUNDS[others // len(free) % len(ROUNDS)]
            others += 1
        looks.append((colour, dash))
    return looks
