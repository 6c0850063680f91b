"""A dashboard as one HTML page: its panels on the grid, drawn with what their queries give."""

from __future__ import annotations

import html
import time
from typing import Any

from grafana.preview import charts
from grafana.preview.data import Source
from grafana.queries import panels

WIDTH, ROW, GAP = 1600, 30, 8
#: What a panel's title, and a graph's legend, take of its height.
TITLE, LEGEND = 30, 40
#: What a legend beside a graph takes of its width.
BESIDE = 190

Marks = list[tuple[float, str]]

STYLE = """
body { margin: 0; background: %(page)s; color: %(ink)s; font: 13px sans-serif; }
header { padding: 12px 16px; font-size: 20px; } header small { color: %(faint)s; font-size: 13px; margin-left: 12px; }
main { position: relative; margin: 0 8px; }
section { position: absolute; background: %(panel)s; border: 1px solid %(line)s; border-radius: 3px; overflow: hidden;
  box-sizing: border-box; } h2 { font-size: 14px; font-weight: 500; margin: 6px 10px; height: 18px; }
svg polyline { fill: none; stroke-width: 1.6; } svg text { fill: %(faint)s; font-size: 11px; }
.grid { stroke: %(line)s; } .legend { padding: 0 10px; font-size: 11px; max-height: 34px; overflow: hidden; }
.legend span { margin-right: 12px; white-space: nowrap; display: inline-block; }
.legend i { display: inline-block; width: 12px; height: 3px; margin-right: 5px; vertical-align: middle; }
.beside { position: absolute; right: 0; top: 34px; width: 180px; max-height: none; padding: 0; }
.beside span { display: block; }
.stat { display: flex; align-items: center; justify-content: center; height: calc(100%% - 30px); color: #111;
  font-weight: 600; } .none, .empty { color: %(faint)s; font-size: 22px; } .stat.none { color: %(faint)s; }
.empty { display: flex; align-items: center; justify-content: center; height: calc(100%% - 34px); }
table { width: 100%%; border-collapse: collapse; font-size: 12px; } th, td { text-align: left; padding: 3px 10px;
  border-bottom: 1px solid %(line)s; }
"""
THEMES = {
    "dark": {"page": "#111217", "panel": "#181b1f", "line": "#2c2f36", "ink": "#d5d6dc", "faint": "#9a9ca6"},
    "light": {"page": "#f4f5f5", "panel": "#ffffff", "line": "#dfe0e3", "ink": "#24292e", "faint": "#60646c"},
}


def page(dashboard: dict[str, Any], source: Source, theme: str) -> str:
    """The page's HTML."""
    title = html.escape(dashboard["title"])
    question = html.escape(dashboard["description"])
    moments = [time.strftime("%H:%M", time.localtime(moment)) for moment in (source.start, source.end)]
    marks = source.marks(dashboard)
    drawn = "".join(_section(panel, source, marks) for panel in panels(dashboard))
    head = f"<header>{title}<small>{question} · {' to '.join(moments)} · preview, not Grafana</small></header>"
    style = f"<style>{STYLE % THEMES[theme]}</style>"
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title>{style}{head}<main>{drawn}</main>'


def height(dashboard: dict[str, Any]) -> int:
    """How high the page is, in pixels."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels(dashboard))
    return 56 + int(rows) * (ROW + GAP)


def _section(panel: dict[str, Any], source: Source, marks: Marks) -> str:
    place = panel["gridPos"]
    column = (WIDTH - 16) / 24
    left, top = place["x"] * column, place["y"] * (ROW + GAP)
    wide, tall = place["w"] * column - GAP, place["h"] * (ROW + GAP) - GAP
    box = f"left:{left:.0f}px;top:{top}px;width:{wide:.0f}px;height:{tall}px"
    drawn = _drawn(panel, source, marks, wide, tall)
    return f'<section style="{box}"><h2>{html.escape(panel["title"])}</h2>{drawn}</section>'


def _drawn(panel: dict[str, Any], source: Source, marks: Marks, wide: float, tall: float) -> str:
    series = source.panel(panel)
    if panel["type"] == "stat":
        return charts.stat(panel, series, wide, tall - TITLE)
    if panel["type"] == "table":
        return charts.table(panel, series)
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    logarithmic = custom.get("scaleDistribution", {}).get("type") == "log"
    beside = panel["options"].get("legend", {}).get("placement") == "right"
    size = (wide - 8 - BESIDE, tall - TITLE - GAP) if beside else (wide - 8, tall - TITLE - LEGEND)
    frame = charts.Frame(*size, (source.start, source.end), logarithmic)
    frame.marks = marks
    draw = charts.heatmap if panel["type"] == "heatmap" else charts.graph
    return draw(panel, series, frame)
