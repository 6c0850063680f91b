"""Panels as SVG and HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from grafana.preview.data import Series

#: Grafana's names of colours, about as its dark theme shows them.
COLOURS = {
    "green": "#73bf69", "dark-green": "#37872d", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2",
    "orange": "#ff9830", "purple": "#b877d9",
}  # fmt: skip
PALETTE = ["#5794f2", "#ff9830", "#73bf69", "#b877d9", "#f2cc0c", "#f2495c", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5"]
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


class Margins(NamedTuple):
    """What labels take of a graph's sides."""

    left: float = 64
    right: float = 6
    top: float = 8
    bottom: float = 18


MARGINS = Margins()


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in its unit, as a person reads it."""
    if unit == "percentunit":
        return f"{figure(100 * value)}%" if decimals is None else f"{100 * value:.{decimals}f}%"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        power = min(int(math.log(value, 1024)), 4) if value >= 1 else 0
        return f"{figure(value / 1024**power)} {_BYTES[power]}"
    suffix = {"reqps": " req/s", "cps": " c/s", "suffix:x": "x"}.get(unit, "")
    return (f"{value:.{decimals}f}" if decimals is not None else figure(value)) + suffix


def figure(value: float) -> str:
    """Three figures, and all that stand before the point."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _seconds(value: float) -> str:
    units = ((86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
    size, name = next(((size, name) for size, name in units if abs(value) >= size), (1, "s"))
    return f"{figure(value / size)} {name}"


def colour(panel: dict[str, Any], name: str, number: int) -> str:
    """The colour of a line: what an override fixes, else one of the palette."""
    for properties in _overrides(panel, name):
        if properties["id"] == "color":
            return COLOURS[properties["value"]["fixedColor"]]
    return PALETTE[number % len(PALETTE)]


def _overrides(panel: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = []
    for override in panel["fieldConfig"]["overrides"]:
        wanted = override["matcher"]["options"]
        by_name = override["matcher"]["id"] == "byName"
        if wanted == name if by_name else re.search(wanted.strip("/"), name):
            found += override["properties"]
    return found


def stat(panel: dict[str, Any], series: list[Series], width: float, height: float) -> str:
    """One figure, on the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        return f'<div class="stat none">{html.escape(defaults.get("noValue", "No data"))}</div>'
    value = series[0].last
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    shown = text(value, defaults["unit"], defaults.get("decimals"))
    size = min(height * 0.5, width / max(len(shown), 4) * 1.5)
    return f'<div class="stat" style="background:{COLOURS[steps[-1]["color"]]};font-size:{size:.0f}px">{shown}</div>'


def table(panel: dict[str, Any], series: list[Series]) -> str:
    """The labels of what is there."""
    if not series:
        return f'<div class="empty">{html.escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))}</div>'
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({label for each in series for label in each.labels} - hidden.keys())
    head = "".join(f"<th>{column}</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(each.labels.get(column, ''))}</td>" for column in columns) + "</tr>"
        for each in series
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


class Frame:
    """The axes of a graph: seconds to the right, values upwards, logarithmic or not."""

    def __init__(
        self, width: float, height: float, span: tuple[float, float], logarithmic: bool, margins: Margins = MARGINS
    ) -> None:
        self.width, self.height, self.span, self._log = width, height - margins.bottom, span, logarithmic
        self.margins = margins
        self.low, self.high = 0.0, 1.0
        self.marks: list[tuple[float, str]] = []

    def fit(self, values: list[float], most: float | None) -> None:
        """Choose the range of the values."""
        if self._log:
            above = [value for value in values if value > 0] or [0.1, 1]
            self.low, self.high = (float(round_(math.log10(limit))) for round_, limit in _decades(above))
            self.high = max(self.high, self.low + 1)
        else:
            self.high = most if most is not None else (max(values, default=0) * 1.08 or 1.0)

    def x(self, at: float) -> float:
        """Where a moment is."""
        start, end = self.span
        return self.margins.left + (at - start) / (end - start) * (self.width - self.margins.left - self.margins.right)

    def y(self, value: float) -> float:
        """Where a value is."""
        place = (math.log10(max(value, 10**self.low)) if self._log else value) - self.low
        return self.height - min(max(place / (self.high - self.low), 0), 1.02) * (self.height - self.margins.top)

    def ticks(self, unit: str) -> list[float]:
        """Values for the labels of the value axis: round ones, about five."""
        if self._log:
            powers = range(int(self.low), int(self.high) + 1, max(1, math.ceil((self.high - self.low) / 5)))
            return [10.0**power for power in powers]
        step = _round(self.high / 4, 1024 if unit == "bytes" else 10)
        return [step * number for number in range(int(self.high / step) + 1)]

    def grid(self, unit: str) -> str:
        """Lines and labels of the value axis."""
        left = self.margins.left
        return "".join(
            f'<line class="grid" x1="{left}" x2="{self.width}" y1="{self.y(value):.1f}" y2="{self.y(value):.1f}"/>'
            f'<text x="{left - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end">{text(value, unit)}</text>'
            for value in self.ticks(unit)
        )

    def marked(self) -> str:
        """The annotations: moments, and their colours."""
        return "".join(
            f'<line x1="{self.x(at):.1f}" x2="{self.x(at):.1f}" y1="{self.margins.top}" y2="{self.height}"'
            f' stroke="{COLOURS[name]}" stroke-dasharray="3 4"/>'
            for at, name in self.marks
            if self.span[0] <= at <= self.span[1]
        )


def _round(value: float, base: int) -> float:
    """The next larger number that is round to that base."""
    size = float(base) ** math.floor(math.log(value, base))
    steps = (1, 2, 2.5, 5, 10) if base == 10 else [2.0**power for power in range(11)]
    return next((size * step for step in steps if size * step >= value), size * base)


def _decades(values: list[float]) -> tuple[tuple[Callable[[float], int], float], ...]:
    return (math.floor, min(values)), (math.ceil, max(values))


def graph(panel: dict[str, Any], series: list[Series], frame: Frame) -> str:
    """Lines over time, stacked where the panel stacks them, with the thresholds dashed."""
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        return f'<div class="empty">{html.escape(defaults.get("noValue", "No data"))}</div>'
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    lines, base = [], dict[float, float]()
    for number, each in enumerate(series):
        properties = {found["id"]: found["value"] for found in _overrides(panel, each.name)}
        above = stacked and "custom.stacking" not in properties
        points = [(at, value + (base.get(at, 0.0) if above else 0.0)) for at, value in each.points]
        dashes = properties.get("custom.lineStyle", {}).get("dash", [])
        floor = [(at, base.get(at, 0.0)) for at, _ in points] if above else []
        base |= dict(points) if above else {}
        lines.append((colour(panel, each.name, number), points, floor, dashes))
    steps = [step for step in defaults.get("thresholds", {}).get("steps", []) if step["value"] is not None]
    if "thresholdsStyle" not in defaults["custom"]:
        steps = []
    values = [value for _, points, _, _ in lines for _, value in points] + [step["value"] for step in steps]
    frame.fit(values, defaults.get("max"))
    drawn = "".join(_line(frame, *line) for line in reversed(lines)) + "".join(_step(frame, step) for step in steps)
    names = "".join(_key(colour(panel, each.name, n), each, defaults["unit"]) for n, each in enumerate(series))
    size = f'width="{frame.width}" height="{frame.height + frame.margins.bottom}"'
    svg = f"<svg {size}>{frame.grid(defaults['unit'])}{drawn}{frame.marked()}</svg>"
    beside = panel["options"]["legend"]["placement"] == "right"
    return f'{svg}<div class="legend{" beside" if beside else ""}">{names}</div>'


def _line(frame: Frame, stroke: str, points: list[tuple[float, float]], floor: Any, dashes: list[float]) -> str:
    paths = [
        " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in points[part]) for part in unbroken(points)
    ]
    dash = f' stroke-dasharray="{" ".join(map(str, dashes))}"' if dashes else ""
    drawn = "".join(f'<polyline points="{path}" stroke="{stroke}"{dash}/>' for path in paths)
    if floor:
        edge = [*points, *reversed(floor)]
        area = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in edge)
        drawn = f'<polygon points="{area}" fill="{stroke}" fill-opacity="0.5"/>{drawn}'
    return drawn


def unbroken(points: Sequence[tuple[float, float]]) -> Iterator[slice]:
    """Where a line goes on: between two of these parts it has a gap, much longer than from point to point."""
    gap = 8 * min((b[0] - a[0] for a, b in pairwise(points)), default=1)
    begin = 0
    for number, (one, next_one) in enumerate(pairwise(points), start=1):
        if next_one[0] - one[0] > gap:
            yield slice(begin, number)
            begin = number
    if points:
        yield slice(begin, len(points))


def _step(frame: Frame, step: dict[str, Any]) -> str:
    y = frame.y(step["value"])
    left, stroke = frame.margins.left, COLOURS[step["color"]]
    return f'<line x1="{left}" x2="{frame.width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{stroke}" stroke-dasharray="8 6"/>'


def _key(stroke: str, series: Series, unit: str) -> str:
    return (
        f'<span><i style="background:{stroke}"></i>{html.escape(series.name)} <b>{text(series.last, unit)}</b></span>'
    )


def heatmap(panel: dict[str, Any], series: list[Series], frame: Frame) -> str:
    """A histogram's buckets over time: what fell into each, the stronger the more."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    bounds = sorted(series, key=lambda each: float(each.labels["le"]))
    rows, below = [], dict[float, float]()
    for each in bounds:
        rows.append((each.labels["le"], [(at, max(value - below.get(at, 0.0), 0.0)) for at, value in each.points]))
        below = dict(each.points)
    rows = [row for row in rows if any(value > 0 for _, value in row[1])]
    if not rows:
        return f'<div class="empty">{html.escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))}</div>'
    most = max(value for _, cells in rows for _, value in cells)
    tall = (frame.height - frame.margins.top) / len(rows)
    drawn = ""
    for number, (bound, cells) in enumerate(rows):
        y = frame.height - (number + 1) * tall
        name = "above" if bound == "+Inf" else text(float(bound), unit)
        drawn += f'<text x="{frame.margins.left - 6}" y="{y + 12:.1f}" text-anchor="end">{name}</text>'
        for at, value in cells:
            if value > 0:
                opacity = 0.15 + 0.85 * math.sqrt(value / most)
                drawn += f'<rect x="{frame.x(at):.1f}" y="{y:.1f}" width="6" height="{tall - 1:.1f}"'
                drawn += f' fill="{COLOURS["orange"]}" fill-opacity="{opacity:.2f}"/>'
    return f'<svg width="{frame.width}" height="{frame.height + frame.margins.bottom}">{drawn}</svg>'
