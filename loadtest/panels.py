"""What the dashboards' panels show: their own queries, by title, filled in and asked. No query has a second copy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grafana.preview.data import legend
from grafana.queries import ALL, DASHBOARDS, Query, View, panel, panels, queries, read, substitute

from loadtest.prometheus import AskError, Series, Source
from loadtest.result import Chart, Line

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


@dataclass(frozen=True)
class Shown:
    """One line of a panel: its legend, and its points (seconds since the epoch, value, which may be NaN)."""

    name: str
    series: Series


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
        source: Who is asked.
        scrape_seconds: Prometheus' scrape interval.
        variables: What is chosen at the top of the dashboards.
        folder: The dashboards' files.
    """

    source: Source
    scrape_seconds: float
    variables: Mapping[str, str | Sequence[str]] = field(
        default_factory=lambda: {"job": ALL, "instance": ALL, "pipeline": "relief"}
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
        return self._figure(name, ending, lambda text: self.source.instant(text, at), view)

    def over(self, name: Name, begin: float, end: float, ending: str = "") -> Figure:
        """The highest point of a panel's one line, within a span."""
        view = self._view(end - begin)
        step = view.interval_seconds
        return self._figure(name, ending, lambda text: self.source.range(text, begin, end, step), view)

    def rate_seconds(self, span: float) -> float:
        """How far the rates look back in a panel that shows a span."""
        return self._view(span).rate_interval_seconds

    def _view(self, seconds: float, **more: int) -> View:
        return View(seconds, self.scrape_seconds, self.variables, **more)

    def _figure(self, name: Name, ending: str, ask: Any, view: View) -> Figure:
        source = _title(name)
        try:
            shown = self._panel(name)
            source = f"{_board(self._dashboard(name))}: {name[1]}"
            lines = [line for line in _lines(shown, ask, view) if line.name.endswith(ending) and line.series.points]
        except (AskError, KeyError, OSError) as error:
            return Figure(source, None, f"cannot be asked: {_said(error)}")
        if not lines:
            return Figure(source, None, "Prometheus answered with nothing")
        if len(lines) > 1:
            named = ", ".join(sorted(line.name for line in lines))
            return Figure(source, None, f"one line was expected, and there are {len(lines)}: {named}")
        return _highest(source, lines[0].series.points)

    def chart(self, name: Name, begin: float, end: float) -> Chart:
        """A panel as it looks over a span.

        Raises:
            AskError: Prometheus cannot be asked.
            KeyError: There is no such panel.
        """
        dashboard, shown = self._dashboard(name), self._panel(name)
        view = self._view(end - begin)
        step = view.interval_seconds
        # As Grafana does it: on whole steps, so that the points stand still when the span moves.
        first, last = math.floor(begin / step) * step, math.ceil(end / step) * step
        lines = _lines(shown, lambda text: self.source.range(text, first, last, step), view)
        looks = shown["fieldConfig"]["defaults"]
        custom = looks.get("custom", {})
        return Chart(
            title=shown["title"],
            board=dashboard["title"],
            description=shown.get("description", ""),
            unit=looks.get("unit", "short"),
            queries=tuple(substitute(query.expr, view) for query in queries(shown)),
            lines=tuple(drawn for drawn in map(_drawn, lines) if drawn.points),
            stacked=custom.get("stacking", {}).get("mode", "none") != "none",
            logarithmic=custom.get("scaleDistribution", {}).get("type") == "log",
            targets=_targets(looks),
        )

    def charts(self, begin: float, end: float) -> tuple[Chart, ...]:
        """Every panel of the board Load test, why it missed, and its memory, over a span.

        Raises:
            AskError: Prometheus cannot be asked.
            KeyError: A board lacks a panel.
        """
        board = read(self.folder / f"{LOAD_TEST}.json")
        titles = [shown["title"] for shown in panels(board) if shown["type"] == "timeseries"]
        names: list[Name] = [(LOAD_TEST, title) for title in titles]
        return tuple(self.chart(name, begin, end) for name in [*names, MISS_REASONS, MEMORY])

    def scrapes(self, begin: float, end: float) -> dict[str, list[float]]:
        """When each instance was scraped, by its name.

        Raises:
            AskError: Prometheus cannot be asked.
            KeyError: There is no panel of instances.
        """
        (query,) = queries(self._panel(VERSIONS))
        found: dict[str, list[float]] = {}
        for series in self.source.samples(substitute(query.expr, self._view(end - begin)), begin, end):
            found.setdefault(series.labels["instance"], []).extend(at for at, _ in series.points)
        return {instance: sorted(times) for instance, times in found.items()}

    def _dashboard(self, name: Name) -> dict[str, Any]:
        return read(self.folder / f"{name[0]}.json")

    def _panel(self, name: Name) -> dict[str, Any]:
        return panel(self._dashboard(name), name[1])


def _lines(shown: Mapping[str, Any], ask: Any, view: View) -> Iterator[Shown]:
    for query in queries(shown):
        for series in ask(substitute(query.expr, view)):
            yield Shown(_legend(query, series), series)


def _legend(query: Query, series: Series) -> str:
    return legend(query.legend, dict(series.labels)) or query.ref


def _highest(source: str, points: tuple[tuple[float, float], ...]) -> Figure:
    values = [value for _, value in points]
    bad = [value for value in values if not math.isfinite(value)]
    if bad:
        return Figure(source, None, f"it shows {'NaN' if math.isnan(bad[0]) else 'infinity'}, which is no figure")
    return Figure(source, max(values), points=points)


def _drawn(shown: Shown) -> Line:
    return Line(shown.name, tuple((at, value) for at, value in shown.series.points if math.isfinite(value)))


def _targets(looks: Mapping[str, Any]) -> tuple[float, ...]:
    if looks.get("custom", {}).get("thresholdsStyle", {}).get("mode", "off") == "off":
        return ()
    steps = looks.get("thresholds", {}).get("steps", [])
    return tuple(float(step["value"]) for step in steps if step["value"] is not None)


def _title(name: Name) -> str:
    return f"{name[0].replace('-', ' ').capitalize()}: {name[1]}"


def _board(dashboard: Mapping[str, Any]) -> str:
    return str(dashboard["title"]).removeprefix("Recoup: ")


def _said(error: Exception) -> str:
    # A KeyError's text is the representation of what it was given.
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
