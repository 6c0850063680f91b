"""A Prometheus that scrapes two real services, one under traffic and one idle, and evaluates the real rules.

Beside them it scrapes what a load test exports: its own exporter, told of requests as Locust's process tells it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from loadtest.exporter import Exporter
from loadtest.journal import Request

from dashboards.boards import RULES
from recoup.cache.stats import OUTCOMES
from tools import require_tool
from web.running import PATIENCE, Running, free_port, running

#: Scrapes before what happens once, so that its counter is known and seen to grow; and scrapes under traffic in all.
SCRAPES_BEFORE, SCRAPES = 3, 10
SCRAPED = 'count_over_time(recoup_build_info{job="busy"}[1h])'
PHASE = ("typical", "cached")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

PIPELINES = """
[pipelines.alpha]
kind = "python"
callable = "generators:make"
max_concurrent = 2
[pipelines.beta]
kind = "python"
callable = "generators:make"
max_concurrent = 1
max_waiting = 0
"""


@dataclass
class Prometheus:
    """A running Prometheus, asked through its API as Grafana asks it."""

    url: str

    def ask(self, path: str, **parameters: str | list[str]) -> Any:
        """The data of an answer.

        Raises:
            AssertionError: Prometheus refused, with what it says.
        """
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            if refused.code == 503:  # not ready
                raise
            raise AssertionError(f"{parameters}: {refused.read().decode()}") from None

    def values(self, query: str, **parameters: str) -> list[tuple[dict[str, str], list[float]]]:
        """An instant query's series, each with its one value."""
        result = self.ask("query", query=query, **parameters)["result"]
        return [(series["metric"], [float(series["value"][1])]) for series in result]

    def ranges(self, query: str, seconds: float, step: float) -> list[tuple[dict[str, str], list[float]]]:
        """A range query's series until now, each with its values."""
        end = time.time()
        span = {"start": f"{end - seconds:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        result = self.ask("query_range", query=query, **span)["result"]
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in result]


#: A warning at once, beside those of Recoup, which take minutes.
URGENT = {
    "groups": [
        {
            "name": "urgent",
            "rules": [{"alert": "RecoupUrgent", "expr": 'up{job="busy"} == 1', "labels": {"severity": "warning"}}],
        }
    ]
}


@dataclass
class World:
    """What was started: the Prometheus, and the service under traffic as Prometheus names it."""

    prometheus: Prometheus
    instance: str


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Start everything, drive traffic until Prometheus has seen enough of it, and let the tests look at it."""
    require_tool("prometheus")
    busy_folder, idle_folder = folder / "busy", folder / "idle"
    for own_folder in (busy_folder, idle_folder):
        own_folder.mkdir()
        (own_folder / "pipelines.toml").write_text(PIPELINES)
    given = {"PYTHONPATH": str(Path(__file__).parent), "CACHE_MAX_SIZE": "6", "CACHE_TTL_SECONDS": "2"}
    with (
        running(busy_folder, **given) as busy,
        running(idle_folder, **given) as idle,
        exporting() as (exporter, port),
        prometheus(folder, {"busy": busy.port, "idle": idle.port, "loadtest": port}) as server,
    ):
        drive(busy, server, exporter)
        yield World(server, f"127.0.0.1:{busy.port}")


@contextmanager
def exporting() -> Iterator[tuple[Exporter, int]]:
    """A load test's exporter on a port of its own, in a phase that lasts."""
    exporter, port = Exporter(users=lambda: 2), free_port()
    exporter.begin(*PHASE)
    server = exporter.serve("127.0.0.1", port)
    try:
        yield exporter, port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def prometheus(folder: Path, jobs: dict[str, int]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes every second."""
    own = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [*_rules_of_each_second(folder), "urgent.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            # Its own metrics, too: a process that is none of Recoup's.
            for job, port in {**jobs, "prometheus": own}.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / "urgent.yml").write_text(yaml.safe_dump(URGENT))
    with serving(folder, own) as server:
        yield server


def _rules_of_each_second(folder: Path) -> list[str]:
    """The rules, all evaluated as often as is scraped: groups with long windows have minutes of their own."""
    names = []
    for path in sorted(RULES.glob("*.yml")):
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in rules["groups"]:
            group.pop("interval", None)
        (folder / path.name).write_text(yaml.safe_dump(rules))
        names.append(path.name)
    return names


@contextmanager
def serving(folder: Path, own: int | None = None) -> Iterator[Prometheus]:
    """Run a Prometheus with the configuration and the data of a folder."""
    own = own or free_port()
    command = [
        require_tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{own}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Prometheus(f"http://127.0.0.1:{own}")
    finally:
        process.kill()
        process.wait(PATIENCE)


def drive(service: Running, server: Prometheus, exporter: Exporter) -> None:
    """Make traffic until Prometheus has scraped enough of it, and some scrapes longer."""
    end = threading.Event()
    driver = threading.Thread(target=_traffic, args=(service, exporter, end))
    driver.start()
    try:
        wait_for(server, f"{SCRAPED} >= {SCRAPES_BEFORE}")
        service.ask("POST", "/api/cache/config", b'{"max_size": 7}', Content_Type="application/json")
        service.ask("POST", "/api/cache/clear", b"{}", Content_Type="application/json")
        wait_for(server, f"{SCRAPED} >= {SCRAPES}")
    finally:
        end.set()
        driver.join(PATIENCE)
    # What the last requests did is seen by the scrapes after them, and by the rules after those.
    wait_for(server, f"{SCRAPED} >= {SCRAPES + 2}")


def wait_for(server: Prometheus, query: str) -> None:
    """Wait until a query gives anything."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            values = server.values(query)
        except OSError:
            values = []  # not listening yet, or not ready
        if values:
            return
        time.sleep(0.1)
    raise AssertionError(f"{query}: nothing within {PATIENCE:.0f} s")


def _traffic(service: Running, exporter: Exporter, end: threading.Event) -> None:
    for number in itertools.count():
        _round(service, number)
        _tell(exporter)
        if end.wait(0.2):
            return


def _round(service: Running, number: int) -> None:
    """A little of everything that a service meets."""
    trace = f"00-{TRACE}-00f067aa0ba902b7-01"
    for _ in range(4):
        service.post("alpha", b"hot", traceparent=trace)
    # Eleven keys for six places: evicted, and generated again.
    for key in range(number, number + 3):
        service.post("alpha", b"key %d" % (key % 11))
    service.post("alpha", b"hot", Cache_Control="no-store")
    service.post("alpha", b"key 0", Cache_Control="no-cache")
    service.post("alpha", b"never made", Cache_Control="only-if-cached")
    service.post("alpha", b"fail %d" % number)
    # One leads and one waits for it; of the two others, one finds no room.
    together = [service.posting("alpha", b"both %d" % number) for _ in range(2)]
    together += [service.posting("beta", b"%d of %d" % (index, number)) for index in range(3)]
    for reply in together:
        reply.result(PATIENCE)


def _tell(exporter: Exporter) -> None:
    """What a load test counts of such a round: one answer of each outcome, and one failure."""
    exporter.offer(*PHASE, requests=7)
    for outcome in (*OUTCOMES, None):
        exporter.count(*PHASE, Request(time.time(), 0.03, "generate", "one", 200, outcome))
    exporter.count(*PHASE, Request(time.time(), 0.03, "generate", "another", 502, "miss", allowed=False))
