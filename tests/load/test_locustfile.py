"""Locust itself plays a workload against a real service; and what becomes of a run that cannot be played.

Locust runs in processes of its own: it patches the standard library when it is imported.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from loadtest import journal
from loadtest.journal import Phase, Run
from loadtest.service import counters

from project.serving import PATIENCE, Service, free_port, serving

ROOT = Path(__file__).parents[2]
#: Small enough for a test, and otherwise as a run has it.
SMALL = {"cache_entries": 10, "catalogue": 40, "duration_seconds": 3.0, "users": 2, "scrape_seconds": 0.1}


def command(*options: str) -> list[str]:
    file = str(ROOT / "loadtest" / "locustfile.py")
    return [sys.executable, "-m", "locust", "-f", file, "--headless", "--only-summary", *options]


def environment(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return kept | {"PYTHONPATH": str(ROOT), "LOADTEST_METRICS_PORT": "0"} | given


def locust(folder: Path, *options: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options), cwd=folder, env=environment(**given), capture_output=True, text=True, timeout=PATIENCE
    )


def play(folder: Path, url: str, settings: Mapping[str, Any]) -> tuple[subprocess.CompletedProcess[str], Run]:
    """A whole run, and what its journal says."""
    path = folder / "journal.jsonl"
    done = locust(folder, "--host", url, LOADTEST_SETTINGS=json.dumps(settings), LOADTEST_JOURNAL=str(path))
    return done, journal.read(journal.lines(path))


@contextmanager
def playing(folder: Path, url: str, settings: Mapping[str, Any], **given: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run while it happens; what it says is in `locust.log`."""
    known = {"LOADTEST_SETTINGS": json.dumps(settings), "LOADTEST_JOURNAL": str(folder / "journal.jsonl")}
    with (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(
            command("--host", url), cwd=folder, env=environment(**known, **given), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def differences(phase: Phase, metric: str, label: str) -> dict[str, int]:
    """By one label's value, how much a counter grew in a phase."""
    assert phase.after is not None
    counted: Counter[str] = Counter()
    for series, value in phase.after.items():
        if series.startswith(metric + "{") and (grown := value - phase.before.get(series, 0)):
            counted[series.partition(f'{label}="')[2].partition('"')[0]] += int(grown)
    return dict(counted)


def clients(phase: Phase) -> dict[str, int]:
    """What the senders saw, by outcome."""
    return dict(Counter(str(request.outcome) for request in phase.requests))


@contextmanager
def service(folder: Path) -> Iterator[Service]:
    with serving(sys.executable, "-m", "recoup", "serve", folder=folder) as running:
        yield running


def config(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/cache/config", timeout=PATIENCE) as answer:
        return dict(json.load(answer))


class Played:
    """One run of `typical`, for all tests of what it leaves behind."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        settings = {**SMALL, "scenarios": ["typical"]}
        with service(folder) as running:
            self.before = config(running.url)
            with playing(folder, running.url, settings, LOADTEST_METRICS_PORT=str(port)) as process:
                counted = 'recoup_loadtest_requests_total{outcome="bypass",part="without",scenario="typical"}'
                self.scraped = _scraped_until(process, port, counted)
                self.status = process.wait(PATIENCE)
            self.after = config(running.url)
        self.output = (folder / "locust.log").read_text(errors="replace")
        self.run = journal.read(journal.lines(folder / "journal.jsonl"))


@pytest.fixture(scope="module")
def typical(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("typical"))


def test_a_run_that_went_well_ends_with_zero(typical: Played) -> None:
    assert 0 == typical.status, typical.output


def test_every_phase_is_whole_and_they_follow_one_another(typical: Played) -> None:
    parts = ("warm", "cached", "without")
    assert [("typical", part) for part in parts] == [(phase.scenario, phase.part) for phase in typical.run.phases]
    times = [time for phase in typical.run.phases for time in (phase.begin, phase.end)]
    assert sorted(times) == times
    assert typical.run.end is not None
    assert all(phase.requests and phase.after is not None for phase in typical.run.phases)


def test_every_request_lies_within_its_phase(typical: Played) -> None:
    for phase in typical.run.phases:
        assert phase.begin <= min(request.at for request in phase.requests)
        assert max(request.at + request.seconds for request in phase.requests) <= phase.end


def test_the_service_counts_what_its_callers_saw(typical: Played) -> None:
    for phase in typical.run.phases:
        assert clients(phase) == differences(phase, "recoup_lookups_total", "outcome")
    warm, cached, without = typical.run.phases
    assert dict.fromkeys(("miss", "bypass"), SMALL["cache_entries"]) == clients(warm)
    assert {"bypass"} == set(clients(without))
    assert {"hit", "miss"} <= set(clients(cached))


def test_locust_counts_what_the_journal_has(typical: Played) -> None:
    for phase in typical.run.phases:
        assert (len(phase.requests), 0) == (phase.locust_requests, phase.locust_failures)


def test_equal_requests_have_equal_answers(typical: Played) -> None:
    digests: dict[str, set[str]] = {}
    for request in (request for phase in typical.run.phases for request in phase.requests):
        assert (200, True, None) == (request.status, request.allowed, request.error)
        assert request.bytes > 100_000
        digests.setdefault(request.item, set()).add(request.digest)
    assert {1} == {len(counted) for counted in digests.values()}
    assert len(digests) == len(set.union(*digests.values())) > SMALL["cache_entries"]


def test_a_generation_is_told_where_there_was_one(typical: Played) -> None:
    for request in (request for phase in typical.run.phases for request in phase.requests):
        assert (request.outcome in ("miss", "bypass")) == (request.generation_seconds is not None)


def test_what_was_done_before_a_phase_stands_with_it(typical: Played) -> None:
    warm, *others = typical.run.phases
    assert ["Configure", "Clear"] == [action.action.split()[0] for action in warm.actions]
    assert [["Settle"], ["Settle"]] == [[action.action for action in phase.actions] for phase in others]
    assert [None, None] == [action.error for action in warm.actions]


def test_the_service_has_its_configuration_back(typical: Played) -> None:
    assert typical.before == typical.after
    assert SMALL["cache_entries"] != typical.after["max_size"]


def test_its_figures_can_be_scraped_while_it_runs(typical: Played) -> None:
    """The exporter's server works in a process whose standard library Locust has patched."""
    assert 2.0 == typical.scraped["recoup_loadtest_users"]
    phases = [f'recoup_loadtest_phase{{part="{part}",scenario="typical"}}' for part in ("warm", "without")]
    assert [0.0, 1.0] == [typical.scraped[phase] for phase in phases]


def _scraped_until(process: subprocess.Popen[bytes], port: int, name: str) -> dict[str, float]:
    """The first scrape in which a counter has counted."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
                counted = counters(answer.read().decode())
        except OSError:  # not there yet
            counted = {}
        if counted.get(name):
            return counted
        time.sleep(0.01)
    raise AssertionError(f"it ended with {process.returncode} before anything was counted")


def test_a_fault_without_anybody_to_bring_it_about_is_refused(tmp_path: Path) -> None:
    done = locust(tmp_path, "--host", "http://127.0.0.1:9", "--scenario", "kill-worker,single")
    assert 2 == done.returncode
    assert "kill-worker: these need processes of the run's own" in done.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "options", "settings"),
    [
        pytest.param("unknown scenario nonsense", ("--scenario", "nonsense"), {}, id="unknown scenario"),
        pytest.param("users=0: expected", (), {"users": 0}, id="unusable setting"),
        pytest.param("unknown setting colour", (), {"colour": "red"}, id="unknown setting"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    tmp_path: Path, message: str, options: tuple[str, ...], settings: Mapping[str, Any]
) -> None:
    done = locust(tmp_path, "--host", "http://127.0.0.1:9", *options, LOADTEST_SETTINGS=json.dumps(settings))
    assert (2, True) == (done.returncode, message in done.stderr), done.stderr


def test_a_run_without_a_service_ends_with_one_and_says_why(tmp_path: Path) -> None:
    port = free_port()
    done = locust(tmp_path, "--host", f"http://127.0.0.1:{port}", "--scenario", "single")
    assert 1 == done.returncode
    assert "GET /api/cache/config was answered with nothing" in done.stderr
    # Without a journal's path it is written here, and has a beginning and no more.
    assert None is journal.read(journal.lines(tmp_path / "build" / "loadtest" / "journal.jsonl")).end


class Broken(BaseHTTPRequestHandler):
    """A service that manages well and generates badly: a real one does not do this on demand."""

    protocol_version = "HTTP/1.1"
    answers = ("cut off", "closed", "no HTTP", "whole")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        known = {"/metrics": "up 1\n", "/api/cache/config": json.dumps({**CONFIG, "enabled": True})}
        self._answer(known[self.path].encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/api/generate/"):
            return self._answer(b"{}")
        server = self.server
        assert isinstance(server, BrokenServer)
        return self._break(self.answers[server.next() % len(self.answers)])

    def _break(self, how: str) -> None:
        if how == "whole":
            return self._answer(b"mesh")
        if how == "cut off":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nmesh")
        elif how == "no HTTP":
            self.wfile.write(b"nonsense\r\n\r\n")
        self.close_connection = True
        return None

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


CONFIG = {"max_size": 1000, "max_memory_mb": 512, "ttl_seconds": None}


class BrokenServer(ThreadingHTTPServer):
    """Counts along."""

    generations = 0
    lock = threading.Lock()

    def next(self) -> int:
        with self.lock:
            self.generations += 1
            return self.generations - 1


@contextmanager
def broken() -> Iterator[BrokenServer]:
    server = BrokenServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def test_broken_answers_are_failures_and_the_run_goes_on(tmp_path: Path) -> None:
    """Each sent once: a request that was lost is not sent again in silence."""
    with broken() as server:
        assert isinstance(server, socketserver.BaseServer)
        settings = {**SMALL, "users": 1, "scenarios": ["single"]}
        done, run = play(tmp_path, f"http://127.0.0.1:{server.server_port}", settings)
    requests = [request for phase in run.phases for request in phase.requests]
    assert 1 == done.returncode
    assert server.generations == len(requests) == sum(phase.locust_requests for phase in run.phases)
    assert run.end is not None
    by_answer = [set(requests_of) for requests_of in _by_answer(requests)]
    assert [{(0, False)}] * 3 + [{(200, True)}] == by_answer
    failed = len(requests) * 3 // 4
    assert failed == sum(phase.locust_failures for phase in run.phases)
    assert failed == sum(bool(request.error) for request in requests)


def _by_answer(requests: list[journal.Request]) -> list[list[tuple[int, bool]]]:
    kinds = len(Broken.answers)
    return [[(request.status, request.allowed) for request in requests[kind::kinds]] for kind in range(kinds)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_is_broken_off_gives_the_configuration_back(tmp_path: Path, number: signal.Signals) -> None:
    settings = {**SMALL, "duration_seconds": PATIENCE, "scenarios": ["typical"]}
    with service(tmp_path) as running:
        before = config(running.url)
        with playing(tmp_path, running.url, settings) as process:
            while config(running.url) == before:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            assert 1 == process.wait(PATIENCE)
        assert before == config(running.url)
    assert None is journal.read(journal.lines(tmp_path / "journal.jsonl")).end
