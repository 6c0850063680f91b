"""Read the generated dashboards, and make of their queries what Grafana sends to Prometheus.

Standard library only: the tests use it, and whatever judges a run by the panels' own queries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parent / "dashboards"
#: What `All` stands for in a variable: any value, but one.
ALL = ".+"
#: The same where targets need not have the label at all.
ALL_OR_NONE = ".*"
#: Labels that targets need not have.
OPTIONAL = ("cluster", "namespace")
#: Points that Grafana asks for in a panel, about: one for each pixel of its width.
POINTS = 1000

# `$name`, `${name}`, `${name:format}` and `[[name]]`.
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)\]\]")
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
#: Grafana rounds a step to these (`gtime.RoundInterval`): seconds up to a bound become the second number.
_ROUND = (
    (0.01, 0.001), (0.015, 0.01), (0.035, 0.02), (0.075, 0.05), (0.15, 0.1), (0.35, 0.2), (0.75, 0.5), (1.5, 1),
    (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300), (750, 600),
    (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (16200, 10800), (32400, 21600),
    (86400, 43200), (604800, 86400), (1814400, 604800), (3628800, 2592000),
)  # fmt: skip
_YEAR = 31536000


@dataclass(frozen=True)
class View:
    """How a dashboard is looked at.

    Attributes:
        range_seconds: The length of the time range.
        scrape_seconds: The data source's scrape interval (`timeInterval`), the shortest step.
        variables: The chosen values by variable: one, or several; `ALL` where `All` is chosen. Of `OPTIONAL` all are
            chosen where nothing is.
        points: The most points that a panel asks for.
    """

    range_seconds: float
    scrape_seconds: float = 15.0
    variables: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    points: int = POINTS

    @property
    def interval_seconds(self) -> float:
        """The step, `$__interval`."""
        return max(self.scrape_seconds, _rounded(self.range_seconds / self.points))

    @property
    def rate_interval_seconds(self) -> float:
        """`$__rate_interval`: a step and a scrape more, at least four scrapes."""
        return max(self.interval_seconds + self.scrape_seconds, 4 * self.scrape_seconds)


def _rounded(seconds: float) -> float:
    return next((step for below, step in _ROUND if seconds <= below), _YEAR)


def duration(seconds: float) -> str:
    """A length of time as Prometheus reads it, in the largest unit that gives a whole number."""
    milliseconds = round(seconds * 1000)
    units = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))
    name, size = next(((name, size) for name, size in units if milliseconds and milliseconds % size == 0), ("ms", 1))
    return f"{milliseconds // size}{name}"


def substitute(text: str, view: View) -> str:
    """A query with every variable replaced, as Grafana's Prometheus data source replaces them.

    A variable without a format is escaped for a pattern within a string: `a.b` becomes `a\\\\.b`. The format `regex`
    escapes for a pattern alone, which no string of a query may hold: use it nowhere.

    Raises:
        KeyError: The text names a variable that the view does not have.
    """
    return _VARIABLE.sub(lambda match: _value(match[1] or match[2] or match[4], match[3] or "", view), text)


def _value(name: str, form: str, view: View) -> str:
    built_in = {
        "__interval": duration(view.interval_seconds),
        "__interval_ms": str(round(view.interval_seconds * 1000)),
        "__rate_interval": duration(view.rate_interval_seconds),
        "__rate_interval_ms": str(round(view.rate_interval_seconds * 1000)),
        "__range": f"{round(view.range_seconds)}s",
        "__range_s": str(round(view.range_seconds)),
        "__range_ms": str(round(view.range_seconds * 1000)),
    }
    if name in built_in:
        return built_in[name]
    return _matcher(view.variables.get(name, ALL_OR_NONE) if name in OPTIONAL else view.variables[name], form)


def _matcher(value: str | Sequence[str], form: str) -> str:
    """One or several values within the quotes of a `=~` matcher; what `All` stands for is never escaped."""
    escaped = {"": _escaped, "regex": _as_pattern}[form]
    if isinstance(value, str):
        return value if value in {ALL, ALL_OR_NONE} else escaped(value)
    values = [escaped(chosen) for chosen in value]
    return values[0] if len(values) == 1 else f"({'|'.join(values)})"


def _as_pattern(value: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", value.replace("\\", r"\\"))


def _escaped(value: str) -> str:
    # Twice: once for the regular expression, once for the string that holds it.
    return _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", r"\\\\"))


@dataclass(frozen=True)
class Query:
    """One query of a panel or an annotation: its letter, its expression, and how it is asked."""

    ref: str
    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False
    format: str = "time_series"


def read(path: Path) -> dict[str, Any]:
    """A dashboard, from its file."""
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def load(name: str) -> dict[str, Any]:
    """A dashboard of this repository, by the name of its file without the suffix, such as `overview`."""
    return read(DASHBOARDS / f"{name}.json")


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that shows something, those in collapsed rows too; rows are none."""
    for panel in dashboard.get("panels", []):
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def panel(dashboard: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The panel with a title; titles are unique within a dashboard, and do not change.

    Raises:
        KeyError: There is no such panel.
    """
    for candidate in panels(dashboard):
        if candidate["title"] == title:
            return candidate
    raise KeyError(f"{dashboard['title']}: no panel {title!r}")


def queries(panel: Mapping[str, Any]) -> list[Query]:
    """A panel's queries, in their order."""
    return [_query(target) for target in panel.get("targets", [])]


def marks(dashboard: Mapping[str, Any]) -> list[tuple[str, Query]]:
    """The annotations that come from Prometheus, by name."""
    listed = dashboard.get("annotations", {}).get("list", [])
    return [(mark["name"], _query(mark["target"])) for mark in listed if "expr" in mark.get("target", {})]


def _query(target: Mapping[str, Any]) -> Query:
    return Query(
        ref=target["refId"],
        expr=target["expr"],
        legend=target.get("legendFormat", ""),
        instant=target.get("instant", False),
        exemplars=target.get("exemplar", False),
        format=target.get("format", "time_series"),
    )
