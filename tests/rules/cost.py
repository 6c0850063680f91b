"""What the rules cost: `PYTHONPATH=tests python -m rules.cost 30 400`, for pairs of an instance and a pipeline.

Made-up samples are written into a Prometheus of its own, which then evaluates the committed rules as it would anywhere.
Printed is what it tells of itself, and what the dearest panel takes over 30 days.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from grafana.queries import ALL, View, load, panel, queries, substitute
from metrics.signals import LATENCY, LEVELS

from dashboards.promql import Matcher, selectors
from dashboards.world import Prometheus, serving, wait_for
from recoup.telemetry.catalogue import METRICS, REQUEST_DURATION, Metric
from tools import require_tool

from .rulefiles import ALERTS, RECORDED, RULES, read
from .stack import lasting_port, until

_HOUR, _DAY = 3600, 86400
#: Instances of the job; each has as many pipelines as the pairs need.
_INSTANCES = 10
#: A group that is evaluated every two minutes was evaluated twice then.
_SETTLED_SECONDS = 250
_OTHER_VALUES = {"status": ("200", "502", "503"), "route": ("/api/generate/{pipeline}",), "method": ("POST",)}
_PROCESS = {"up": 1.0, "process_resident_memory_bytes": 5e8, "process_start_time_seconds": 1.0}


def main(arguments: list[str] | None = None) -> None:
    """Measure for each number of pairs."""
    parser = argparse.ArgumentParser(prog="python -m rules.cost", description=__doc__)
    parser.add_argument("pairs", nargs="+", type=int, help="how many pairs of an instance and a pipeline")
    parser.add_argument("--every", type=int, default=60, metavar="SECONDS", help="between two samples (%(default)s)")
    parser.add_argument("--panel-days", type=int, default=30, help="range of the panel (%(default)s)")
    given = parser.parse_args(arguments)
    for pairs in given.pairs:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), pairs, given.every, given.panel_days)


def _measure(folder: Path, pairs: int, every: int, panel_days: int) -> None:
    end = int(time.time()) + 900
    with (folder / "samples.txt").open("w", encoding="utf-8") as file:
        series = _write(file.write, pairs, every, end)
        _write_recorded(file.write, pairs, end, panel_days)
        file.write("# EOF\n")
    command = [require_tool("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics"]
    subprocess.run([*command, str(folder / "samples.txt"), str(folder / "data")], check=True, capture_output=True)
    (folder / "samples.txt").unlink()
    port = lasting_port()
    own = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "15s"},
        "rule_files": [str(path) for path in sorted(RULES.iterdir())],
        "scrape_configs": [{"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(own))
    with serving(folder, port) as server:
        wait_for(server, "vector(1)")
        seconds = min(_panel_seconds(server, panel_days) for _ in range(3))
        settled = f'time() - process_start_time_seconds{{job="prometheus"}} > {_SETTLED_SECONDS}'
        until("every group was evaluated twice", lambda: bool(server.values(settled)), 4 * _SETTLED_SECONDS)
        _report(server, pairs, series, every, seconds)


def _report(server: Prometheus, pairs: int, series: int, every: int, panel_seconds: float) -> None:
    print(f"\n{pairs} pairs, {series} series, a sample every {every} s:\n")
    print("| group | every | seconds |\n|---|---|---|")
    durations = {
        labels["rule_group"].rpartition(";")[2]: value
        for labels, (value,) in server.values("prometheus_rule_group_last_duration_seconds")
    }
    total = 0.0
    for path in sorted(RULES.iterdir(), reverse=True):
        for group in read(path)["groups"]:
            interval = group.get("interval", "15s")
            took = durations[group["name"]]
            total += took / int(interval[:-1]) / (60 if interval.endswith("m") else 1)
            print(f"| {group['name']} | {interval} | {took:.3f} |")
    print(f"\nOf one core: {100 * total:.1f} %. Latency by outcome over the panel's range: {panel_seconds:.2f} s.")
    sys.stdout.flush()


def _panel_seconds(server: Prometheus, days: int) -> float:
    """What Grafana waits for the panel's queries, one after the other."""
    view = View(days * _DAY, variables={"job": ALL, "instance": ALL, "pipeline": ALL})
    begin = time.perf_counter()
    for query in queries(panel(load("overview"), "Latency by outcome")):
        assert server.ranges(substitute(query.expr, view), view.range_seconds, view.interval_seconds)
    return time.perf_counter() - begin


def _windows(name: str, labels: str) -> int:
    """The longest window that a rule reads a series over, in seconds; 0: none does."""
    if name in ("recoup_memory_bytes", "process_resident_memory_bytes"):
        return 3 * _DAY  # what is recorded of them is read over three days
    values = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    return max((window for matchers, window in _READ.get(name, ()) if _match(matchers, values)), default=0)


def _match(matchers: tuple[Matcher, ...], values: dict[str, str]) -> bool:
    return all(
        ("!" not in matcher.operator) == bool(re.fullmatch(matcher.value, values.get(matcher.label, "")))
        for matcher in matchers
    )


def _read_windows() -> dict[str, list[tuple[tuple[Matcher, ...], int]]]:
    windows: dict[str, list[tuple[tuple[Matcher, ...], int]]] = {}
    for rule in [*RECORDED, *ALERTS]:
        for selector in selectors(rule["expr"]):
            window = selector.range or "5m"
            seconds = int(window[:-1]) * {"m": 60, "h": _HOUR, "d": _DAY}[window[-1]]
            windows.setdefault(selector.name, []).append((selector.matchers, seconds))
    return windows


_READ = _read_windows()


def _write(write: Callable[[str], object], pairs: int, every: int, end: int) -> int:
    """Write what rules read, for as long as they read it, and give the number of series."""
    count = 0
    for name, labels, growth in _every_series(pairs):
        window = _windows(name, labels)
        if not window:
            continue
        count += 1
        begin = end - 900 - window - 600
        for moment in range(begin, end, every):
            write(f"{name}{{{labels}}} {growth * (moment - begin) + 1:.10g} {moment}\n")
    return count


def _every_series(pairs: int) -> Iterator[tuple[str, str, float]]:
    """Name, labels, and growth a second: 0 of gauges."""
    for number in range(_INSTANCES):
        labels = f'job="recoup",instance="10.0.0.{number}:8080"'
        for name in _PROCESS:
            yield name, labels, 0
        for metric in METRICS:
            pipelines = range(-(-pairs // _INSTANCES)) if "pipeline" in metric.labels else (None,)
            for pipeline in pipelines:
                own = labels if pipeline is None else f'{labels},pipeline="p{pipeline}"'
                yield from _of_metric(metric, own)


def _of_metric(metric: Metric, labels: str) -> Iterator[tuple[str, str, float]]:
    combinations = [labels]
    for label in metric.labels:
        if label == "pipeline":
            continue
        values = _OTHER_VALUES.get(label) or metric.values.get(label, ("x",))
        combinations = [f'{before},{label}="{value}"' for before in combinations for value in values]
    for combination in combinations:
        if metric.kind == "histogram":
            for place, bound in enumerate((*map(str, metric.buckets), "+Inf")):
                yield f"{metric.name}_bucket", f'{combination},le="{bound}"', 0.01 * place
            yield f"{metric.name}_count", combination, 0.01 * len(metric.buckets)
            yield f"{metric.name}_sum", combination, 0.1
        else:
            yield metric.name, combination, 0.0 if metric.kind == "gauge" else 0.1


def _write_recorded(write: Callable[[str], object], pairs: int, end: int, days: int) -> None:
    """The recorded histogram that the panel reads, as its group would have recorded it."""
    (group,) = (
        group
        for group in read(RULES / "recording.yml")["groups"]
        if any(rule["record"] == LATENCY.at("pipeline") for rule in group["rules"])
    )
    every = int(group["interval"][:-1]) * 60
    assert set(LEVELS["pipeline"]) - {"cluster", "namespace"} == {"job", "pipeline"}
    for pipeline in range(-(-pairs // _INSTANCES)):
        for outcome in REQUEST_DURATION.values["outcome"]:
            for place, bound in enumerate((*map(str, REQUEST_DURATION.buckets), "+Inf")):
                labels = f'job="recoup",pipeline="p{pipeline}",outcome="{outcome}",le="{bound}"'
                for moment in range(end - days * _DAY, end - 900, every):
                    write(f"{LATENCY.at('pipeline')}{{{labels}}} {place + moment % 7} {moment}\n")


if __name__ == "__main__":
    main()
