"""A dashboard as one HTML page: its panels on the grid, drawn with what their queries give."""

from __future__ import annotations

import html
import time
from typing import Any

from grafana.charts import Mark, script, style
from grafana.preview import charts
from grafana.preview.data import Source
from grafana.queries import panels

WIDTH, ROW, GAP = 1600, 30, 8
#: What a panel's title, and a graph's legend, take of its height.
TITLE, LEGEND = 30, 40
THEMES = ("dark", "light", "auto")

STYLE = """
:root { --page: #f4f5f5; --panel: #ffffff; --line: #dfe0e3; }
@media (prefers-color-scheme: dark) {
  :root:not([data-theme="light"]) { --page: #111217; --panel: #181b1f; --line: #2c2f36; }
}
:root[data-theme="dark"] { --page: #111217; --panel: #181b1f; --line: #2c2f36; }
body { margin: 0; background: var(--page); color: var(--chart-ink); font: 13px system-ui, sans-serif; }
header { padding: 12px 16px; font-size: 20px; } header small { color: var(--chart-faint); font-size: 13px;
  margin-left: 12px; }
main { position: relative; margin: 0 8px; }
section { position: absolute; background: var(--panel); border: 1px solid var(--line); border-radius: 3px;
  overflow: hidden; box-sizing: border-box; } h2 { font-size: 14px; font-weight: 500; margin: 6px 10px; height: 18px; }
h2.row { position: absolute; margin: 0; padding: 8px 10px 0; }
section .chart .legend { padding: 0 10px; font-size: 11px; max-height: 36px; overflow: auto; }
/* Grafana shows no table below a graph; who asks for one has it in a script-free page. */
section details { position: absolute; left: -9999px; }
.beside figure { display: flex; } .beside .plot { flex: 1 1 0; min-width: 0; }
.beside .chart .legend { flex: 0 0 170px; display: block; max-height: none; }
.stats { display: flex; flex-direction: column; height: calc(100% - 30px); }
.stat { display: flex; flex: 1; gap: 12px; align-items: center; justify-content: center; color: #111;
  font-weight: 600; }
:root[data-theme="light"] .stat { color: #fff; } .stat small { font-size: 13px; font-weight: 500; }
.stat.none, .nothing { color: var(--chart-faint) !important; font-size: 22px; font-weight: 600;
  height: calc(100% - 34px); }
.nothing { display: flex; align-items: center; justify-content: center; }
section > table { width: 100%; border-collapse: collapse; font-size: 12px; }
section > table th, section > table td { text-align: left; padding: 3px 10px; border-bottom: 1px solid var(--line); }
"""


def page(dashboard: dict[str, Any], source: Source, theme: str) -> str:
    """The page's HTML."""
    title = html.escape(dashboard["title"])
    question = html.escape(dashboard["description"])
    clock = [time.strftime("%H:%M", time.localtime(moment)) for moment in (source.start, source.end)]
    marks = [Mark(at, colour) for at, colour in source.marks(dashboard)]
    drawn = "".join(_section(panel, source, marks) for panel in panels(dashboard))
    head = f"<header>{title}<small>{question} · {' to '.join(clock)} · preview, not Grafana</small></header>"
    chosen = "" if theme == "auto" else f' data-theme="{theme}"'
    top = f'<!doctype html><html lang="en"{chosen}><head><meta charset="utf-8"><title>{title}</title>'
    return f"{top}{style()}<style>{STYLE}</style></head><body>{head}<main>{drawn}</main>{script()}</body></html>"


def height(dashboard: dict[str, Any]) -> int:
    """How high the page is, in pixels."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels(dashboard))
    return 56 + int(rows) * (ROW + GAP)


def _section(panel: dict[str, Any], source: Source, marks: list[Mark]) -> str:
    place = panel["gridPos"]
    column = (WIDTH - 16) / 24
    left, top = place["x"] * column, place["y"] * (ROW + GAP)
    wide, tall = place["w"] * column - GAP, place["h"] * (ROW + GAP) - GAP
    box = f"left:{left:.0f}px;top:{top}px;width:{wide:.0f}px;height:{tall}px"
    beside = panel["options"].get("legend", {}).get("placement") == "right"
    drawn = _drawn(panel, source, marks, wide, tall - TITLE - (GAP if beside else LEGEND))
    kind = ' class="beside"' if beside else ""
    return f'<section{kind} style="{box}"><h2>{html.escape(panel["title"])}</h2>{drawn}</section>'


def _drawn(panel: dict[str, Any], source: Source, marks: list[Mark], wide: float, tall: int) -> str:
    series, span = source.panel(panel), (source.start, source.end)
    if panel["type"] == "stat":
        return charts.stat(panel, series, wide, tall)
    if panel["type"] == "table":
        return charts.table(panel, series)
    if panel["type"] == "heatmap":
        return charts.heatmap(panel, series, span, tall)
    return charts.graph(panel, series, span, marks, tall)
