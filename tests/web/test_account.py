"""What is told of hits, which are too many for the common way, is the same and as exact."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from structlog.testing import capture_logs

from recoup import LRUCache
from recoup.settings import Settings
from recoup.telemetry import HttpCounter
from recoup.telemetry.request_log import RateLimit
from recoup.web import create_app

from .pipelines import Clock, Counting
from .running import PIPELINES

URL = "/api/generate/echo"


def test_a_counter_of_one_kind_counts_with_all_others() -> None:
    http = HttpCounter()
    hit = http.counter("/x", "POST", 200)
    for _ in range(3):
        hit()
    http.count("/x", "POST", 200)
    assert {("/x", "POST", "200"): 4} == http.counts()


def test_a_counter_of_one_kind_is_exact_under_threads() -> None:
    http = HttpCounter()
    hit = http.counter("/x", "POST", 200)

    def count_many(_: int) -> None:
        for _ in range(5000):
            hit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_many, range(8)))
    assert {("/x", "POST", "200"): 40_000} == http.counts()


def test_a_refusal_that_was_only_asked_for_counts_as_one() -> None:
    clock = Clock()
    limit = RateLimit(1.0, clock)
    assert (False, 0) == (limit.refuses(), limit.take())
    assert [True, True, True] == [limit.refuses() for _ in range(3)]
    clock.advance(1.1)
    assert (False, 3) == (limit.refuses(), limit.take())


def test_hits_past_the_limit_are_counted_on_the_next_line(app: Flask, cache: LRUCache) -> None:
    with capture_logs() as lines:
        for _ in range(40):
            app.test_client().post(URL, data=b"cat")
        app.test_client().post(URL, data=b"dog")
    hits = [line for line in lines if line.get("outcome") == "hit"]
    assert 10 <= len(hits) < 39
    assert 39 == cache.stats().hits
    assert {"pipeline": "echo", "status": 200, "bytes": 8, "path": URL}.items() <= hits[0].items()
    assert 39 == sum(it.count for it in [cache.stats().histograms["echo"].request_duration["hit"]])


def test_a_log_line_of_a_hit_is_that_of_a_miss_with_its_own_outcome(app: Flask) -> None:
    with capture_logs() as lines:
        for _ in range(2):
            app.test_client().post(URL, data=b"cat", headers={"X-Request-Id": "mine"})
    miss, hit = lines
    own = {"outcome", "miss_reason", "duration_seconds"}
    assert {name: miss[name] for name in miss.keys() - own} == {name: hit[name] for name in hit.keys() - own}
    assert ("miss", "cold", "hit") == (miss["outcome"], miss["miss_reason"], hit["outcome"])


def test_a_failed_generation_is_logged_with_its_pipeline_its_key_and_its_error(app: Flask, echo: Counting) -> None:
    echo.error = ValueError("oops")
    with capture_logs() as lines:
        app.test_client().post(URL, data=b"cat")
    assert ("echo", 502, 32) == (lines[-1]["pipeline"], lines[-1]["status"], len(lines[-1]["key"]))
    assert "oops" in lines[-1]["error"]


def test_an_application_that_is_given_no_pipelines_starts_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", lambda function, *given: at_exit.append(lambda: function(*given)))
    monkeypatch.syspath_prepend(Path(__file__).parent)
    (tmp_path / "pipelines.toml").write_text(PIPELINES[PIPELINES.index("[pipelines.quick]") :])
    client = create_app(Settings(pipelines=tmp_path / "pipelines.toml")).test_client()
    try:
        assert b"cat" == client.post("/api/generate/quick", data=b"cat").data
    finally:
        for end in at_exit:
            end()
    assert 503 == client.get("/readyz").status_code
