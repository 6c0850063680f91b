"""What the verdict can notice: an audit that went well passes, and every lie fails the check that is there for it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from grafana import queries
from grafana.queries import panels
from loadtest import references, thresholds
from loadtest.checks import audit, bodies, figures, rules
from loadtest.checks.case import Case, Scope
from loadtest.journal import Phase, Request, Run
from loadtest.model import Expected, Model
from loadtest.panels import Panels
from loadtest.result import Check

from . import test_chat, trials
from .audited import Watching, good_run, with_phase


@dataclass(frozen=True)
class World:
    """A run and what its Prometheus is made to have seen."""

    run: Run
    seen: Mapping[str, Any] = field(default_factory=dict)

    def checks(self) -> list[Check]:
        watched = Panels(Watching(self.run, **self.seen), 1.0)
        case = Case(self.run, watched, thresholds.load(relaxed=True), 20.0)
        run = Scope(case, "run")
        return [
            *audit.audit(Scope(case, "audit")),
            *bodies.checks(run),
            *figures.checks(run),
            *rules.checks(run),
        ]

    def failed(self) -> set[str]:
        return {check.name for check in self.checks() if not check.passed}


Lie = Callable[[World], World]


def phase_of(world: World, part: str) -> Phase:
    return next(phase for phase in world.run.phases if phase.part == part)


def requests(part: str, which: Callable[[Request], bool] | int, **changes: Any) -> Lie:
    """Change the requests of a phase that fit, or the one at a place."""

    def lie(world: World) -> World:
        phase = phase_of(world, part)
        chosen = [which(one) if callable(which) else place == which for place, one in enumerate(phase.requests)]
        assert any(chosen)
        made = (replace(one, **changes) if mine else one for one, mine in zip(phase.requests, chosen, strict=True))
        return replace(world, run=with_phase(world.run, part, requests=tuple(made)))

    return lie


def counted(part: str, series: str, more: float) -> Lie:
    """Let a counter be higher at the end of a phase."""

    def lie(world: World) -> World:
        after = dict(phase_of(world, part).after or {})
        assert series in after
        return replace(world, run=with_phase(world.run, part, after={**after, series: after[series] + more}))

    return lie


def everywhere(series: str, factor: float) -> Lie:
    """Let a series be another one, by a factor, in whatever the service exports."""

    def changed(found: Mapping[str, float] | None) -> dict[str, float]:
        return {text: value * factor if text.startswith(series) else value for text, value in (found or {}).items()}

    def lie(world: World) -> World:
        phases = (replace(one, before=changed(one.before), after=changed(one.after)) for one in world.run.phases)
        return replace(world, run=replace(world.run, phases=tuple(phases)))

    return lie


def entries_before(world: World) -> World:
    """The service held something when nobody had asked yet."""
    counters = {**(world.run.counters or {}), 'recoup_entries{pipeline="relief"}': 10.0}
    return replace(world, run=replace(world.run, counters=counters))


def not_fresh(world: World) -> World:
    """What is read at the end of a phase is what was read at its beginning."""
    phase = phase_of(world, "hits")
    return replace(world, run=with_phase(world.run, "hits", after=phase.before))


def fallen(world: World) -> World:
    phase = phase_of(world, "hits")
    after = {text: value - 1 if "lookups" in text else value for text, value in phase.before.items()}
    return replace(world, run=with_phase(world.run, "hits", after=after))


def sees(**seen: Any) -> Lie:
    return lambda world: replace(world, seen=seen)


def of(outcome: str) -> Callable[[Request], bool]:
    return lambda request: request.outcome == outcome


def always(request: Request) -> bool:
    return True


def one_in_fifty() -> Callable[[Request], bool]:
    number = count()
    return lambda request: next(number) % 50 == 0


def costs_ten_percent_more(request: Request) -> bool:
    return request.outcome == "miss"


LOOKUP = 'recoup_lookups_total{outcome="hit",pipeline="remote"}'
LIES: dict[str, tuple[str, Lie]] = {
    "an LRU's hit is a miss": ("Answers against an exact LRU", requests("order", 500, outcome="stale")),
    "a key of two requests": ("Requests that hardly differ", requests("near", 1, outcome="hit")),
    "a bypass that is told as a hit": ("Answers past the cache", requests("bypass", 3, outcome="hit")),
    "a cleared key that hits": ("Cleared and deleted keys", requests("cleared", 0, outcome="hit")),
    "a deleted key that hits": (
        "Cleared and deleted keys",
        requests("deleted", lambda one: one.reason == "invalidated", outcome="hit"),
    ),
    "an entry past its time to live": ("Entries past their time to live", requests("expired", 2, outcome="hit")),
    "a limit that is not lowered": ("Changes of the configuration", requests("few", 5, outcome="hit")),
    "a cache that is not disabled": ("Changes of the configuration", requests("disabled", 0, outcome="hit")),
    "a wrong reason": (
        "Reasons as callers see them",
        requests("order", lambda one: one.reason == "evicted", reason="expired"),
    ),
    "a wrong reason of a bypass": ("Reasons as callers see them", requests("disabled", 0, reason="request")),
    "no-store from the cache": (
        "no-store, by the generator's own count",
        counted("bypass", "loadtest_upstream_requests_total", -1),
    ),
    "a second generation of a key": (
        "Single-flight, by the generator's own count",
        counted("burst", "loadtest_upstream_requests_total", 1),
    ),
    "who waited is told of a hit": ("Callers of one generation", requests("burst", of("coalesced"), outcome="hit")),
    "two misses of a key": ("Callers of one generation", requests("burst", 59, outcome="miss", reason="cold")),
    "another cause": (
        "Evictions and invalidations by cause",
        counted("relief", 'recoup_evictions_total{cause="size",pipeline="remote"}', -1),
    ),
    "a changing entity tag": ("Entity tags", requests("hits", 17, etag='"other"')),
    "one entity tag for all": ("Entity tags", requests("hits", always, etag='"same"')),
    "no entity tag": ("Entity tags", requests("hits", always, etag=None)),
    "a result that is sent again": ("Entity tags", requests("revalidated", 0, status=200)),
    "plain text": ("Content types", requests("relief", 1, content_type="text/plain")),
    "an age that stands still": ("Age and ttl", requests("aged", 3, age=0.0)),
    "an age of another time": ("Age and ttl", requests("hits", 9, age=500.0)),
    "a ttl that does not fall": ("Age and ttl", requests("aged", 3, ttl=86400.0)),
    "no age": ("Age and ttl", requests("hits", 9, age=None)),
    "a key whose later hits take long": (
        "Later hits of a key",
        requests("hits", lambda one: one.item == "audit-popular-3", seconds=0.021),
    ),
    "one hit in fifty that takes long": ("Hits, 99th percentile", requests("hits", one_in_fifty(), seconds=0.2)),
    "costs that are a tenth too long": (
        "Costs, by the generator's own time",
        requests("slow", costs_ten_percent_more, generation_seconds=1.1022),
    ),
    "costs that are shorter than the generation": (
        "Costs, by the generator's own time",
        requests("slow", costs_ten_percent_more, generation_seconds=0.9),
    ),
    "more recouped": ("Recouped seconds", everywhere("recoup_recouped_seconds_total", 1.05)),
    "a tenth of the memory unaccounted": (
        "Memory accounted, by the bodies held",
        everywhere("recoup_memory_bytes", 0.9),
    ),
    "more memory accounted": ("Memory accounted, by the bodies held", everywhere("recoup_memory_bytes", 1.1)),
    "a leak": ("Memory that grows by request", counted("hits", "process_resident_memory_bytes", 3200 * 50_000)),
    "another body": ("Bodies, as the generator makes them", requests("hits", 1000, digest="0" * 16)),
    "a short body": ("Bodies, as the generator makes them", requests("relief", 1, bytes=1000)),
    "one body for all": ("Bodies of different items", requests("near", always, digest="0" * 16)),
    "entries before the run": ("The cache before the run", entries_before),
    "a first request that hits": ("The cache before the run", requests("near", 0, outcome="hit")),
    "counters that fall": ("Counters that never fall", fallen),
    "a reset that Prometheus sees": ("Counters that never fall", sees(resets=1)),
    "old figures": ("Freshness of /metrics", not_fresh),
    "waits that are left out": (
        "Waits recorded",
        counted("hits", 'recoup_request_duration_seconds_count{outcome="hit",pipeline="remote"}', -160),
    ),
    "hits that are exported too high": ("The exposition against the statistics", everywhere(LOOKUP, 1.03)),
    "one lookup more that is exported": ("The exposition against the statistics", counted("hits", LOOKUP, 1)),
    "seconds that nobody spent": (
        "The exposition against the statistics",
        counted("relief", 'recoup_spent_seconds_total{pipeline="relief",purpose="miss"}', 0.1),
    ),
    "one lookup more in Prometheus": ("Prometheus against the exposition", sees(changed={LOOKUP: 1.0})),
    "a rule of another window": ("Windows of the recorded rules", sees(rules={"job:recoup_speedup:rate5m": 4.0})),
    "the headline's rule of another window": (
        "Windows of the recorded rules",
        sees(rules={"job:recoup_hit_ratio:rate5m": 0.5}),
    ),
    "another recorded ratio": ("Recorded hit ratio, by the raw counters", sees(ratio=0.05)),
}


def test_an_audit_that_went_well_passes() -> None:
    assert set() == World(good_run()).failed()


@pytest.mark.parametrize(("expected", "lie"), LIES.values(), ids=LIES.keys())
def test_a_lie_fails_its_check(expected: str, lie: Lie) -> None:
    assert expected in lie(World(good_run())).failed()


def test_a_panel_that_shows_the_highest_for_a_sum_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = queries.read

    def read(path: Any) -> dict[str, Any]:
        board = honest(path)
        for panel in panels(board):
            for target in panel.get("targets", []):
                target["expr"] = re.sub(r"\bsum( by \([\w, ]+\) \(rate\(recoup_lookups)", r"max\1", target["expr"])
        return board

    monkeypatch.setattr(rules, "read", read)
    assert {"Sums in the panels, by their parts"} == World(good_run()).failed()


#: Noticed by the reference itself, not by an answer: see `test_what_is_no_solid_is_told`.
OF_THE_REFERENCE = {"Meshes of the sample", "Sums in the panels, by their parts"}


def test_every_check_of_the_audit_has_a_lie() -> None:
    noticed = {name for name, _ in LIES.values()} | OF_THE_REFERENCE
    assert {check.name for check in World(good_run()).checks()} == noticed


def test_every_lie_of_the_trials_is_to_be_noticed_by_a_check_that_there_is() -> None:
    known = {check.name for check in World(good_run()).checks()}
    known |= {name for names, _ in test_chat.LIES.values() for name in names}
    known |= {f"The service's count of {what}" for what in ("requests", "outcomes", "miss reasons")}
    assert {trial.noticed_by for trial in trials.TRIALS.values() if trial.noticed_by} <= known


def test_panels_use_counters_of_hits_misses_and_seconds() -> None:
    """The list of what is compared is taken from the dashboards and the rules that they read."""
    assert {
        "recoup_lookups_total",
        "recoup_misses_total",
        "recoup_recouped_seconds_total",
        "recoup_spent_seconds_total",
        "recoup_http_requests_total",
        "recoup_request_duration_seconds_count",
    } <= figures.shown()
    assert not any(name.endswith("_bucket") for name in figures.shown())


def stl(*triangles: tuple[int, int, int]) -> bytes:
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    made = b"".join(
        bytes(12) + b"".join(struct.pack("<3f", *corners[corner]) for corner in triangle) + bytes(2)
        for triangle in triangles
    )
    return bytes(80) + len(triangles).to_bytes(4, "little") + made


TETRAHEDRON = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))


@pytest.mark.parametrize(
    ("expected", "mesh"),
    [
        pytest.param(True, stl(*TETRAHEDRON), id="closed"),
        pytest.param(False, stl(*TETRAHEDRON[:3]), id="a side is missing"),
        pytest.param(False, stl(*TETRAHEDRON[:3], (1, 3, 2)), id="a side is turned round"),
        pytest.param(False, stl(*TETRAHEDRON)[:-1], id="cut off"),
        pytest.param(False, stl(), id="empty"),
        pytest.param(False, b"solid", id="no mesh"),
    ],
)
def test_what_is_no_solid_is_told(expected: bool, mesh: bytes) -> None:
    assert expected is references.is_solid(mesh)


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        pytest.param([("miss", "cold"), ("hit", None)], "aa", id="again"),
        pytest.param([("miss", "cold")] * 3 + [("miss", "evicted")], "abca", id="pushed out"),
        pytest.param([("miss", "cold")] * 2 + [("hit", None), ("miss", "cold"), ("hit", None)], "abaca", id="used"),
    ],
)
def test_the_model_is_an_exact_lru(expected: list[tuple[str, str | None]], asked: str) -> None:
    model = Model(max_size=2)
    found = [model.ask(item, float(at)) for at, item in enumerate(asked)]
    assert expected == [(one.outcome, one.reason) for one in found]


def test_the_model_expires_what_is_past_its_time_to_live() -> None:
    model = Model(ttl_seconds=3.0)
    model.ask("a", 0.0)
    assert [Expected("hit"), Expected("miss", "expired")] == [model.ask("a", at) for at in (2.9, 3.0)]
    assert {"expired": 1} == model.evictions


def test_the_model_forgets_what_is_cleared_and_what_is_deleted() -> None:
    model = Model()
    for item in "abc":
        model.ask(item, 0.0)
    model.act("DeleteEntry", 1.0)
    assert [Expected("miss", "invalidated"), Expected("hit")] == [model.ask(item, 2.0) for item in "ab"]
    model.act("Clear", 3.0)
    assert Expected("miss", "invalidated") == model.ask("b", 4.0)
    assert {"deleted": 1, "cleared": 3} == model.invalidations


def test_the_model_keeps_entries_while_the_cache_is_disabled() -> None:
    model = Model()
    model.ask("a", 0.0)
    model.act('Configure {"enabled": false}', 1.0)
    assert Expected("bypass", "disabled") == model.ask("a", 2.0)
    model.act('Configure {"enabled": true}', 3.0)
    assert Expected("hit") == model.ask("a", 4.0)
