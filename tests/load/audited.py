"""An audit that went well, as a journal would have it, and a Prometheus that saw it: what the tests then break.

The planned phases are played on the model of the cache: what comes of each request is what has to, and all is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from loadtest import references, upstream
from loadtest.checks.figures import _OUTCOMES, _STATISTICS
from loadtest.journal import Action, Phase, Request, Run
from loadtest.model import Model
from loadtest.plan import Call
from loadtest.plan import Phase as Planned
from loadtest.prometheus import Prometheus
from loadtest.scenarios.audit import SCENARIO, audit
from loadtest.service import UPSTREAM_REQUESTS, series
from loadtest.settings import Settings
from metrics.rulebook.recordings import groups
from metrics.signals import HIT_RATIO
from metrics.thresholds import Thresholds

SETTINGS = Settings(users=2, duration_seconds=20.0, scenarios=(SCENARIO,))
BEGIN, STARTED, REST = 1_800_000_000.0, 1_799_999_990.0, 1.5
HIT, OVERHEAD, RELIEF_SECONDS = 0.001, 0.002, 0.2
ENTRY_BYTES = 700
#: What its rules look back over: five minutes, shortened to the duration.
FACTOR = 15


@dataclass
class Recording:
    """A run that is being made up: one caller after another, but for the burst."""

    now: float = BEGIN
    model: Model = field(default_factory=Model)
    counters: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, int] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    stored: dict[str, float] = field(default_factory=dict)
    ttls: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counters["process_start_time_seconds"] = STARTED  # type: ignore[assignment]
        self.counters["process_resident_memory_bytes"] = 10**8
        for pipeline in ("relief", "remote"):
            for outcome in _OUTCOMES:
                self.add("recoup_lookups_total", 0, pipeline=pipeline, outcome=outcome)

    def add(self, name: str, value: float, **labels: str) -> None:
        self.counters[series(name, labels)] += value  # type: ignore[assignment]

    def read(self) -> dict[str, float]:
        """As `/metrics` tells it; each reading is counted by the next one."""
        for cause, count in {**self.model.evictions, **self.model.invalidations}.items():
            kind = "invalidations" if cause in ("cleared", "deleted") else "evictions"
            self.counters[series(f"recoup_{kind}_total", {"pipeline": "remote", "cause": cause})] = count
        self.counters[series("recoup_eviction_age_seconds_count", {"pipeline": "remote"})] = sum(
            self.model.evictions.values()
        )
        held: dict[str, list[str]] = {"relief": [], "remote": []}
        for item in self.model.held:
            held["relief" if "relief" in item else "remote"].append(item)
        for pipeline, items in held.items():
            memory = sum(self.sizes[item] + ENTRY_BYTES for item in items)
            self.counters[series("recoup_memory_bytes", {"pipeline": pipeline})] = memory
            self.counters[series("recoup_entries", {"pipeline": pipeline})] = len(items)
        told = dict(self.counters)
        self.add("recoup_http_requests_total", 1, route="/metrics", method="GET", status="200")
        return {name: float(value) for name, value in told.items()}

    def stats(self) -> dict[str, Any]:
        """As the management API tells it."""
        pipelines: dict[str, dict[str, Any]] = {}
        for pipeline in ("relief", "remote"):
            figures: dict[str, Any] = {
                member: self.counters[series("recoup_lookups_total", {"pipeline": pipeline, "outcome": outcome})]
                for outcome, member in _OUTCOMES.items()
            }
            for name, (member, *labels) in _STATISTICS.items():
                if not labels:
                    figures[member] = self.counters[series(name, {"pipeline": pipeline})]
                    continue
                # None of those with two labels is counted here.
                pattern = re.compile(rf'{name}\{{.*{labels[0]}="(\w+)"')
                mine = [text for text in self.counters if text.startswith(name) and f'pipeline="{pipeline}"' in text]
                figures[member] = {pattern.match(text)[1]: self.counters[text] for text in mine}  # type: ignore[index]
            pipelines[pipeline] = figures
        return {"pipelines": pipelines}

    def phase(self, planned: Planned) -> Phase:
        actions = []
        for action in planned.before:
            self.model.act(action.name, self.now)
            actions.append(Action(self.now, 0.01, action.name))
            self.now += float(action.name.split()[1]) if action.name.startswith("Wait") else 0.01
        begin, before = self.now, self.read()
        requests = []
        for lane in planned.lanes:
            for batch in lane.batches():
                assert isinstance(batch, tuple)
                for call in batch:
                    requests.append(self.request(call, planned.part))
                    if planned.part != "burst":
                        self.now += requests[-1].seconds + (1.0 / lane.rate if lane.rate else 0.0)
        if planned.part == "burst":
            self.now += 1.1
        end, after, stats = self.now, self.read(), self.stats()
        self.now += REST
        return Phase(
            planned.scenario, planned.part, begin, end, before, after, tuple(requests), tuple(actions),
            len(requests), 0, None, stats, self.now,
        )  # fmt: skip

    def request(self, call: Call, part: str) -> Request:
        pipeline = "relief" if "relief" in call.path else "remote"
        count: dict[str, Any] = {"route": "/api/generate/<pipeline>", "method": "POST"}
        if call.kind == "garbage":
            self.add("recoup_http_requests_total", 1, **count, status="400")
            return Request(self.now, HIT, "garbage", call.item, 400)
        bypass = "no-store" in call.headers.get("Cache-Control", "")
        expected = self.model.ask(call.item, self.now, bypass=bypass)
        outcome = "coalesced" if part == "burst" and expected.outcome == "hit" else expected.outcome
        made, kind = _result(call.path, call.body)
        cost = 0.0
        if outcome in ("miss", "bypass"):
            cost = RELIEF_SECONDS if pipeline == "relief" else _seconds(call.body) + OVERHEAD
            self.add("recoup_generation_duration_seconds_count", 1, pipeline=pipeline)
            self.add("recoup_generation_duration_seconds_sum", cost, pipeline=pipeline)
            self.add("recoup_spent_seconds_total", cost, pipeline=pipeline, purpose=outcome)
            self.add(UPSTREAM_REQUESTS, pipeline == "remote")
        waited = cost + HIT if outcome != "coalesced" else 1.05
        if outcome == "miss":
            self.add("recoup_misses_total", 1, pipeline=pipeline, reason=expected.reason or "")
            self.sizes[call.item], self.costs[call.item] = made.bytes, cost
            self.stored[call.item], self.ttls[call.item] = self.now + cost, self.model.ttl_seconds
        elif outcome == "bypass":
            self.add("recoup_bypasses_total", 1, pipeline=pipeline, reason=expected.reason or "")
        else:
            self.add("recoup_recouped_seconds_total", self.costs[call.item], pipeline=pipeline)
            self.add("recoup_hit_age_seconds_count", outcome == "hit", pipeline=pipeline)
        self.add("recoup_lookups_total", 1, pipeline=pipeline, outcome=outcome)
        self.add("recoup_request_duration_seconds_count", 1, pipeline=pipeline, outcome=outcome)
        status = 304 if call.revalidates else 200
        self.add("recoup_http_requests_total", 1, **count, status=str(status))
        age = float(int(self.now - self.stored[call.item])) if outcome == "hit" else None
        return Request(
            self.now,
            waited,
            call.kind,
            call.item,
            status,
            outcome,
            expected.reason,
            bytes=0 if call.revalidates else made.bytes,
            digest="" if call.revalidates else made.digest,
            generation_seconds=cost or None,
            content_type=None if call.revalidates else kind,
            etag=f'"{made.digest}"',
            age=age,
            ttl=None if age is None else float(int(self.ttls[call.item] - (self.now - self.stored[call.item]))),
            bypass=bypass,
        )


def _seconds(body: bytes) -> float:
    return float(re.search(rb'"seconds": ([0-9.e-]+)', body)[1])  # type: ignore[index]


def _result(path: str, body: bytes) -> tuple[references.Reference, str]:
    made = references.reference(path, body)
    assert made is not None
    return made, "model/stl" if made.solid is not None else upstream.CONTENT_TYPE


@lru_cache(maxsize=1)
def good_run() -> Run:
    """The audit, as it should be."""
    made = Recording()
    first = made.read()
    phases = tuple(made.phase(planned) for planned in audit(SETTINGS))
    return Run(SETTINGS.to_mapping(), phases, BEGIN, made.now, first)


@dataclass(frozen=True)
class Watching(Prometheus):
    """A Prometheus that saw the run.

    Attributes:
        run: What it saw.
        changed: By the beginning of a series, what it has too much of it.
        rules: By name, how much further a rule looks back than its name says.
        resets: That it saw of the counters.
        ratio: How far off its recorded hit ratio is.
    """

    run: Run
    changed: Mapping[str, float] = field(default_factory=dict)
    rules: Mapping[str, float] = field(default_factory=dict)
    resets: int = 0
    ratio: float = 0.0

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        if path == "rules":
            return {"groups": [{"rules": list(self._rules())}]}
        query, at = parameters["query"], float(parameters["time"])
        if query.startswith("max(resets"):
            return {"result": [_vector({}, at, self.resets)]}
        if query.startswith("{__name__"):
            return {"result": list(self._scraped(at))}
        if query.startswith(HIT_RATIO.at("job")):
            growth = [points[-1][1] - points[0][1] for points in self._lookups(at, 20.0).values()]
            hits = growth[0] / sum(growth) if sum(growth) else float("nan")
            return {"result": [{"metric": {}, "values": [[at, str(hits + self.ratio)]]}]}
        if query.startswith("recoup_lookups_total["):
            found = self._lookups(at, 20.0)
            return {"result": [{"metric": {"outcome": name}, "values": points} for name, points in found.items()]}
        return {"result": list(_aggregated(query, at))}

    def _rules(self) -> Iterator[dict[str, str]]:
        for record in (record for group in groups(Thresholds()) for record in group.records):
            longer = self.rules.get(record.name, 1.0) / FACTOR

            def shortened(window: re.Match[str], longer: float = longer) -> str:
                seconds = int(window[1]) * {"m": 60, "h": 3600, "d": 86400}[window[2]]
                return f"[{round(1000 * seconds * longer)}ms]"

            yield {"name": record.name, "query": re.sub(r"\[(\d+)([mhd])\]", shortened, record.expression)}

    def _scraped(self, at: float) -> Iterator[dict[str, Any]]:
        (phase,) = (phase for phase in self.run.phases if abs((phase.rested or 0.0) - at) < 0.01)
        for text, value in (phase.after or {}).items():
            name, _, labels = text.partition("{")
            pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            more = sum(number for begin, number in self.changed.items() if text.startswith(begin))
            metric = {"__name__": name, "job": "recoup", "instance": "one", **pairs}
            yield {"metric": metric, "values": [[phase.end + 0.5, str(value + more)]]}

    def _lookups(self, at: float, window: float) -> dict[str, list[list[Any]]]:
        """Hits, and misses: as they were whenever a phase began or ended in the window, each told three times."""
        moments = [(phase.begin, phase.before) for phase in self.run.phases]
        moments += [(phase.end, phase.after or {}) for phase in self.run.phases]
        found: dict[str, list[list[Any]]] = {"hit": [], "miss": []}
        for moment, counters in sorted(moments, key=lambda pair: pair[0]):
            for outcome, points in found.items():
                if at - window <= moment <= at + 0.01:
                    text = series("recoup_lookups_total", {"pipeline": "remote", "outcome": outcome})
                    points.append([moment, counters.get(text, 0.0)])
        return {outcome: points or [[at, 0.0]] for outcome, points in found.items()}


_LABELS = ("outcome", "pipeline", "reason", "cause", "part", "error", "le", "job", "instance", "cluster", "namespace")
#: What two parts of a sum are: their sum, the highest, their mean.
_PARTS = (3.0, 2.0)
_TOGETHER = {"sum": 5.0, "max": 3.0, "avg": 2.5}


def _aggregated(query: str, at: float) -> Iterator[dict[str, Any]]:
    """Of whatever is aggregated: two parts, and what an operator makes of them."""
    labels = dict.fromkeys(_LABELS, "one")
    operator = query.split("(")[0].split()[0]
    for value in [_TOGETHER[operator]] if operator in _TOGETHER else _PARTS:
        yield _vector(labels, at, value)


def _vector(labels: Mapping[str, str], at: float, value: float) -> dict[str, Any]:
    return {"metric": dict(labels), "value": [at, str(value)]}


def with_phase(run: Run, part: str, **changes: Any) -> Run:
    """The run with one phase changed."""
    return replace(run, phases=tuple(replace(each, **changes) if each.part == part else each for each in run.phases))
