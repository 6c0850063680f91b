"""What a chart shows: lines over time with targets and marks, or a histogram over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Points = Sequence[tuple[float, float]]
#: A gap in a line is at least so many times as long as the shortest step between two of its points.
_GAP_STEPS = 8


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        name: Its legend.
        points: Moments in seconds and values, in the order of time. Where they are far apart the line has a gap.
        colour: One of `COLOURS`; empty: one of the palette.
        dash: Lengths of its dashes and gaps in pixels; none: a whole line.
        alone: In a stacked chart: not stacked, as a limit is not.
    """

    name: str
    points: Points
    colour: str = ""
    dash: tuple[float, ...] = ()
    alone: bool = False

    def parts(self) -> Iterator[slice]:
        """Where the line goes on: between two of these parts it has a gap."""
        gap = _GAP_STEPS * min((after[0] - before[0] for before, after in pairwise(self.points)), default=1)
        begin = 0
        for number, (before, after) in enumerate(pairwise(self.points), start=1):
            if after[0] - before[0] > gap:
                yield slice(begin, number)
                begin = number
        if self.points:
            yield slice(begin, len(self.points))


@dataclass(frozen=True)
class Target:
    """A value that the lines are judged by, drawn dashed from side to side."""

    value: float
    colour: str = "red"


@dataclass(frozen=True)
class Mark:
    """A moment at which something happened, drawn dashed from top to bottom."""

    at: float
    colour: str = "blue"
    name: str = ""


@dataclass(frozen=True)
class _Plot:
    """What every kind of chart has."""

    title: str
    unit: str


@dataclass(frozen=True)
class Chart(_Plot):
    """Lines over time.

    Attributes:
        title: Its name, for those who hear the page.
        unit: Grafana's name of the unit of its values.
        lines: The lines; none: `empty` is shown.
        span: The time axis, in seconds.
        elapsed: The axis counts from its beginning (`1:30`), rather than as a clock (`14:05`).
        stacked: Each line stands on those before it.
        logarithmic: The axis of values.
        maximum: Where that axis ends; none: at what is shown, targets included.
        targets: Values to be judged by.
        marks: Moments.
        shaded: Stretches of time that stand out, from and to.
        resting: The moment whose values the legend shows while no cursor is there; none: the newest.
        height: In pixels, legend not included.
        group: Charts with one name share the cursor.
        empty: What stands where there are no lines.
    """

    lines: Sequence[Line] = ()
    span: tuple[float, float] = (0.0, 1.0)
    elapsed: bool = False
    stacked: bool = False
    logarithmic: bool = False
    maximum: float | None = None
    targets: Sequence[Target] = ()
    marks: Sequence[Mark] = ()
    shaded: Sequence[tuple[float, float]] = ()
    resting: float | None = None
    height: int = 200
    group: str = "page"
    empty: str = "No data"


@dataclass(frozen=True)
class Heatmap(_Plot):
    """A histogram over time: how much fell into each bucket, the stronger the more.

    Attributes:
        title: Its name, for those who hear the page.
        unit: Grafana's name of the unit of the buckets' bounds.
        rows: From below: the upper bound of a bucket (infinity for the last), and what fell into it by moment.
        span: The time axis, in seconds.
        colour: One of `COLOURS`.
        height: In pixels.
        group: Charts with one name share the cursor.
        empty: What stands where nothing was observed.
    """

    rows: Sequence[tuple[float, Points]] = ()
    span: tuple[float, float] = (0.0, 1.0)
    colour: str = "orange"
    height: int = 200
    group: str = "page"
    empty: str = "No data"
