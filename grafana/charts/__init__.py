"""Charts for self-contained pages, drawn by uPlot: the previews of the dashboards and the load test's report use them.

A page has `style()` in its head, `render(chart)` where a chart stands, and `script()` once at the end of its body::

    from grafana.charts import Chart, Line, render, script, style

    line = Line("typical", points, "green")
    chart = Chart("Hit ratio", "percentunit", (line,), span=(begin, end), targets=(Target(0.6),))
    page = f"<head>{style()}</head><body>{render(chart)}{script()}</body>"

Nothing is loaded from elsewhere. Colours follow the reader's scheme, or `data-theme="dark"` or `"light"` on the root
element. Nothing moves by itself. Every chart has a name and a table of its values for those who do not see it, which is
shown to all where scripts do not run. The cursor is shared by all charts of one `group`, and moves by arrow keys, too.

Standard library only. The library is vendored: `grafana/vendor/README.md` has its version, hash and licence.
"""

from grafana.charts.colours import COLOURS, DARK, LIGHT, PALETTE
from grafana.charts.model import Chart, Heatmap, Line, Mark, Target
from grafana.charts.page import render, script, style
from grafana.charts.units import figure, text

__all__ = [
    "COLOURS",
    "DARK",
    "LIGHT",
    "PALETTE",
    "Chart",
    "Heatmap",
    "Line",
    "Mark",
    "Target",
    "figure",
    "render",
    "script",
    "style",
    "text",
]
