"""Made-up data of two clusters in a real Prometheus: equal addresses, dead and vanished instances, one without rules.

Every counter grows evenly, so the true value of every panel is a sum that `truth.py` does by itself.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from metrics.loadtest_catalogue import METRICS as OF_LOADTEST
from metrics.signals import ALERTS_LOADED

from dashboards.boards import recording_rules
from dashboards.promql import selectors
from dashboards.world import Prometheus, serving, wait_for
from recoup.telemetry import catalogue
from recoup.telemetry.catalogue import METRICS, Metric
from tools import require_tool

#: The moment that is looked at, late in one of Prometheus' blocks of two hours; since when there is data; and when some
#: instances died or vanished.
END = 1_699_999_200 + 6000
BEGIN, DEATH = END - 4200, END - 600
#: Shortly after that, and at the end: rules are evaluated for no other time.
LOOKED_AT = (DEATH + 60, END)
MOMENTS = (*range(BEGIN, END - 900, 60), *range(END - 900, END + 1, 15))

#: By name, with its share of the traffic. The first, read as a pattern, would match the second.
PIPELINES = {"a.b+c-d": 1, "aXbbc-d": 2}
TRAFFIC = sum(PIPELINES.values())

#: The cluster whose Prometheus has the rules; and a job there for which it has no alerts.
RULED_CLUSTER = "eu"
UNGUARDED_JOB = "smaller"


@dataclass(frozen=True)
class Instance:
    """A made-up instance.

    Attributes:
        scale: A factor of all that it counts and holds, but for hits and misses.
        hits: Lookups of each kind a second, for a pipeline with the share 1.
        end: `alive`, `dead`: its scrapes fail since `DEATH`; `vanished`: it is no target since then.
    """

    cluster: str
    job: str
    address: str
    scale: int = 0
    hits: int = 0
    misses: int = 0
    end: str = "alive"
    enabled: int = 1
    ttl: int = 86400

    @property
    def labels(self) -> dict[str, str]:
        return {"cluster": self.cluster, "namespace": "prod", "job": self.job, "instance": self.address}

    @property
    def last(self) -> int:
        return END if self.end == "alive" else DEATH

    @property
    def outcomes(self) -> dict[str, int]:
        return {
            "hit": self.hits,
            "stale": self.scale,
            "coalesced": self.scale,
            "miss": self.misses,
            "bypass": 5 * self.scale,
        }


ONE, TWO, THREE = (f"10.0.0.{number}:8080" for number in (1, 2, 3))
INSTANCES = (
    Instance("eu", "recoup", ONE, scale=1, hits=6, misses=2),
    Instance("eu", "recoup", TWO, scale=1, hits=1, misses=1, end="dead"),
    Instance("eu", "recoup", THREE, scale=2, hits=0, misses=4, enabled=0, ttl=3600),
    Instance("us", "recoup", ONE, scale=3, hits=12, misses=4),
    Instance("us", "recoup", TWO, scale=4, hits=3, misses=3),
    Instance("eu", "renders", ONE, scale=1, hits=1, misses=1, end="dead"),
    Instance("us", "renders", ONE, scale=1, hits=1, misses=1, end="vanished"),
    Instance("eu", "quiet", ONE),
    Instance("eu", "smaller", ONE),
    Instance("eu", "smaller", TWO, end="vanished"),
)
#: The buckets that all observations of a histogram fall into, by their upper bounds, and their shares.
SPREAD: dict[str, dict[float, float]] = {
    "hit": {0.0025: 0.9, 0.1: 0.1},
    "stale": {0.0025: 0.9, 0.1: 0.1},
    "coalesced": {5: 1},
    "miss": {10: 1},
    "bypass": {30: 1},
    "none": {60: 1},
    catalogue.GENERATION_DURATION.name: {2.5: 1},
    catalogue.ENTRY_SIZE.name: {32768: 1},
    catalogue.HIT_AGE.name: {300: 1},
    catalogue.EVICTION_AGE.name: {3600: 1},
}
#: Observations a second of each histogram, and what callers waited in that, by outcome.
OBSERVED = 10
WAITED = {"hit": 1, "stale": 1, "coalesced": 3, "miss": 20, "bypass": 100}
#: Seconds a second, of generation by purpose; recouped; regretted.
SPENT, RECOUPED, REGRETTED = {"miss": 10, "bypass": 7, "refresh": 5, "verification": 3}, 30, 2
#: Requests a second, by status; and probes that are refused.
STATUSES, PROBES = {"200": 100, "500": 1, "502": 2, "503": 3, "504": 4}, 50
#: Gauges; a factor of the scale where they are `True`.
GAUGES: dict[Metric, tuple[float, bool]] = {
    catalogue.ENTRIES: (100, True),
    catalogue.ENTRIES_LIMIT: (2000, False),
    catalogue.MEMORY: (1e6, True),
    catalogue.MEMORY_LIMIT: (5e7, False),
    catalogue.GENERATIONS_IN_PROGRESS: (2, True),
    catalogue.GENERATIONS_WAITING: (3, True),
    catalogue.IN_FLIGHT_LIMIT: (1e9, False),
}
PROCESS: dict[str, float] = {
    "process_resident_memory_bytes": 7e8,
    "process_threads": 9,
    "process_open_fds": 20,
    "process_max_fds": 1024,
    "process_start_time_seconds": BEGIN - 100_000,
}
#: Firing alerts, by the cluster whose Prometheus has rules.
ALERTS = (
    {"alertname": "RecoupDown", "severity": "critical", "job": "recoup", "instance": TWO},
    {"alertname": "RecoupDown", "severity": "critical", "job": "renders", "instance": ONE},
    {"alertname": "RecoupHitRatioLow", "severity": "warning", "job": "recoup", "pipeline": "aXbbc-d"},
    {"alertname": "RecoupConfigChanged", "severity": "info", "job": "recoup", "instance": ONE},
    {"alertname": "AnotherService", "severity": "critical", "job": "recoup"},
)


@dataclass(frozen=True)
class Series:
    """Samples of one series: a value that grows evenly from `value` at the begin, until `last`."""

    name: str
    labels: dict[str, str]
    value: float = 0
    growth: float = 0
    since: int = BEGIN
    last: int = END
    moments: tuple[int, ...] = field(default=MOMENTS, repr=False)

    def lines(self) -> Iterator[str]:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        for moment in self.moments:
            if self.since <= moment <= self.last:
                yield f"{self.name}{{{labels}}} {self.value + self.growth * (moment - BEGIN)!r} {moment}\n"


def every_series() -> Iterator[Series]:
    """All that the two clusters' Prometheus scraped, and the alerts of the one that has rules."""
    for instance in INSTANCES:
        yield from _up(instance)
        for series in _of_instance(instance):
            yield Series(series.name, instance.labels | series.labels, series.value, series.growth, last=instance.last)
    for cluster, factor in (("eu", 1), ("us", 2)):
        target = {"cluster": cluster, "namespace": "load", "job": "loadtest", "instance": "10.0.0.9:9646"}
        yield from (
            Series(series.name, target | series.labels, series.value, series.growth) for series in _of_locust(factor)
        )
    # Prometheus' own process is none of Recoup's.
    own = {"cluster": "eu", "namespace": "prod", "job": "prometheus", "instance": "10.0.0.8:9090"}
    yield from (Series(name, own, value) for name, value in (("up", 1), *PROCESS.items()))
    for alert in ALERTS:
        labels = {"cluster": RULED_CLUSTER, "namespace": "prod", "alertstate": "firing"}
        yield Series("ALERTS", labels | alert, 1, since=DEATH)


def _up(instance: Instance) -> Iterator[Series]:
    yield Series("up", instance.labels, 1, last=instance.last)
    if instance.end == "dead":
        yield Series("up", instance.labels, 0, since=DEATH + 15)


def _of_instance(instance: Instance) -> Iterator[Series]:
    yield Series(catalogue.BUILD_INFO.name, {"version": "1.0", "python": "3.11"}, 1)
    yield Series(catalogue.ENABLED.name, {}, instance.enabled)
    yield Series(catalogue.TTL.name, {}, instance.ttl)
    for name, value in PROCESS.items():
        yield Series(name, {}, value)
    yield Series("process_cpu_seconds_total", {}, growth=0.5)
    yield Series("python_gc_objects_collected_total", {"generation": "0"}, growth=8)
    for generation in range(3):
        yield Series("python_gc_collections_total", {"generation": str(generation)}, growth=generation + 1)
    for status, rate in STATUSES.items():
        labels = {"route": "/api/generate/{pipeline}", "method": "POST", "status": status}
        yield Series(catalogue.HTTP_REQUESTS.name, labels, growth=rate * instance.scale)
    probes = {"route": "/readyz", "method": "GET", "status": "503"}
    yield Series(catalogue.HTTP_REQUESTS.name, probes, growth=PROBES)
    own = (catalogue.BUILD_INFO, catalogue.ENABLED, catalogue.TTL, catalogue.HTTP_REQUESTS)
    for metric in METRICS:
        if metric not in own:
            yield from _of_pipelines(metric, instance)


def _of_pipelines(metric: Metric, instance: Instance) -> Iterator[Series]:
    for pipeline, share in PIPELINES.items() if "pipeline" in metric.labels else {"": 1}.items():
        labels = {"pipeline": pipeline} if pipeline else {}
        for series in _of_metric(metric, instance):
            yield Series(series.name, labels | series.labels, series.value * share, series.growth * share)


def _of_metric(metric: Metric, instance: Instance) -> Iterator[Series]:
    label, values = next(iter(metric.values.items()), ("", ("",)))
    for number, value in enumerate(values, start=1):
        labels = {label: value} if label else {}
        if metric.kind == "histogram":
            yield from _histogram(metric, labels, OBSERVED * instance.scale, WAITED.get(value, 1) * instance.scale)
        elif metric.kind == "gauge":
            amount, scaled = GAUGES.get(metric, (1000 * number, True))
            yield Series(metric.name, labels, amount * (instance.scale if scaled else 1))
        else:
            yield Series(metric.name, labels, growth=_growth(metric, value, number, instance))


def _growth(metric: Metric, value: str, number: int, instance: Instance) -> float:
    """What a counter grows by a second: what is said above, else its value's place in the catalogue."""
    if metric is catalogue.LOOKUPS:
        return instance.outcomes[value]
    if metric is catalogue.CONFIG_CHANGES:
        return 0
    stated = {catalogue.RECOUPED: RECOUPED, catalogue.REGRETTED: REGRETTED, catalogue.SPENT: SPENT.get(value, 0)}
    return stated.get(metric, number) * instance.scale


def _histogram(metric: Metric, labels: dict[str, str], rate: float, total: float) -> Iterator[Series]:
    spread = SPREAD[labels.get("outcome", metric.name)]
    for bound in (*metric.buckets, float("inf")):
        below = sum(share for upper, share in spread.items() if upper <= bound)
        text = "+Inf" if bound == float("inf") else str(bound)
        yield Series(f"{metric.name}_bucket", labels | {"le": text}, growth=rate * below)
    yield Series(f"{metric.name}_count", labels, growth=rate)
    yield Series(f"{metric.name}_sum", labels, growth=total)


def _of_locust(factor: int) -> Iterator[Series]:
    phase = {"scenario": "typical", "part": "cached"}
    for metric, outcome in itertools.product(OF_LOADTEST, ("hit", "miss")):
        labels = {name: value for name, value in (phase | {"outcome": outcome}).items() if name in metric.labels}
        if "outcome" not in metric.labels and outcome == "miss":
            continue
        if metric.kind == "histogram":
            yield from _histogram(metric, labels, OBSERVED * factor, factor)
        elif metric.kind == "gauge":
            yield Series(metric.name, labels, factor, since=DEATH)
        else:
            yield Series(metric.name, labels, growth=factor)


@contextmanager
def clusters(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that holds all of it, and what the rules record in one of the clusters."""
    text = folder / "samples.txt"
    with text.open("w") as file:
        file.writelines(itertools.chain.from_iterable(series.lines() for series in every_series()))
        file.write("# EOF\n")
    _promtool("tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data"))
    for number, rules in enumerate(_layers()):
        path = folder / f"rules-{number}.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "recorded", "rules": rules}]}))
        with _ready(folder) as server:
            for moment in LOOKED_AT:
                _promtool(
                    "tsdb", "create-blocks-from", "rules", f"--start={moment - 60}", f"--end={moment}",
                    "--eval-interval=15s", f"--url={server.url}", f"--output-dir={folder}/data", str(path),
                )  # fmt: skip
    with _ready(folder) as server:
        yield server


@contextmanager
def _ready(folder: Path) -> Iterator[Prometheus]:
    (folder / "prometheus.yml").write_text("{}")
    with serving(folder) as server:
        wait_for(server, "vector(1)")
        yield server


def _promtool(*arguments: str) -> None:
    subprocess.run([require_tool("promtool"), *arguments], check=True, capture_output=True, timeout=120)


def _layers() -> Iterator[list[dict[str, Any]]]:
    """The recording rules, for one cluster alone; those that read others come after them."""
    left = {rule["record"]: rule["expr"] for rule in recording_rules()}
    marker = ALERTS_LOADED.at("job")
    left[marker] = f'({left[marker]}) unless on (job) up{{job="{UNGUARDED_JOB}"}}'
    while left:
        # One may read itself, as it was before.
        ready = [name for name, expression in left.items() if not left.keys() & (_names(expression) - {name})]
        assert ready, f"rules that read each other: {sorted(left)}"
        yield [{"record": name, "expr": _of_one_cluster(left.pop(name))} for name in ready]


def _names(expression: str) -> set[str]:
    return {selector.name for selector in selectors(expression)}


def _of_one_cluster(expression: str) -> str:
    return f'({expression}) and on (cluster) max by (cluster) (up{{cluster="{RULED_CLUSTER}"}})'
