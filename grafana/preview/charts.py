"""Panels as elements of a page: lines and heat maps by `grafana.charts`, figures and tables as HTML."""

from __future__ import annotations

import html
import math
import re
from dataclasses import replace
from typing import Any

from grafana.charts import PALETTE, Chart, Heatmap, Line, Mark, Target, render, text
from grafana.preview.data import Series

Panel = dict[str, Any]


def colour(panel: Panel, series: Series) -> str | None:
    """The colour of a line that an override fixes, if one does."""
    fixed = [override["value"]["fixedColor"] for override in _overrides(panel, series) if override["id"] == "color"]
    return str(fixed[-1]) if fixed else None


def _overrides(panel: Panel, series: Series) -> list[dict[str, Any]]:
    overrides = []
    for override in panel["fieldConfig"]["overrides"]:
        wanted = override["matcher"]["options"]
        by_query = override["matcher"]["id"] == "byFrameRefID"
        if wanted == series.ref if by_query else re.search(wanted.strip("/"), series.name):
            overrides += override["properties"]
    return overrides


def stat(panel: Panel, series: list[Series], width: float, height: float) -> str:
    """A figure for each series, on the colour of its threshold; named where there are several, or the panel says so."""
    named = len(series) > 1 or panel["options"]["textMode"] == "value_and_name"
    tiles = "".join(_tile(*shown(panel, line), line.name, width, height / len(series), named=named) for line in series)
    return f'<div class="stats">{tiles or _tile(*shown(panel, None), "", width, height, named=False)}</div>'


def shown(panel: Panel, line: Series | None) -> tuple[str, str]:
    """What a figure says, and in which colour: a mapping's, an override's, or that of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings", []):
        options = mapping["options"]
        by_value = mapping["type"] == "value"
        result = options.get(f"{line.last:g}") if by_value and line else None if line else options.get("result")
        if result:
            return str(result["text"]), str(result["color"])
    if line is None:
        return _no_value(panel), "blue"
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or line.last >= step["value"]]
    return text(line.last, defaults["unit"], defaults.get("decimals")), colour(panel, line) or str(steps[-1]["color"])


#: Pixels from which on a figure's name fits beside it.
_ROOM_BESIDE = 300


def _tile(words: str, background: str, name: str, width: float, height: float, *, named: bool) -> str:
    below = named and width < _ROOM_BESIDE
    size = min(height * (0.35 if below else 0.5), width / max(len(words), 4) * 1.35)
    label = f"<small>{html.escape(name)}</small>" if named else ""
    style = f"background:var(--chart-{background});font-size:{size:.0f}px" + (";flex-direction:column" if below else "")
    return f'<div class="stat" style="{style}">{html.escape(words)}{label}</div>'


def table(panel: Panel, series: list[Series]) -> str:
    """The labels of what is there."""
    if not series:
        return f'<div class="nothing">{html.escape(_no_value(panel))}</div>'
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({label for line in series for label in line.labels} - hidden.keys())
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(line.labels.get(column, ''))}</td>" for column in columns) + "</tr>"
        for line in series
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def graph(panel: Panel, series: list[Series], span: tuple[float, float], marks: list[Mark], height: int) -> str:
    """Lines over time, stacked where the panel stacks them, with the thresholds dashed."""
    return render(replace(chart(panel, series, span), marks=marks, height=height))


def chart(panel: Panel, series: list[Series], span: tuple[float, float]) -> Chart:
    """A panel of lines over time as a chart: its unit, axis, colours, dashes and thresholds."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    steps = defaults.get("thresholds", {}).get("steps", []) if "thresholdsStyle" in custom else []
    return Chart(
        panel["title"],
        defaults["unit"],
        tuple(_line(panel, line, number) for number, line in enumerate(series)),
        span,
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        logarithmic=custom.get("scaleDistribution", {}).get("type") == "log",
        maximum=defaults.get("max"),
        targets=tuple(Target(step["value"], step["color"]) for step in steps if step["value"] is not None),
        empty=_no_value(panel),
    )


def _line(panel: Panel, series: Series, number: int) -> Line:
    properties = {override["id"]: override["value"] for override in _overrides(panel, series)}
    dash = tuple(properties.get("custom.lineStyle", {}).get("dash", ()))
    alone = "custom.stacking" in properties
    return Line(
        series.name, tuple(series.points), colour(panel, series) or PALETTE[number % len(PALETTE)], dash, alone=alone
    )


def heatmap(panel: Panel, series: list[Series], span: tuple[float, float], height: int) -> str:
    """A histogram's buckets over time: what fell into each, the stronger the more."""
    rows, below = [], dict[float, float]()
    for bucket in sorted(series, key=lambda line: float(line.labels["le"])):
        counts = [(at, max(value - below.get(at, 0.0), 0.0)) for at, value in bucket.points]
        bound = float(bucket.labels["le"])
        rows.append((bound if math.isfinite(bound) else math.inf, counts))
        below = dict(bucket.points)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    return render(Heatmap(panel["title"], unit, rows, span, height=height, empty=_no_value(panel)))


def _no_value(panel: Panel) -> str:
    return str(panel["fieldConfig"]["defaults"].get("noValue", "No data"))
