"""The page: what the template shows, worked out from a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jinja2
from grafana.charts import DARK

from loadtest.report import charts, words
from loadtest.result import Check, Result, Span, Usage

#: The same colours where the page is light: dark enough to stand out from white.
LIGHT = {
    "green": "#2f8a3c", "dark-green": "#1f6b2c", "yellow": "#a67c00", "red": "#c4162a", "blue": "#1f60c4",
    "orange": "#d2560a", "purple": "#8f3bb8",
}  # fmt: skip
#: The figures at the top: what each is called there, and the check that it is of.
HEADLINES = (
    ("Hit ratio", "Hit ratio"),
    ("Speed-up, clients", "Speed-up, the clients' way"),
    ("Speed-up, service", "Speed-up, the service's way"),
    ("Memory overhead", "Memory overhead"),
    ("Failed requests", "Failures"),
)
#: The check whose detail says the measured hit ratio and the expected one.
EXPECTED = "Hit ratio against Che's approximation"
#: Where they are looked for, the first that has it.
_HEADLINE_SCENARIOS = ("typical", "soak", "run")
_ORDER = ("hit", "stale", "coalesced", "miss", "bypass")


@dataclass(frozen=True)
class Headline:
    """One of the large figures."""

    label: str
    check: Check
    beside: str = ""


@dataclass(frozen=True)
class Group:
    """The checks of one scenario, failures first."""

    scenario: str
    checks: list[Check]

    @property
    def failed(self) -> int:
        """How many did not hold."""
        return sum(not check.passed for check in self.checks)


@dataclass(frozen=True)
class Band:
    """A stretch of the time axis: a scenario, or within it one of its parts. Places are in percent."""

    name: str
    left: float
    width: float
    odd: bool = False
    parts: tuple[Band, ...] = ()


@dataclass(frozen=True)
class Share:
    """A piece of a bar that says how requests or misses divide."""

    name: str
    colour: str
    count: int
    percent: float


def render(result: Result) -> str:
    """The page's HTML: one file, which loads nothing."""
    axis = charts.Axis.of(result)
    pictures = [charts.draw(chart, axis) for chart in result.charts]
    return _ENVIRONMENT.get_template("page.html").render(
        result=result,
        failed=[check for check in result.checks if not check.passed],
        headlines=list(headlines(result.checks)),
        groups=groups(result.checks),
        axis=axis,
        bands=list(bands(result.spans, axis)),
        windows=[(axis.percent(span.begin), axis.percent(span.end)) for span in result.spans if span.window],
        pictures=pictures,
        data=_data(result, axis, pictures),
        shares=shares,
        left=time_left,
        words=words,
        dark=DARK,
        light=LIGHT,
    )


def headlines(checks: tuple[Check, ...]) -> Iterator[Headline]:
    """The figures that count most, as far as they were asked for."""
    expected = _find(checks, EXPECTED)
    theory = f"{expected.detail} expected (Che's approximation)" if expected and expected.detail else ""
    for label, name in HEADLINES:
        found = _find(checks, name)
        if found is not None:
            yield Headline(label, found, theory if label == "Hit ratio" else "")


def _find(checks: tuple[Check, ...], name: str) -> Check | None:
    by_scenario = {check.scenario: check for check in checks if check.name == name}
    return next((by_scenario[each] for each in _HEADLINE_SCENARIOS if each in by_scenario), None)


def groups(checks: tuple[Check, ...]) -> list[Group]:
    """The checks by scenario, those with failures first."""
    names = list(dict.fromkeys(check.scenario for check in checks))
    found = [
        Group(name, sorted((check for check in checks if check.scenario == name), key=lambda check: check.passed))
        for name in names
    ]
    return sorted(found, key=lambda group: group.failed == 0)


def bands(spans: tuple[Span, ...], axis: charts.Axis) -> Iterator[Band]:
    """The scenarios on the time axis, each from its first phase to its last."""
    for number, (scenario, phases) in enumerate(groupby(spans, key=lambda span: span.scenario)):
        parts = list(phases)
        begin, end = parts[0].begin, parts[-1].end
        # A part's place is within its scenario, as the page has it.
        within = tuple(Band(span.part, *_stretch(span, begin, end)) for span in parts)
        left = axis.percent(begin)
        yield Band(
            scenario, left, round(axis.percent(end) - left, 3), number % 2 == 1, within if len(within) > 1 else ()
        )


def _stretch(span: Span, begin: float, end: float) -> tuple[float, float]:
    left = charts.percent(span.begin, begin, end)
    return left, round(charts.percent(span.end, begin, end) - left, 3)


def shares(counts: dict[str, int]) -> list[Share]:
    """How a number of things divides, without what there was none of."""
    whole = sum(counts.values())
    known = sorted(counts.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER))
    return [
        Share(name, charts.COLOURS.get(name, "blue"), count, round(100 * count / whole, 2))
        for name, count in known
        if count
    ]


def time_left(usage: Usage) -> float:
    """What is left of the time without the cache, in percent."""
    whole = usage.without_seconds
    return round(min(100 * usage.with_seconds / whole, 100), 2) if whole > 0 else 100.0


def _data(result: Result, axis: charts.Axis, pictures: list[charts.Picture]) -> dict[str, Any]:
    return {
        "seconds": axis.end - axis.begin,
        "rest": axis.rest - axis.begin,
        "lines": [line.data for picture in pictures for line in picture.lines],
        "phases": [
            [round(span.begin - axis.begin, 1), round(span.end - axis.begin, 1), f"{span.scenario} · {span.part}"]
            for span in result.spans
        ],
    }


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("loadtest.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
