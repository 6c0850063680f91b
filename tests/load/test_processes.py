"""The processes of a run: real ones, started, asked, ended and started again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from loadtest.processes import ProcessError, Prometheus, Server, Service, free_port, started

from tools import require_tool


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service"), {"RECOUP_WORKERS": "1", "CACHE_MAX_SIZE": "7"})
    with started(service):
        yield service


class TestService:
    def test_it_has_the_settings_of_the_run(self, service: Service) -> None:
        assert 7 == json.loads(get(f"{service.url}/api/cache/config"))["max_size"]

    def test_a_killed_worker_is_a_generation_worker(self, service: Service) -> None:
        before = {process.pid for process in psutil.Process(service.pid).children(recursive=True)}
        assert service.kill_worker() in before
        assert "7" in get(f"{service.url}/api/cache/config")

    def test_it_ends_with_0_and_can_be_started_again_on_its_port(self, service: Service) -> None:
        first = service.pid
        assert 0 == service.stop()
        service.start()
        assert first != service.pid
        assert "7" in get(f"{service.url}/api/cache/config")


class TestServer:
    def test_one_that_ends_at_its_start_says_why(self, tmp_path: Path) -> None:
        service = Service(tmp_path, {"CACHE_MAX_SIZE": "many"})
        with pytest.raises(ProcessError, match="CACHE_MAX_SIZE"):
            service.start()
        assert 2 == service.stop()

    def test_one_that_never_ran_has_no_process(self, tmp_path: Path) -> None:
        server = Server("nothing", ["true"], tmp_path / "log")
        assert 0 == server.stop()
        with pytest.raises(ProcessError, match="nothing does not run"):
            _ = server.pid

    def test_what_was_started_is_ended_though_the_next_does_not_start(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        good = Service(tmp_path / "a", {"RECOUP_WORKERS": "1"})
        bad = Service(tmp_path / "b", {"CACHE_MAX_SIZE": "0"})
        with pytest.raises(ProcessError), started(good, bad):
            pytest.fail("both started")
        with pytest.raises(ProcessError, match="does not run"):
            _ = good.pid


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    require_tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    prometheus = Prometheus(folder, {"recoup": free_port()}, scrape_seconds=0.5, shorter_by=4)
    with started(prometheus):
        yield prometheus


class TestPrometheus:
    def rules(self, prometheus: Prometheus) -> dict[str, str]:
        groups = json.loads(get(f"{prometheus.url}/api/v1/rules?type=record"))["data"]["groups"]
        return {rule["name"]: rule["query"] for group in groups for rule in group["rules"]}

    def test_its_rules_look_back_as_long_as_the_steady_state_lasts(self, prometheus: Prometheus) -> None:
        assert "[1m15s]" in self.rules(prometheus)["job:recoup_hit_ratio:rate5m"]

    def test_it_says_when_it_has_scraped_a_target(self, service: Service, tmp_path: Path) -> None:
        port = int(service.url.rpartition(":")[2])
        prometheus = Prometheus(tmp_path, {"recoup": port}, scrape_seconds=0.5, shorter_by=4)
        with started(prometheus):
            prometheus.wait_until_scraped("recoup")
            assert '"health":"up"' in get(f"{prometheus.url}/api/v1/targets")

    def test_stopped_and_started_again_it_has_its_data_still(self, prometheus: Prometheus) -> None:
        prometheus.stop()
        with pytest.raises(ProcessError, match="does not run"):
            _ = prometheus.pid
        prometheus.start()
        assert self.rules(prometheus)

    def test_without_the_tool_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ProcessError, match="apt-get install prometheus"):
            Prometheus(tmp_path, {}, scrape_seconds=1, shorter_by=1)
