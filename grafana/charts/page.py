"""A chart as an element of a page, and the style and script that all charts of a page share."""

from __future__ import annotations

import html
import json
import math
import time
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from grafana.charts.colours import DARK, LIGHT, PALETTE
from grafana.charts.model import Chart, Heatmap, Line
from grafana.charts.units import text

VENDOR = Path(__file__).parents[1] / "vendor" / "uplot"
#: Rows that the table of a chart has at most.
TABLE_ROWS = 12
#: A value stands for the time after it for no more than so many steps.
_STALE_STEPS = 3
_NOTHING = "–"


@cache
def style() -> str:
    """The charts' style, for the head of a page."""
    scheme = ("light", LIGHT), ("dark", DARK)
    shades = {name: "".join(f"--chart-{colour}:{value};" for colour, value in of.items()) for name, of in scheme}
    own = _text("charts.css").replace("/*light*/", shades["light"]).replace("/*dark*/", shades["dark"])
    return f"<style>{(VENDOR / 'uPlot.min.css').read_text(encoding='utf-8')}{own}</style>"


@cache
def script() -> str:
    """The library and what draws every chart of the page; once, after the last chart."""
    return f"<script>{(VENDOR / 'uPlot.iife.min.js').read_text(encoding='utf-8')}{_text('charts.js')}</script>"


def _text(name: str) -> str:
    return files("grafana.charts").joinpath(name).read_text(encoding="utf-8")


def render(chart: Chart | Heatmap) -> str:
    """The chart's element: the plot, its legend, and its values as a table."""
    title = html.escape(chart.title)
    if not _shows(chart):
        return f'<div class="chart empty" role="img" aria-label="{title}">{html.escape(chart.empty)}</div>'
    data = _heatmap_data(chart) if isinstance(chart, Heatmap) else _chart_data(chart)
    # In a script element nothing but its end has a meaning, and JSON can say "<" in another way.
    encoded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    described = _heatmap_table(chart) if isinstance(chart, Heatmap) else _table(chart)
    legend = "" if isinstance(chart, Heatmap) else _legend(chart)
    return (
        f'<figure class="chart" aria-label="{title}">'
        f'<div class="plot" tabindex="0" role="img" aria-label="{title}" style="height:{chart.height}px"></div>'
        f'<script type="application/json">{encoded}</script>{legend}'
        f"<details><summary>Values as a table</summary>{described}</details></figure>"
    )


def _shows(chart: Chart | Heatmap) -> bool:
    if isinstance(chart, Heatmap):
        return any(value > 0 for _, points in chart.rows for _, value in points)
    return any(line.points for line in chart.lines)


def _chart_data(chart: Chart) -> dict[str, Any]:
    lines, base = [], dict[float, float]()
    for number, line in enumerate(chart.lines):
        stacked = chart.stacked and not line.alone
        values = [value + (base.get(at, 0.0) if stacked else 0.0) for at, value in line.points]
        base |= {at: value for (at, _), value in zip(line.points, values, strict=True)} if stacked else {}
        moments, drawn, shown = _with_gaps(line, values)
        if stacked:
            drawn = _without_nothing(drawn, shown)
        lines.append(
            {
                "name": line.name,
                "colour": _colour(line, number),
                "dash": list(line.dash),
                "stacked": stacked,
                "at": moments,
                "drawn": drawn,
                "shown": shown if stacked else None,
            }
        )
    return {
        "kind": "lines",
        "unit": chart.unit,
        "lines": lines,
        "span": chart.span,
        "elapsed": chart.elapsed,
        "logarithmic": chart.logarithmic,
        "maximum": chart.maximum,
        "targets": [[target.value, target.colour] for target in chart.targets],
        "marks": [[mark.at, mark.colour] for mark in chart.marks if chart.span[0] <= mark.at <= chart.span[1]],
        "shaded": [list(stretch) for stretch in chart.shaded],
        "group": chart.group,
    }


def _with_gaps(line: Line, values: list[float]) -> tuple[list[float], list[float | None], list[float | None]]:
    """Moments, what is drawn there and what the legend says; a gap is a moment without a value."""
    moments, drawn, shown = list[float](), list[float | None](), list[float | None]()
    for part in line.parts():
        if moments:
            moments.append(_rounded((moments[-1] + line.points[part][0][0]) / 2))
            drawn.append(None)
            shown.append(None)
        moments += [_rounded(at) for at, _ in line.points[part]]
        drawn += values[part]
        shown += [value for _, value in line.points[part]]
    return moments, drawn, shown


def _without_nothing(drawn: list[float | None], shown: list[float | None]) -> list[float | None]:
    """A stacked line is left out where it is 0 for a while: it would cover the line that it stands on."""
    around = zip([0.0, *shown[:-1]], shown, [*shown[1:], 0.0], strict=True)
    return [None if not any(values) else value for values, value in zip(around, drawn, strict=True)]


def _rounded(at: float) -> float:
    # Milliseconds are finer than any pixel.
    return round(at, 3)


def _colour(line: Line, number: int) -> str:
    return line.colour or PALETTE[number % len(PALETTE)]


def _heatmap_data(chart: Heatmap) -> dict[str, Any]:
    rows = [(bound, points) for bound, points in chart.rows if any(value > 0 for _, value in points)]
    return {
        "kind": "heatmap",
        "unit": chart.unit,
        "span": chart.span,
        "colour": chart.colour,
        "rows": [
            [bound if math.isfinite(bound) else None, [list(point) for point in points]] for bound, points in rows
        ],
        "group": chart.group,
    }


def _legend(chart: Chart) -> str:
    entries = "".join(
        f'<li><i style="--line:var(--chart-{_colour(line, number)})"{" class=dashed" if line.dash else ""}></i>'
        f"{html.escape(line.name)} <b>{_value_at(line, chart.resting, chart.unit)}</b></li>"
        for number, line in enumerate(chart.lines)
    )
    return f'<ul class="legend">{entries}</ul>'


def _value_at(line: Line, at: float | None, unit: str) -> str:
    if not line.points:
        return _NOTHING
    if at is None:
        return text(line.points[-1][1], unit)
    moments = [moment for moment, _ in line.points]
    number = bisect_right(moments, at) - 1
    if number < 0 or at - moments[number] > _stale(moments):
        return _NOTHING
    return text(line.points[number][1], unit)


def _stale(moments: list[float]) -> float:
    steps = sorted(after - before for before, after in pairwise(moments))
    return _STALE_STEPS * steps[len(steps) // 2] if steps else 1.0


def _moments(span: tuple[float, float]) -> list[float]:
    begin, end = span
    return [begin + (end - begin) * number / (TABLE_ROWS - 1) for number in range(TABLE_ROWS)]


def _clock(at: float, chart: Chart | Heatmap) -> str:
    if isinstance(chart, Chart) and chart.elapsed:
        seconds = round(at - chart.span[0])
        return f"{seconds // 60}:{seconds % 60:02}"
    return time.strftime("%H:%M", time.localtime(at))


def _table(chart: Chart) -> str:
    head = "".join(f'<th scope="col">{html.escape(line.name)}</th>' for line in chart.lines)
    rows = "".join(
        f'<tr><th scope="row">{_clock(at, chart)}</th>'
        + "".join(f"<td>{_value_at(line, at, chart.unit)}</td>" for line in chart.lines)
        + "</tr>"
        for at in _moments(chart.span)
    )
    return f'<table><thead><tr><th scope="col">Time</th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _heatmap_table(chart: Heatmap) -> str:
    """What fell into each bucket over the whole time."""
    rows = "".join(
        f'<tr><th scope="row">{_bound(bound, chart.unit)}</th><td>{sum(value for _, value in points):,.0f}</td></tr>'
        for bound, points in chart.rows
        if any(value > 0 for _, value in points)
    )
    head = '<tr><th scope="col">Up to</th><th scope="col">Count</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _bound(bound: float, unit: str) -> str:
    return text(bound, unit) if math.isfinite(bound) else "above"
