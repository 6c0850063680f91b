"""The page: what the template shows, worked out from a result. Charts are drawn by uPlot, as the previews' are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import jinja2
from grafana import charts
from grafana.style import OUTCOMES, REASONS
from markupsafe import Markup

from loadtest import formatting
from loadtest.result import Check, PanelChart, Result, Span, Usage

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
_HEADLINE_SCENARIOS = ("typical-remote", "typical", "soak", "run")
#: How far the value axis of a chart reaches, at least, as a multiple of the largest value of the steady state.
_PEAK_ROOM = 4
#: For how many scrapes traffic rests after a steady state.
_SETTLE_SCRAPES = 2
_CHART_HEIGHT = 150


@dataclass(frozen=True)
class Axis:
    """The time that all charts share.

    Attributes:
        begin: Seconds since the epoch.
        end: The same, later.
        rest: The moment whose values are shown as long as nobody asks for another: that of the verdict, the end of
            the steady state and of the rest after it, when Prometheus has it all and nothing that came later.
        windows: The steady states, from and to.
    """

    begin: float
    end: float
    rest: float
    windows: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, result: Result) -> Axis:
        """The axis of a run."""
        end = max([result.end, result.begin + 1, *(span.end for span in result.spans)])
        windows = tuple((span.begin, span.end) for span in result.spans if span.window)
        steady = windows[-1][1] if windows else end
        settled = steady + _SETTLE_SCRAPES * float(result.settings.get("scrape_seconds", 0))
        following = [span.begin for span in result.spans if span.begin >= steady]
        return cls(result.begin, end, min([settled, end, *following]), windows)

    def percent(self, at: float) -> float:
        """Where a moment is, from the left."""
        return _percent(at, self.begin, self.end)


def _percent(at: float, begin: float, end: float) -> float:
    return round(100 * min(max((at - begin) / (end - begin), 0), 1), 3) if end > begin else 0.0


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
    axis = Axis.of(result)
    return _ENVIRONMENT.get_template("page.html").render(
        result=result,
        failed=[check for check in result.checks if not check.passed],
        headlines=list(headlines(result.checks)),
        groups=groups(result.checks),
        axis=axis,
        bands=list(bands(result.spans, axis)),
        windows=[(axis.percent(begin), axis.percent(end)) for begin, end in axis.windows],
        plots=[_drawn(chart, axis) for chart in result.charts],
        chart_style=Markup(charts.style()),  # noqa: S704  # our own
        chart_script=Markup(charts.script()),  # noqa: S704  # the same
        shares=shares,
        left=time_left,
        formatting=formatting,
    )


def headlines(checks: tuple[Check, ...]) -> Iterator[Headline]:
    """The figures that count most, as far as they were asked for."""
    expected = _find(checks, EXPECTED)
    theory = f"{expected.detail} expected (Che's approximation)" if expected and expected.detail else ""
    for label, name in HEADLINES:
        check = _find(checks, name)
        if check is not None:
            yield Headline(label, check, theory if label == "Hit ratio" else "")


def _find(checks: tuple[Check, ...], name: str) -> Check | None:
    by_scenario = {check.scenario: check for check in checks if check.name == name}
    return next((by_scenario[scenario] for scenario in _HEADLINE_SCENARIOS if scenario in by_scenario), None)


def groups(checks: tuple[Check, ...]) -> list[Group]:
    """The checks by scenario, those with failures first."""
    names = dict.fromkeys(check.scenario for check in checks)
    by_scenario = [Group(name, [check for check in checks if check.scenario == name]) for name in names]
    for group in by_scenario:
        group.checks.sort(key=lambda check: check.passed)
    return sorted(by_scenario, key=lambda group: group.failed == 0)


def bands(spans: tuple[Span, ...], axis: Axis) -> Iterator[Band]:
    """The scenarios on the time axis, each from its first phase to its last."""
    for number, (scenario, phases) in enumerate(groupby(spans, key=lambda span: span.scenario)):
        parts = list(phases)
        begin, end = parts[0].begin, parts[-1].end
        # A part's place is within its scenario, as the page has it.
        within = tuple(Band(part.part, *_stretch(part.begin, part.end, begin, end)) for part in parts)
        place = _stretch(begin, end, axis.begin, axis.end)
        yield Band(scenario, *place, odd=number % 2 == 1, parts=within if len(within) > 1 else ())


def _stretch(left: float, right: float, begin: float, end: float) -> tuple[float, float]:
    start = _percent(left, begin, end)
    return start, round(_percent(right, begin, end) - start, 3)


def _drawn(chart: PanelChart, axis: Axis) -> tuple[PanelChart, str, Markup]:
    """A chart, what its axis leaves out, and its element."""
    shown = plot(chart, axis)
    peak = _peak(shown)
    beyond = charts.text(peak, shown.unit) if shown.maximum is not None and peak > shown.maximum else ""
    return chart, beyond, Markup(charts.render(shown))  # noqa: S704  # it has escaped every text


def plot(chart: PanelChart, axis: Axis) -> charts.Chart:
    """A panel's chart over the whole run, with the steady states marked."""
    return replace(
        chart.plot,
        span=(axis.begin, axis.end),
        elapsed=True,
        shaded=axis.windows,
        resting=axis.rest,
        maximum=_top(chart.plot, axis),
        height=_CHART_HEIGHT,
        empty=why_empty(chart),
    )


def _top(chart: charts.Chart, axis: Axis) -> float | None:
    """Where the value axis ends: a peak elsewhere must not flatten the steady state to a line."""
    points = [point for line in chart.lines for point in line.points]
    steady = [value for at, value in points if any(begin <= at <= end for begin, end in axis.windows)]
    room = _PEAK_ROOM * max(steady, default=0.0)
    clipped = 0 < room < _peak(chart) / 1.5 and not chart.logarithmic and not chart.stacked
    return room if clipped else chart.maximum


def _peak(chart: charts.Chart) -> float:
    return max((value for line in chart.lines for _, value in line.points), default=0.0)


def why_empty(chart: PanelChart) -> str:
    """What stands in the place of lines that are not there."""
    if not chart.queries:
        return "Nothing was asked of Prometheus for this chart."
    if not chart.plot.lines:
        return "Prometheus answered with no series for the time of the run."
    return "Prometheus answered with series that have no value in the time of the run."


def shares(counts: dict[str, int]) -> list[Share]:
    """How a number of things divides, without what there was none of."""
    whole, colours = sum(counts.values()), {**REASONS, **OUTCOMES}
    order = list(OUTCOMES)
    known = sorted(counts.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))
    return [
        Share(name, colours.get(name, "blue"), count, round(100 * count / whole, 2)) for name, count in known if count
    ]


def time_left(usage: Usage) -> float:
    """What is left of the time without the cache, in percent."""
    whole = usage.without_seconds
    return round(min(100 * usage.with_seconds / whole, 100), 2) if whole > 0 else 100.0


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("loadtest.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
