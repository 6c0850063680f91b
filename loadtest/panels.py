"""What the dashboards' panels show: their own queries, by title, filled in and asked. No query has a second copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grafana.preview.charts import chart as plotted
from grafana.preview.data import Series as Shown
from grafana.preview.data import legend
from grafana.queries import ALL, DASHBOARDS, View, panel, panels, queries, read, substitute

from loadtest.prometheus import Prometheus, QueryError, Series
from loadtest.result import PanelChart

#: Boards, by the names of their files.
LOAD_TEST, MISSES, PROCESS = "load-test", "misses", "process"
HIT_RATIO = (LOAD_TEST, "Hit ratio")
SPEEDUP = (LOAD_TEST, "Speed-up")
SLOW_HITS = (LOAD_TEST, "Slow hits")
FAILED = (LOAD_TEST, "Failed requests")
HIT_LATENCY = (LOAD_TEST, "Hit latency")
MEMORY_LIMIT = (LOAD_TEST, "Memory against its limit")
MEMORY = (PROCESS, "Memory: accounted and resident")
MISS_REASONS = (MISSES, "Misses by reason")
#: A panel that shows a series of each instance as it was scraped.
VERSIONS = (PROCESS, "Versions")

#: A board's file and a panel's title.
Name = tuple[str, str]
#: Gives the series of a query.
Ask = Callable[[str], "tuple[Series, ...]"]


@dataclass(frozen=True)
class Figure:
    """The one figure that was wanted of a panel, or why there is none.

    Attributes:
        source: The panel, such as `Load test: Hit ratio`.
        value: A finite number; None: there is none.
        problem: Why there is none, as a sentence.
        points: What it was chosen from: seconds since the epoch, value.
    """

    source: str
    value: float | None
    problem: str = ""
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Panels:
    """The panels, over a Prometheus.

    Attributes:
        prometheus: Who is asked.
        scrape_seconds: Its scrape interval.
        variables: What is chosen at the top of the dashboards.
        folder: The dashboards' files.
    """

    prometheus: Prometheus
    scrape_seconds: float
    variables: Mapping[str, str | Sequence[str]] = field(
        default_factory=lambda: {"job": ALL, "instance": ALL, "pipeline": ALL}
    )
    folder: Path = DASHBOARDS

    def at(self, name: Name, at: float, ending: str = "", range_seconds: float | None = None) -> Figure:
        """What a panel shows at a moment, where it shows one line.

        Args:
            name: The panel.
            at: Seconds since the epoch.
            ending: Of the line's legend, where the panel has several queries.
            range_seconds: Of a panel so narrow that its one point covers all of that; None: a usual one.
        """
        view = self._view(self.scrape_seconds) if range_seconds is None else self._view(range_seconds, points=1)
        return self._figure(name, ending, lambda query: self.prometheus.instant(query, at), view)

    def over(self, name: Name, begin: float, end: float, ending: str = "") -> Figure:
        """The highest point of a panel's one line, within a span."""
        view = self._view(end - begin)
        step = view.interval_seconds
        return self._figure(name, ending, lambda query: self.prometheus.range(query, begin, end, step), view)

    def rate_seconds(self, span: float) -> float:
        """How far the rates look back in a panel that shows a span."""
        return self._view(span).rate_interval_seconds

    def _view(self, seconds: float, **more: int) -> View:
        return View(seconds, self.scrape_seconds, self.variables, **more)

    def _figure(self, name: Name, ending: str, ask: Ask, view: View) -> Figure:
        source = f"{name[0].replace('-', ' ').capitalize()}: {name[1]}"
        try:
            lines = [line for line in _lines(self._panel(name), ask, view) if line.name.endswith(ending)]
        except (QueryError, KeyError, OSError) as error:
            # A KeyError's text is the representation of what it was given.
            why = error.args[0] if isinstance(error, KeyError) and error.args else error
            return Figure(source, None, f"cannot be asked: {why}")
        if not lines:
            return Figure(source, None, "Prometheus answered with nothing")
        if len(lines) > 1:
            names = ", ".join(sorted(line.name for line in lines))
            return Figure(source, None, f"one line was expected, and there are {len(lines)}: {names}")
        return _highest(source, tuple(lines[0].points))

    def chart(self, name: Name, begin: float, end: float) -> PanelChart:
        """A panel as it looks over a span.

        Raises:
            QueryError: Prometheus cannot be asked.
            KeyError: There is no such panel.
        """
        board, shown = read(self.folder / f"{name[0]}.json"), self._panel(name)
        view = self._view(end - begin)
        step = view.interval_seconds
        # As Grafana does it: on whole steps, so that the points stand still when the span moves.
        first, last = math.floor(begin / step) * step, math.ceil(end / step) * step
        lines = list(_lines(shown, lambda query: self.prometheus.range(query, first, last, step), view))
        for line in lines:
            line.points[:] = [point for point in line.points if math.isfinite(point[1])]
        return PanelChart(
            board=board["title"],
            description=shown.get("description", ""),
            queries=tuple(substitute(query.expr, view) for query in queries(shown)),
            plot=plotted(shown, [line for line in lines if line.points], (first, last)),
        )

    def charts(self, begin: float, end: float) -> tuple[PanelChart, ...]:
        """Every panel of the board Load test, why it missed, and its memory, over a span.

        Raises:
            QueryError: Prometheus cannot be asked.
            KeyError: A board lacks a panel.
        """
        board = read(self.folder / f"{LOAD_TEST}.json")
        titles = [shown["title"] for shown in panels(board) if shown["type"] == "timeseries"]
        names: list[Name] = [(LOAD_TEST, title) for title in titles]
        return tuple(self.chart(name, begin, end) for name in [*names, MISS_REASONS, MEMORY])

    def scrapes(self, begin: float, end: float) -> dict[str, list[float]]:
        """When each instance was scraped, by its name.

        Raises:
            QueryError: Prometheus cannot be asked.
            KeyError: There is no panel of instances.
        """
        (query,) = queries(self._panel(VERSIONS))
        times: dict[str, list[float]] = {}
        for series in self.prometheus.samples(substitute(query.expr, self._view(end - begin)), begin, end):
            times.setdefault(series.labels["instance"], []).extend(at for at, _ in series.points)
        return {instance: sorted(moments) for instance, moments in times.items()}

    def _panel(self, name: Name) -> dict[str, Any]:
        return panel(read(self.folder / f"{name[0]}.json"), name[1])


def _lines(shown: Mapping[str, Any], ask: Ask, view: View) -> Iterator[Shown]:
    """The lines of a panel that have a point."""
    for query in queries(shown):
        for series in ask(substitute(query.expr, view)):
            labels = dict(series.labels)
            if series.points:
                yield Shown(legend(query.legend, labels) or query.ref, labels, list(series.points), query.ref)


def _highest(source: str, points: tuple[tuple[float, float], ...]) -> Figure:
    values = [value for _, value in points]
    bad = [value for value in values if not math.isfinite(value)]
    if bad:
        return Figure(source, None, f"it shows {'NaN' if math.isnan(bad[0]) else 'infinity'}, which is no figure")
    return Figure(source, max(values), points=points)
