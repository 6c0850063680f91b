"""What is made of the counters: the windows of the recorded rules, and how panels and rules add series up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from grafana.queries import DASHBOARDS, View, panels, queries, read, substitute
from metrics.signals import HIT_RATIO

from loadtest.checks.case import Scope, at_most
from loadtest.formatting import points
from loadtest.journal import Phase
from loadtest.processes import WINDOW_SECONDS
from loadtest.prometheus import RANGE, QueryError, Series, seconds_of
from loadtest.result import Check
from recoup.telemetry.catalogue import LOOKUPS

_NAMED = re.compile(r"(\d+[smhd])$")
#: An aggregation over a rate of the service's counters, or over a gauge that each pipeline has its share of.
_AGGREGATION = re.compile(
    r"\b(sum|max|min|avg|count|quantile|topk)\s*(?:by\s*\(([^()]*)\)\s*)?\((?=(?:rate|increase|recoup_))"
)
_ADDITIVE = re.compile(
    r"(?:rate|increase)\(recoup_\w+|recoup_(?:memory_bytes|entries|generations_in_progress|generations_waiting)\b"
)
_NEAR = 1e-6


def checks(scope: Scope) -> Iterator[Check]:
    """Those of the whole run."""
    if scope.case.run.phases:
        yield from (_asked(scope, name, check) for name, check in _CHECKS.items())


def _asked(scope: Scope, name: str, check: Callable[[Scope, str], Check]) -> Check:
    try:
        return check(scope, name)
    except (QueryError, KeyError) as error:
        return scope.lacks(name, "as the raw counters", str(error))


def _windows(scope: Scope, name: str) -> Check:
    """A rule looks back as far as its name says, all shortened by one factor where a run has shortened them."""
    duration = float(scope.case.setting("duration_seconds"))
    factors: dict[float, list[str]] = defaultdict(list)
    for group in scope.case.panels.prometheus.ask("rules", {"type": "record"})["groups"]:
        for rule in group["rules"]:
            named = _NAMED.search(rule["name"].rpartition(":")[2])
            for window in RANGE.findall(rule["query"]) if named else ():
                wanted = seconds_of(named[1]) if named else 0.0
                factors[round(wanted / seconds_of(window), 3)].append(f"{rule['name']} looks back over {window}")
    allowed = {1.0, round(max(1.0, WINDOW_SECONDS / duration), 3)}
    usual = max((factor for factor in factors if _among(factor, allowed)), key=lambda f: len(factors[f]), default=None)
    wrong = [said for factor, told in factors.items() if factor != usual for said in told]
    return scope.none(name, wrong, sum(map(len, factors.values())), "window")


def _among(factor: float, allowed: set[float]) -> bool:
    return any(abs(factor / one - 1) < 0.002 for one in allowed)


def _recorded(scope: Scope, name: str) -> Check:
    """The recorded hit ratio at the end of each phase, against the growth of the raw counters in its window."""
    case, bounds = scope.case, at_most(scope.asked.audit_window_tolerance, points)
    window = _window(scope)
    worst, told, compared = None, "", 0
    for phase in case.run.phases:
        if phase.rested is None:
            continue
        made = case.panels.prometheus.samples(HIT_RATIO.at("job"), phase.end, phase.rested)
        if len(made) != 1:
            continue
        at, value = made[0].points[-1]
        raw = _ratios(case.panels.prometheus.samples(LOOKUPS.name, at - window, at))
        if not raw or value != value:
            continue
        compared += 1
        nearest = min(raw, key=lambda one: abs(one - value))
        if worst is None or abs(value - nearest) > worst:
            worst = abs(value - nearest)
            told = f"{phase.name}: {100 * value:.2f} % recorded, {100 * nearest:.2f} % by the counters"
    return scope.within(name, worst, bounds, f"{told}; the worst of {compared}", why="nothing was recorded")


def _window(scope: Scope) -> float:
    """What the rules are to look back over in this run: five minutes, or as a run of its own shortens them."""
    factor = max(1.0, WINDOW_SECONDS / float(scope.case.setting("duration_seconds")))
    return WINDOW_SECONDS / factor if (scope.case.window_seconds or 0) < WINDOW_SECONDS else WINDOW_SECONDS


def _ratios(found: tuple[Series, ...]) -> list[float]:
    """The ratio over these samples; and without those at the edges, which a rule may not have had when it was made."""
    edges = [(first, last) for first in range(2) for last in range(3)]
    return [ratio for first, last in edges if (ratio := _ratio(found, first, last)) is not None]


def _ratio(found: tuple[Series, ...], first: int, last: int) -> float | None:
    grown: dict[str, float] = defaultdict(float)
    for one in found:
        if len(one.points) < first + last + 2:
            return None
        grown[one.labels["outcome"]] += one.points[-1 - last][1] - one.points[first][1]
    asked = sum(value for outcome, value in grown.items() if outcome != "bypass")
    return (grown["hit"] + grown["stale"]) / asked if asked >= _LEAST else None


#: Lookups in a window, for its ratio to say anything.
_LEAST = 50


def _aggregations(scope: Scope, name: str) -> Check:
    """Whatever a panel adds up over counters, and over what each pipeline holds, is the sum of its parts."""
    case = scope.case
    # So narrow that its one point covers the whole run: in that time both pipelines have done something.
    end = _last(scope).end
    view = View(max(60.0, end - case.run.begin), case.panels.scrape_seconds, case.panels.variables, points=1)
    wrong, compared = [], 0
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = read(path)
        for panel in panels(board):
            for query in queries(panel):
                for aggregation in _found(substitute(query.expr, view)):
                    same = _adds_up(scope, *aggregation, at=end)
                    compared += same is not None
                    if same is False:
                        wrong.append(f"{board['title']}: {panel['title']}: {aggregation[0]} is no sum")
    return scope.none(name, wrong, compared, "sum")


def _last(scope: Scope) -> Phase:
    """The last phase of the run that Prometheus has scraped."""
    return max(scope.case.run.phases, key=lambda phase: (phase.rested is not None, phase.end))


def _found(expression: str) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """The aggregations in an expression: operator, the labels that are kept, what is aggregated, and the whole."""
    for match in _AGGREGATION.finditer(expression):
        depth, place = 1, match.end()
        while depth and place < len(expression):
            depth += {"(": 1, ")": -1}.get(expression[place], 0)
            place += 1
        inner = expression[match.end() : place - 1]
        if _ADDITIVE.match(inner):
            labels = tuple(label.strip() for label in (match[2] or "").split(",") if label.strip())
            yield match[1], labels, inner, expression[match.start() : place]


def _adds_up(scope: Scope, _: str, labels: tuple[str, ...], inner: str, whole: str, *, at: float) -> bool | None:
    """Whether an aggregation gives the sums of its parts; None: there are no two parts that a sum would differ from."""
    ask = scope.case.panels.prometheus.instant
    sums: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in ask(inner, at):
        sums[tuple(one.labels.get(label, "") for label in labels)].append(one.points[-1][1])
    if not any(sum(value > 0 for value in parts) > 1 for parts in sums.values()):
        return None
    for one in ask(whole, at):
        parts = sums[tuple(one.labels.get(label, "") for label in labels)]
        if abs(sum(parts) - one.points[-1][1]) > _NEAR * max(1.0, abs(sum(parts))):
            return False
    return True


_CHECKS: dict[str, Callable[[Scope, str], Check]] = {
    "Windows of the recorded rules": _windows,
    "Recorded hit ratio, by the raw counters": _recorded,
    "Sums in the panels, by their parts": _aggregations,
}
