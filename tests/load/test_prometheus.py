"""A real Prometheus, asked directly and through a Grafana; and what is said when it cannot be asked.

Grafana cannot be had here, so a small server stands for it: it asks for the token, and hands queries on, as its data
source proxy does.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from grafana.queries import DASHBOARDS, read
from loadtest import __main__ as command
from loadtest import verdict
from loadtest.panels import HIT_RATIO, LOAD_TEST, MEMORY, Panels
from loadtest.processes import free_port
from loadtest.prometheus import Prometheus, QueryError, ThroughGrafana
from loadtest.result import Result
from loadtest.settings import Settings

from tools import require_tool

PATIENCE = 60.0
TOKEN = "a-token"
BEGIN = 1_800_000_000
#: The last sample is twenty seconds after the first; ten seconds in the middle are missing.
TIMES = (*range(6), *range(16, 21))
RULES = """
groups:
  - name: recoup-headlines
    rules:
      - record: NAME
        expr: sum by (job) (rate(recoup_lookups_total{outcome=~"hit|stale"}[WINDOW]))
"""
INSTANCE = 'job="recoup",instance="127.0.0.1:8080"'
BUILD = 'version="1",python="3.11"'


def samples() -> str:
    lines = ["# TYPE recoup_build_info gauge"]
    lines += [f"recoup_build_info{{{INSTANCE},{BUILD}}} 1 {BEGIN + at}" for at in TIMES]
    lines += ["# TYPE job:recoup_hit_ratio:rate5m gauge"]
    lines += [f'job:recoup_hit_ratio:rate5m{{job="recoup"}} {0.6 + at / 100} {BEGIN + at}' for at in TIMES]
    lines += ["# TYPE job:recoup_speedup:rate5m gauge"]
    lines += [f'job:recoup_speedup:rate5m{{job="recoup"}} NaN {BEGIN + at}' for at in TIMES]
    for name, value in (("process_resident_memory_bytes", 3e8), ("instance:recoup_memory_bytes:sum", 1e8)):
        lines += [f"# TYPE {name} gauge", *(f"{name}{{{INSTANCE}}} {value + at} {BEGIN + at}" for at in TIMES)]
    return "\n".join([*lines, "# EOF", ""])


@contextlib.contextmanager
def prometheus(folder: Path, window: str, record: str = "job:recoup_hit_ratio:rate5m") -> Iterator[str]:
    """One that scrapes nothing, and holds the samples."""
    (folder / "samples.txt").write_text(samples())
    command = [require_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "rules.yml").write_text(RULES.replace("WINDOW", window).replace("NAME", record))
    # The rule is never evaluated: what it records stands in the samples.
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1d}\nrule_files: [rules.yml]\n")
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                require_tool("prometheus"),
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _ready(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(PATIENCE)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=PATIENCE):
            return
        time.sleep(0.05)
    raise AssertionError(f"not ready: {log.read_text()}")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), "150s") as address:
        yield address


class Grafana(ThreadingHTTPServer):
    """What of Grafana's API is used."""

    def __init__(self, prometheus: str) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.prometheus = prometheus
        self.dashboards = {read(path)["uid"] for path in DASHBOARDS.glob("*.json")}
        self.annotations: list[dict[str, Any]] = []
        self.sources = [
            {"uid": "logs", "type": "loki", "isDefault": True},
            {"uid": "older", "type": "prometheus", "isDefault": False},
            {"uid": "mine", "type": "prometheus", "isDefault": True},
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.answer(401, {"message": "Invalid API key"})
        elif self.path == "/api/datasources":
            self.answer(200, self.server.sources)
        elif self.path.startswith("/api/datasources/proxy/uid/mine/api/v1/"):
            self.hand_on(self.path.removeprefix("/api/datasources/proxy/uid/mine"))
        else:
            self.answer(404, {"message": "Not found"})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or self.path != "/api/annotations":
            self.answer(403, {"message": "Access denied"})
        elif sent["dashboardUID"] not in self.server.dashboards:
            self.answer(404, {"message": "Dashboard not found"})
        else:
            self.server.annotations.append(sent)
            self.answer(200, {"message": "Annotation added", "id": 1})

    def hand_on(self, path: str) -> None:
        try:
            with urllib.request.urlopen(self.server.prometheus + path, timeout=PATIENCE) as answer:
                self.answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as refused:
            with refused:
                self.answer(refused.code, json.load(refused))

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture
def grafana(url: str) -> Iterator[Grafana]:
    with Grafana(url) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@pytest.fixture(params=["directly", "through Grafana"])
def source(request: pytest.FixtureRequest, url: str, grafana: Grafana) -> Prometheus:
    return Prometheus(url) if request.param == "directly" else ThroughGrafana(grafana.url, TOKEN)


def test_a_moment_has_the_value_that_was_recorded_last(source: Prometheus) -> None:
    (series,) = source.instant("job:recoup_hit_ratio:rate5m", BEGIN + 3.5)
    assert {"__name__": "job:recoup_hit_ratio:rate5m", "job": "recoup"} == series.labels
    assert ((BEGIN + 3.5, 0.63),) == series.points


def test_a_span_has_a_value_at_each_step(source: Prometheus) -> None:
    (series,) = source.range("job:recoup_hit_ratio:rate5m", BEGIN, BEGIN + 4, 2)
    assert ((BEGIN, 0.6), (BEGIN + 2, 0.62), (BEGIN + 4, 0.64)) == series.points


def test_what_nobody_recorded_is_empty(source: Prometheus) -> None:
    assert () == source.instant("nothing", BEGIN + 3)


def test_the_window_is_what_the_loaded_rule_says_not_what_its_name_says(source: Prometheus) -> None:
    # Prometheus tells 150s as 2m30s.
    assert 150 == source.window_seconds()


def test_a_refused_query_says_why(source: Prometheus) -> None:
    with pytest.raises(QueryError, match=r"/api/v1/query answered 400: .*parse error"):
        source.instant("rate(", BEGIN)


def test_samples_show_the_gap_that_a_span_would_fill(source: Prometheus) -> None:
    filled = source.range("recoup_build_info", BEGIN, BEGIN + 20, 1)
    assert 21 == len(filled[0].points)
    (series,) = source.samples("recoup_build_info", BEGIN - 1, BEGIN + 20)
    assert [BEGIN + at for at in TIMES] == [at for at, _ in series.points]


def test_a_panel_gives_its_figure(source: Prometheus) -> None:
    figure = Panels(source, 1.0).at(HIT_RATIO, BEGIN + 2)
    assert (0.62, "Load test: Hit ratio", "") == (figure.value, figure.source, figure.problem)


def test_a_panel_that_shows_nan_has_no_figure(source: Prometheus) -> None:
    figure = Panels(source, 1.0).at((LOAD_TEST, "Speed-up"), BEGIN + 2)
    assert (None, "it shows NaN, which is no figure") == (figure.value, figure.problem)


def test_a_panel_of_two_lines_gives_the_one_that_is_asked_for(source: Prometheus) -> None:
    held = Panels(source, 1.0).over(MEMORY, BEGIN, BEGIN + 5, "accounted")
    assert 1e8 + 5 == held.value
    assert 6 == len(held.points)


def test_when_each_instance_was_scraped(source: Prometheus) -> None:
    assert {"127.0.0.1:8080": [BEGIN + at for at in TIMES]} == Panels(source, 1.0).scrapes(BEGIN - 1, BEGIN + 20)


# Grafana


def test_of_several_data_sources_the_default_prometheus_is_asked(grafana: Grafana) -> None:
    grafana.sources[1]["isDefault"], grafana.sources[2]["isDefault"] = True, False
    with pytest.raises(QueryError, match="proxy/uid/older/api/v1/query answered 404"):
        ThroughGrafana(grafana.url, TOKEN).instant("up", BEGIN)


def test_a_data_source_can_be_named(grafana: Grafana) -> None:
    grafana.sources.clear()
    assert 150 == ThroughGrafana(grafana.url, TOKEN, "mine").window_seconds()


def test_a_grafana_without_a_prometheus_says_so(grafana: Grafana) -> None:
    del grafana.sources[1:]
    with pytest.raises(QueryError, match="has no data source of type Prometheus"):
        ThroughGrafana(grafana.url, TOKEN)


def test_a_wrong_token_is_refused(grafana: Grafana) -> None:
    with pytest.raises(QueryError, match=r"/api/datasources answered 401: .*Invalid API key"):
        ThroughGrafana(grafana.url, "another")


def test_a_run_is_marked_on_every_dashboard(grafana: Grafana) -> None:
    marked = ThroughGrafana(grafana.url, TOKEN).annotate(BEGIN, BEGIN + 9.5, "It held", ["loadtest"])
    assert len(grafana.dashboards) == marked == len(grafana.annotations) > 1
    assert grafana.dashboards == {annotation.pop("dashboardUID") for annotation in grafana.annotations}
    expected = {"time": BEGIN * 1000, "timeEnd": BEGIN * 1000 + 9500, "text": "It held", "tags": ["loadtest"]}
    assert [expected] * marked == grafana.annotations


def test_a_dashboard_that_is_not_there_is_told(grafana: Grafana) -> None:
    grafana.dashboards.clear()
    with pytest.raises(QueryError, match=r"/api/annotations answered 404: .*Dashboard not found"):
        ThroughGrafana(grafana.url, TOKEN).annotate(BEGIN, BEGIN + 1, "It held")


def test_the_verdict_asks_through_grafana_and_marks_the_run(
    grafana: Grafana, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"line": "run", "at": BEGIN, "settings": Settings(scenarios=("single",)).to_mapping()},
        {"line": "begin", "scenario": "single", "part": "cached", "at": BEGIN, "counters": {}},
        {"line": "end", "scenario": "single", "part": "cached", "at": BEGIN + 4, "counters": {}},
        {"line": "done", "at": BEGIN + 5, "locust": {}},
    ]
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("GRAFANA_URL", grafana.url)
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    assert command.EXIT_FAILED == command.main(["--journal", str(path), "--json", "--output", str(tmp_path)])
    result = Result.from_json(capsys.readouterr().out)
    assert "150 s" == result.environment["window of the recorded rules"]
    assert {verdict.headline(result)} == {annotation["text"] for annotation in grafana.annotations}
    assert (BEGIN * 1000, (BEGIN + 5) * 1000) == (grafana.annotations[0]["time"], grafana.annotations[0]["timeEnd"])


# What cannot be asked


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(QueryError, match="begins with http"):
        Prometheus("127.0.0.1:9090")


def test_nobody_there_is_one_clear_error() -> None:
    with pytest.raises(QueryError, match=r"http://127.0.0.1:1/api/v1/query cannot be asked: .*refused"):
        Prometheus("http://127.0.0.1:1").instant("up", BEGIN)


def test_somebody_else_there_is_told_from_a_prometheus(url: str, grafana: Grafana) -> None:
    with pytest.raises(QueryError, match="answered 401"):
        Prometheus(grafana.url).instant("up", BEGIN)
    with pytest.raises(QueryError, match="answered 404"):
        Prometheus(f"{url}/nowhere").instant("up", BEGIN)


def test_a_prometheus_without_our_rules_has_no_window(tmp_path: Path) -> None:
    with (
        prometheus(tmp_path, "5m", record="another") as address,
        pytest.raises(QueryError, match="Prometheus has no rule job:recoup_hit_ratio:rate5m"),
    ):
        Prometheus(address).window_seconds()
