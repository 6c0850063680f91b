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


def colour(panel: Panel, name: str, number: int) -> str:
    """The colour of a line: what an override fixes, else one of the palette."""
    for properties in _overrides(panel, name):
        if properties["id"] == "color":
            return str(properties["value"]["fixedColor"])
    return PALETTE[number % len(PALETTE)]


def _overrides(panel: Panel, name: str) -> list[dict[str, Any]]:
    overrides = []
    for override in panel["fieldConfig"]["overrides"]:
        wanted = override["matcher"]["options"]
        by_name = override["matcher"]["id"] == "byName"
        if wanted == name if by_name else re.search(wanted.strip("/"), name):
            overrides += override["properties"]
    return overrides


def stat(panel: Panel, series: list[Series], width: float, height: float) -> str:
    """A figure for each series, on the colour of its threshold; named where there are several."""
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        return f'<div class="stat none">{html.escape(_no_value(panel))}</div>'
    tiles = "".join(_tile(defaults, line, width, height / len(series), named=len(series) > 1) for line in series)
    return f'<div class="stats">{tiles}</div>'


def _tile(defaults: dict[str, Any], line: Series, width: float, height: float, *, named: bool) -> str:
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or line.last >= step["value"]]
    shown = text(line.last, defaults["unit"], defaults.get("decimals"))
    size = min(height * 0.5, width / max(len(shown), 4) * 1.5)
    name = f"<small>{html.escape(line.name)}</small>" if named else ""
    style = f"background:var(--chart-{steps[-1]['color']});font-size:{size:.0f}px"
    return f'<div class="stat" style="{style}">{shown}{name}</div>'


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
    properties = {override["id"]: override["value"] for override in _overrides(panel, series.name)}
    dash = tuple(properties.get("custom.lineStyle", {}).get("dash", ()))
    alone = "custom.stacking" in properties
    return Line(series.name, tuple(series.points), colour(panel, series.name, number), dash, alone=alone)


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
