"""Panels: each kind with what every panel has, a title, a description, a unit and legends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafana.expressions import named
from grafana.sdk import common, common_model, dashboard, heatmap, heatmap_model, model, stat, table, timeseries
from grafana.sdk import prometheus as prom
from grafana.sdk import prometheus_model as prom_model
from grafana.style import ABSENT, STATES, Colours, Steps

Panel = Any  # the SDK's builders share no base that has what all panels have
SOURCE = common_model.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True)
class Line:
    """One query of a panel, the name of what it gives, and how that looks, whatever its name.

    The cluster and the namespace are written before the name, where targets have them.
    """

    expr: str
    legend: str
    exemplars: bool = False
    look: tuple[model.DynamicConfigValue, ...] = ()


def _target(line: Line, letter: str, instant: bool = False) -> prom.Dataquery:
    query = prom.Dataquery().datasource(SOURCE).ref_id(letter).expr(line.expr).legend_format(named(line.legend))
    query = query.editor_mode(prom_model.QueryEditorMode.CODE)
    query = query.instant() if instant else query.range()
    return query.exemplar(True) if line.exemplars else query


def _with_targets(panel: Panel, lines: tuple[Line, ...], instant: bool = False) -> Panel:
    for number, line in enumerate(lines):
        letter = chr(ord("A") + number)
        panel = panel.with_target(_target(line, letter, instant))
        if line.look:
            panel = panel.override_by_query(letter, list(line.look))
    return panel.datasource(SOURCE)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    thresholds = [model.Threshold(value, colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)


def _colour(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def figure(title: str, description: str, unit: str, *lines: Line, steps: Steps, **further: Any) -> Panel:
    """One figure of now for each job, large enough to be read from across a room, in the colour of its threshold.

    Negative figures are states, see `grafana.liveness`. Further: `absent`, what stands there without any value, and its
    colour; `decimals`, `time_from` for another range than the dashboard's, `links`.
    """
    panel = stat.Panel().title(title).description(description).unit(unit).thresholds(_thresholds(steps))
    panel = _with_targets(panel, lines, instant=True).color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    panel = panel.graph_mode(common_model.BigValueGraphMode.NONE)
    panel = panel.color_mode(common_model.BigValueColorMode.BACKGROUND_SOLID)
    # With one job there is nothing to tell apart, and the figure has the room for itself.
    panel = panel.text_mode(common_model.BigValueTextMode.AUTO)
    words, colour = further.pop("absent", ABSENT)
    panel = panel.no_value(words).mappings([_states(), _without_value(words, colour)])
    return _with(panel, further)


def _states() -> model.ValueMap:
    results = {
        str(state): model.ValueMappingResult(text=words, color=colour, index=index)
        for index, (state, (words, colour)) in enumerate(STATES.items())
    }
    return model.ValueMap(results)


def _without_value(words: str, colour: str) -> model.SpecialValueMap:
    # Without a mapping Grafana takes the colour of the least step, which may be green.
    result = model.ValueMappingResult(text=words, color=colour, index=len(STATES))
    options = model.DashboardSpecialValueMapOptions(model.SpecialValueMatch.NULL_AND_NAN, result)
    return model.SpecialValueMap(options)


def series(title: str, description: str, unit: str, *lines: Line, **further: Any) -> Panel:
    """Lines over time.

    Further: `stacked`, `logarithmic`, `steps` (drawn as dashed lines), `colours` by legend, `styles` by pattern,
    `no_value`, why there may be nothing, `minimum` (0; None: none), `maximum`, `decimals`, `many` for a legend that
    scrolls beside the graph.
    """
    further["no_value"] = _or_not_measured(further.get("no_value", ""))
    panel = _with_targets(timeseries.Panel().title(title).description(description).unit(unit), lines)
    panel = panel.color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel = panel.line_width(2).show_points(common_model.VisibilityMode.NEVER).tooltip(_tooltip())
    panel = panel.legend(_table() if further.pop("many", False) else _legend())
    panel = panel.fill_opacity(60 if further.get("stacked") else 8)
    if further.pop("stacked", False):
        panel = panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    if further.pop("logarithmic", False):
        scale = common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    else:
        minimum = further.pop("minimum", 0)
        panel = panel if minimum is None else panel.min(minimum)
    return _with(_drawn(panel, further), further)


def _or_not_measured(words: str) -> str:
    # A graph cannot tell whether nothing happened or nobody looked.
    return f"{words}, or not measured" if words else "not measured"


def _drawn(panel: Panel, further: dict[str, Any]) -> Panel:
    steps: Steps | None = further.pop("steps", None)
    if steps is not None:
        style = common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED)
        # The first step has no line: it reaches down without end.
        panel = panel.thresholds(_thresholds(((None, "transparent"), *steps[1:]))).thresholds_style(style)
    colours: Colours = further.pop("colours", {})
    for name, colour in colours.items():
        panel = panel.override_by_regexp(_ending(name), [fixed(colour)])
    styles: dict[str, list[model.DynamicConfigValue]] = further.pop("styles", {})
    for pattern, properties in styles.items():
        panel = panel.override_by_regexp(pattern, properties)
    return panel


def _with(panel: Panel, further: dict[str, Any]) -> Panel:
    for name, value in further.items():
        panel = getattr(panel, {"maximum": "max"}.get(name, name))(value)
    return panel


def _ending(pattern: str) -> str:
    # The cluster and the namespace stand before it, or the blanks that Grafana leaves where there are none.
    return f"/(^| ){pattern}$/"


def fixed(colour: str) -> model.DynamicConfigValue:
    """A property of a look: one colour, whatever the value."""
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def coloured(colours: Colours, after: str = "") -> dict[str, list[model.DynamicConfigValue]]:
    """Styles: the colour of every quantile's line, by the word before it, or before the pattern `after`."""
    return {_ending(rf"{word}{after} p\d+"): [fixed(colour)] for word, colour in colours.items()}


def dashed(*lengths: float) -> model.DynamicConfigValue:
    """A property of a look: a line of dashes and gaps."""
    return model.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": list(lengths)})


#: A limit is a red dashed line above what is held.
LIMIT = (fixed("red"), model.DynamicConfigValue(id_val="custom.fillOpacity", value=0), dashed(10, 6))
#: A total beside its parts.
TOTAL = (fixed("blue"), model.DynamicConfigValue(id_val="custom.fillOpacity", value=0), dashed(2, 6))


def _tooltip() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)
    )


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.LIST).show_legend(True)
    return legend.placement(common_model.LegendPlacement.BOTTOM).calcs(["lastNotNull"])


def _table() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.TABLE).show_legend(True)
    return legend.placement(common_model.LegendPlacement.RIGHT).calcs(["lastNotNull"])


def heat(title: str, description: str, unit: str, line: Line, *, no_value: str) -> Panel:
    """A histogram over time: its buckets upwards, how much fell into each as the strength of the colour."""
    description = f"{description} One cluster and one namespace at a time: their counts are never added."
    panel = heatmap.Panel().title(title).description(description).datasource(SOURCE)
    panel = panel.no_value(_or_not_measured(f"{no_value}, or several clusters are chosen"))
    # Grafana reads the bounds from the legends, and there is one cluster.
    target = _target(line, "A").legend_format(line.legend).format(prom_model.PromQueryFormat.HEATMAP)
    axis = heatmap.YAxisConfig().unit(unit)
    colours = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    # What Grafana has for a new panel; the SDK's zero would be taken as it stands.
    colours = colours.exponent(0.5).scale(heatmap_model.HeatmapColorScale.EXPONENTIAL).fill("dark-orange")
    cells = heatmap.CellValues().unit("short")
    panel = panel.exemplars_color("purple")
    return panel.with_target(target).calculate(False).y_axis(axis).color(colours).cell_values(cells).unit(unit)


def listing(title: str, description: str, line: Line, *, hidden: tuple[str, ...], no_value: str) -> Panel:
    """A table of the labels of what is there now."""
    panel = table.Panel().title(title).description(description).datasource(SOURCE).unit("short").no_value(no_value)
    panel = panel.with_target(_target(line, "A", instant=True).format(prom_model.PromQueryFormat.TABLE))
    organize = {"excludeByName": dict.fromkeys(hidden, True)}
    return panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
