"""What is told of hits, which are too many for the common way, is the same and as exact."""

from __future__ import annotations

import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from recoup import LRUCache
from recoup.settings import Settings
from recoup.telemetry import HttpCounter, configure_logging
from recoup.telemetry.request_log import RateLimit

from .asgi_client import Serving
from .conftest import Serve
from .pipelines import Clock, Counting
from .running import PIPELINES

URL = "/api/generate/echo"


def test_many_requests_of_one_kind_are_counted_at_once() -> None:
    http = HttpCounter()
    http.count("/x", "POST", 200)
    http.add("/x", "POST", 200, 3)
    assert {("/x", "POST", "200"): 4} == http.counts()


def test_refusals_that_nobody_asked_for_are_told_with_the_next_pass() -> None:
    clock = Clock()
    limit = RateLimit(1.0, clock)
    assert (0.0, 0) == (limit.closed_seconds(), limit.take())
    assert limit.closed_seconds() == pytest.approx(1.0, abs=1e-3)
    limit.refused(3)
    clock.advance(1.1)
    assert (0.0, 3) == (limit.closed_seconds(), limit.take())


def test_hits_are_told_of_exactly_under_threads(app: Serving, cache: LRUCache) -> None:
    """More hits than the buffer holds, while statistics are read."""
    app.test_client().post(URL, data=b"cat")

    def hit_often(_: int) -> None:
        client = app.test_client()
        for _ in range(400):
            client.post(URL, data=b"cat")
        cache.stats()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hit_often, range(8)))
    stats = cache.stats()
    assert (3200, 3200) == (stats.hits, stats.histograms["echo"].request_duration["hit"].count)
    metrics = app.test_client().get("/metrics").text
    assert 'recoup_http_requests_total{method="POST",route="/api/generate/<pipeline>",status="200"} 3201.0' in metrics
    assert 0 == stats.internal_errors.get("telemetry", 0)


def test_hits_of_several_pipelines_and_statuses_are_told_apart(app: Serving, cache: LRUCache) -> None:
    client = app.test_client()
    etag = client.post(URL, data=b"cat").headers["ETag"]
    client.post("/api/generate/brief", data=b"cat")
    for number in range(300):
        client.post(URL, data=b"cat", headers={"If-None-Match": etag} if number % 3 else {})
        if number % 2:
            client.post("/api/generate/brief", data=b"cat")
    histograms = cache.stats().histograms
    assert (300, 150) == tuple(histograms[name].request_duration["hit"].count for name in ("echo", "brief"))
    metrics = client.get("/metrics").text
    counted = 'recoup_http_requests_total{method="POST",route="/api/generate/<pipeline>",status='
    assert f'{counted}"200"}} 252.0' in metrics
    assert f'{counted}"304"}} 200.0' in metrics


def test_hits_past_the_limit_are_counted_on_the_next_line(app: Serving, cache: LRUCache) -> None:
    with capture_logs() as lines:
        for _ in range(40):
            app.test_client().post(URL, data=b"cat")
        app.test_client().post(URL, data=b"dog")
    hits = [line for line in lines if line.get("outcome") == "hit"]
    assert 10 <= len(hits) < 39
    assert 39 == cache.stats().hits
    assert {"pipeline": "echo", "status": 200, "bytes": 8, "path": URL}.items() <= hits[0].items()
    assert 39 == sum(it.count for it in [cache.stats().histograms["echo"].request_duration["hit"]])


def test_a_log_line_of_a_hit_is_that_of_a_miss_with_its_own_outcome(app: Serving) -> None:
    with capture_logs() as lines:
        for _ in range(2):
            app.test_client().post(URL, data=b"cat", headers={"X-Request-Id": "mine"})
    miss, hit = lines
    own = {"outcome", "miss_reason", "duration_seconds"}
    assert {name: miss[name] for name in miss.keys() - own} == {name: hit[name] for name in hit.keys() - own}
    assert ("miss", "cold", "hit") == (miss["outcome"], miss["miss_reason"], hit["outcome"])


def test_a_failed_generation_is_logged_with_its_pipeline_its_key_and_its_error(app: Serving, echo: Counting) -> None:
    echo.error = ValueError("oops")
    with capture_logs() as lines:
        app.test_client().post(URL, data=b"cat")
    assert ("echo", 502, 32) == (lines[-1]["pipeline"], lines[-1]["status"], len(lines[-1]["key"]))
    assert "oops" in lines[-1]["error"]


def test_an_application_that_is_given_no_pipelines_starts_and_ends_its_own_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    (tmp_path / "pipelines.toml").write_text(PIPELINES[PIPELINES.index("[pipelines.quick]") :])
    app = serve(Settings(pipelines=tmp_path / "pipelines.toml"))
    client = app.test_client()
    assert 503 == client.get("/readyz").status_code
    with app.living():
        assert b"cat" == client.post("/api/generate/quick", data=b"cat").data
    assert [False] == [pipeline.ready() for pipeline in app.service.pipelines.values()]


def test_a_record_on_the_way_to_an_answer_tells_whose_it_is(
    serve: Serve, settings: Settings, pipelines: dict[str, Counting]
) -> None:
    """A part that fails open logs with the id of the request that met it; the next request has its own."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("json", stream=stream)
    try:
        client = serve(settings, LRUCache(sizer=lambda value: 1 // 0), pipelines).test_client()
        for name in ("first", "second"):
            client.post(URL, data=name, headers={"X-Request-Id": name})
    finally:
        logging.captureWarnings(False)
        structlog.reset_defaults()
        root.handlers[:], level = before
        root.setLevel(level)
    failures = [record for record in map(json.loads, stream.getvalue().splitlines()) if record.get("part") == "sizer"]
    assert ["first", "second"] == [record["request_id"] for record in failures]


def test_that_credentials_keep_callers_from_the_cache_is_said_once_for_each_pipeline(
    app: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    client = app.test_client()
    for _ in range(3):
        client.post("/api/generate/private", data=b"cat", headers={"Authorization": "me"})
        client.post("/api/generate/public", data=b"cat", headers={"Cookie": "a=b"})
        client.post("/api/generate/echo", data=b"cat", headers={"Authorization": "me", "Cache-Control": "no-store"})
    said = [it for it in caplog.records if it.message == "requests with credentials bypass the cache"]
    assert ["private", "public"] == [it.pipeline for it in said]  # type: ignore[attr-defined]
