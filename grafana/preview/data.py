"""What Prometheus answers to a panel's queries."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from grafana.queries import Query, View, marks, queries, substitute

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Series:
    """One line: its legend, its labels, its points (seconds since the epoch, value), and its query's letter."""

    name: str
    labels: dict[str, str]
    points: list[tuple[float, float]]
    ref: str = ""

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Source:
    """A Prometheus, looked at in one view that ends now."""

    def __init__(self, url: str, view: View) -> None:
        self._url, self._view, self.end = url.rstrip("/"), view, time.time()
        self.start = self.end - view.range_seconds

    def panel(self, panel: dict[str, Any]) -> list[Series]:
        """Every series of a panel that has a value."""
        view = self._today() if panel.get("timeFrom") == "now/d" else self._view
        return [series for query in queries(panel) for series in self._series(query, view) if series.points]

    def marks(self, dashboard: dict[str, Any]) -> list[tuple[float, str]]:
        """The annotations: moments in seconds since the epoch, and their colours. One mark for steps in a row."""
        moments_and_colours = []
        for annotation in dashboard["annotations"]["list"]:
            (query,) = (query for name, query in marks(dashboard) if name == annotation["name"])
            for series in self._series(query, self._view):
                moments = [value / 1000 if annotation.get("useValueForTime") else at for at, value in series.points]
                moments_and_colours += [
                    (at, annotation["iconColor"]) for at in _firsts(moments, self._view.rate_interval_seconds)
                ]
        return moments_and_colours

    def _today(self) -> View:
        hours, minutes, seconds = time.localtime(self.end)[3:6]
        return replace(self._view, range_seconds=3600 * hours + 60 * minutes + seconds)

    def _series(self, query: Query, view: View) -> Iterator[Series]:
        text = substitute(query.expr, view)
        if query.instant:
            result = self._ask("query", query=text, time=str(self.end))
        else:
            span = {"start": str(self.start), "end": str(self.end), "step": str(self._view.interval_seconds)}
            result = self._ask("query_range", query=text, **span)
        for series in result:
            points = [(float(at), float(value)) for at, value in series.get("values") or [series["value"]]]
            kept = [(at, value) for at, value in points if math.isfinite(value)]
            yield Series(legend(query.legend, series["metric"]), series["metric"], kept, query.ref)

    def _ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        address = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"{self._url} is no address of a Prometheus: it begins with http:// or https://")
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # checked above
            return list(json.load(answer)["data"]["result"])


def _firsts(moments: list[float], within: float) -> list[float]:
    return [at for at, before in zip(moments, [-math.inf, *moments], strict=False) if at - before > within]


def legend(pattern: str, labels: dict[str, str]) -> str:
    """A legend's text: `{{label}}` is the value of the label."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda name: labels.get(name[1], ""), pattern).strip()
