"""How a run, or what Prometheus shows of it, is broken: a world that went well, and changes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from unittest.mock import patch

from loadtest import checks, thresholds, verdict
from loadtest.checks import counts, scraping
from loadtest.journal import Phase, Request, Run
from loadtest.result import Result

from .recorded import (
    Recorded,
    Value,
    good_run,
    good_source,
    phase_of,
    reversed_run,
    with_phase,
)

Failed = set[tuple[str, str]]
REMOTE = "typical-remote"


@dataclass(frozen=True)
class World:
    """A run, the Prometheus that saw it, and thresholds that are not the usual ones."""

    run: Run
    source: Recorded
    changes: Mapping[str, float] = field(default_factory=dict)

    def judge(self) -> Result:
        # The bodies and the figures of this run are made up: `test_truth` is about those.
        with patch.object(checks, "RUN", (counts.checks, scraping.checks)):
            return verdict.judge(self.run, self.source, thresholds.load(changes=self.changes, relaxed=True))


def good() -> World:
    return World(good_run(), good_source(good_run()))


def reversed_order() -> World:
    """The whole run, on a cache that evicts what was used last: it keeps what it once held for ever."""
    return World(reversed_run(), good_source(reversed_run()))


# How a world is broken.

Break = Callable[[World], World]


def asked(**changes: float) -> Break:
    return lambda world: replace(world, changes=changes)


def asked_requests(scenario: str, least: float) -> Break:
    return lambda world: replace(world, changes={f"requests.{scenario}": least})


def settings(**changes: float) -> Break:
    return lambda world: replace(world, run=replace(world.run, settings={**world.run.settings, **changes}))


def phase(name: str, change: Callable[[Phase], Phase]) -> Break:
    return lambda world: replace(world, run=with_phase(world.run, change(phase_of(world.run, name))))


def requests(name: str, change: Callable[[Request], Request], which: Callable[[Request], bool] | int = 0) -> Break:
    """Change the requests of a phase that fit, or the one at a place."""

    def changed(found: Phase) -> Phase:
        chosen = [which(each) if callable(which) else place == which for place, each in enumerate(found.requests)]
        assert any(chosen)
        made = tuple(change(each) if mine else each for each, mine in zip(found.requests, chosen, strict=True))
        return replace(found, requests=made)

    return phase(name, changed)


def counted(name: str, series: str, change: Callable[[float], float]) -> Break:
    """Change what a counter grew by in a phase."""

    def changed(found: Phase) -> Phase:
        assert found.after is not None
        begun = found.before.get(series, 0.0)
        return replace(found, after={**found.after, series: begun + change(found.after[series] - begun)})

    return phase(name, changed)


def shows(metric: str, name: str, value: Value | float) -> Break:
    """Let a panel show something else during a phase, and until two scrapes after it."""

    def changed(world: World) -> World:
        found, usual = phase_of(world.run, name), world.source.shows[metric]["recoup"]
        other = value if callable(value) else lambda at: value
        shown = {"recoup": lambda at: other(at) if found.begin < at < found.end + 2.5 else usual(at)}
        return replace(world, source=replace(world.source, shows={**world.source.shows, metric: shown}))

    return changed


def nothing(at: float) -> None:
    """An empty answer."""


def without(*names: str) -> Break:
    """Phases that the run does not have."""
    return lambda world: replace(
        world, run=replace(world.run, phases=tuple(phase for phase in world.run.phases if phase.name not in names))
    )


def source(**changes: object) -> Break:
    return lambda world: replace(world, source=replace(world.source, **changes))  # type: ignore[arg-type]


def together(*breaks: Break) -> Break:
    def broken(world: World) -> World:
        for each in breaks:
            world = each(world)
        return world

    return broken


def unscraped(name: str) -> Break:
    def changed(world: World) -> World:
        begin = phase_of(world.run, name).begin
        return source(unscraped=(*world.source.unscraped, (begin, begin + 5)))(world)

    return changed


def first_of(outcome: str) -> Callable[[Request], bool]:
    """The first request with an outcome."""
    left = [1]

    def chosen(request: Request) -> bool:
        if request.outcome == outcome and left:
            left.pop()
            return True
        return False

    return chosen


def one_hit_in(number: int) -> Callable[[Request], bool]:
    """One hit in so many."""
    hits = count()
    return lambda request: request.outcome == "hit" and next(hits) % number == 0


def never_asked(request: Request) -> Request:
    """An answer to what nobody had asked for before."""
    return replace(request, item=f"other-{request.at}")


def one_later(found: Phase) -> Phase:
    """Each answer is what the request before it had: as many of each kind, in as good as the same time."""
    sent = sorted(found.requests, key=lambda request: request.at)
    told = [sent[-1], *sent[:-1]]
    made = (replace(each, outcome=other.outcome, reason=other.reason) for each, other in zip(sent, told, strict=True))
    return replace(found, requests=tuple(made))


def of(outcome: str) -> Callable[[Request], bool]:
    return lambda request: request.outcome == outcome


def through(request: Request) -> bool:
    """It did not go past the cache."""
    return request.outcome != "bypass"


def account(change: Callable[[Mapping[str, int]], Mapping[str, int] | None]) -> Break:
    """Change the last word of the service that was told to end."""
    return phase("terminate fault", lambda found: replace(found, account=change(found.account or {})))


def lookups(outcome: str) -> str:
    return f'recoup_lookups_total{{outcome="{outcome}",pipeline="relief"}}'


def duration(outcome: str, suffix: str = "sum") -> str:
    return f'recoup_request_duration_seconds_{suffix}{{outcome="{outcome}",pipeline="relief"}}'


OK_STATUS = 'recoup_http_requests_total{method="POST",route="/api/generate/<pipeline>",status="200"}'
COLD = 'recoup_misses_total{pipeline="relief",reason="cold"}'
GENERATIONS = 'recoup_generation_duration_seconds_count{pipeline="relief"}'
INTERNAL = 'recoup_internal_errors_total{part="lookup"}'
ENTRIES = 'recoup_entries{pipeline="relief"}'
RESIDENT = "process_resident_memory_bytes"
BY_MEMORY = 'recoup_evictions_total{cause="memory",pipeline="relief"}'

HIT_RATIO, SPEEDUP, SLOW = "job:recoup_hit_ratio", "job:recoup_speedup", "job:recoup_slow_hit_ratio"
ACCOUNTED = "instance:recoup_memory_bytes:sum"

REQUESTS, OUTCOMES, REASONS, MADE = (
    ("run", f"The service's count of {what}") for what in ("requests", "outcomes", "miss reasons", "generations")
)
LOCUST = ("run", "Locust's count of requests")


def steady(scenario: str) -> Failed:
    names = (
        "Hit ratio",
        "Hit ratio: the clients against the panel",
        "Hit ratio: the service's counters against the panel",
    )
    return {(scenario, name) for name in names}


REPLAYED, ANSWERS = "Hit ratio against an exact LRU that replays the run", "Answers that an exact LRU would not give"
NO_WINDOW: Failed = {
    *steady(REMOTE),
    (REMOTE, "Speed-up, the service's way"),
    (REMOTE, "Speed-up: clients and service agree"),
    *steady("typical"),
    *steady("soak"),
    ("typical", "Slow hits"),
    ("soak", "Slow hits"),
    ("typical", "Speed-up, the service's way"),
}
MEMORY_SHOWN = ("typical", "Memory overhead, as the panel shows")
NO_PROMETHEUS: Failed = {
    *NO_WINDOW,
    MEMORY_SHOWN,
    ("run", "Scrapes without a gap"),
    ("typical", "Failed requests"),
    ("saturation", "Hits during the flood, 99th percentile"),
    ("soak", "Growth of memory beyond the entries"),
    ("prometheus-restart", "Scraped again"),
    ("shrink", "Memory held under the lowered limit"),
}


def more(number: float) -> Callable[[float], float]:
    return lambda grown: grown + number


def by(factor: float) -> Callable[[float], float]:
    return lambda grown: grown * factor


def slower(factor: float) -> Callable[[Request], Request]:
    return lambda request: replace(request, seconds=request.seconds * factor)


def said(**changes: object) -> Callable[[Request], Request]:
    return lambda request: replace(request, **changes)  # type: ignore[arg-type]
