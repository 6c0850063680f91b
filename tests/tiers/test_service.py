"""The service with a disk tier: what a deploy loses (nothing), and what the answers, the API and the metrics say."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recoup.cache.tier import Payload
from recoup.pipelines.protocol import Result
from recoup.pipelines.result_codec import ResultCodec
from recoup.settings import Settings
from recoup.web import create_app
from web.asgi_client import LoopThread, Serving
from web.model_server import model_server
from web.pipelines import Counting
from web.running import PATIENCE, running

from .support import TIME_LIMIT


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


Begin = Callable[[], Serving]


@pytest.fixture
def echo() -> Iterator[Counting]:
    pipeline = Counting("echo", ignore_headers=("authorization", "cookie"))
    yield pipeline
    pipeline.release()


@pytest.fixture
def begin(tmp_path: Path, loop: LoopThread, echo: Counting) -> Iterator[Begin]:
    """Begins the service, after having ended the one before it."""
    begun: list[Serving] = []
    settings = Settings(max_body_mb=8.0, threads=4, wait_seconds=10.0, disk_path=tmp_path / "disk")

    def end() -> None:
        if begun:
            assert begun.pop().application.service.cache.close(TIME_LIMIT)

    def begin() -> Serving:
        end()
        begun.append(Serving(create_app(settings, None, {"echo": echo}), loop))
        return begun[0]

    yield begin
    end()


def post(app: Serving, body: bytes, **headers: str) -> Any:
    return app.test_client().post("/api/generate/echo", data=body, headers=headers)


def test_a_result_answers_after_a_restart_as_it_did_before(begin: Begin, echo: Counting) -> None:
    miss = post(begin(), b"cat")
    app = begin()
    hit = post(app, b"cat")
    assert (miss.data, miss.headers["content-type"], miss.headers["etag"]) == (
        hit.data,
        hit.headers["content-type"],
        hit.headers["etag"],
    )
    status, _, key = hit.headers["cache-status"].partition("; key=")
    assert status in ("recoup; hit; ttl=86399; detail=disk", "recoup; hit; ttl=86400; detail=disk")
    assert "0" == hit.headers["age"]
    again = post(app, b"cat").headers["cache-status"]
    assert "detail" not in again
    assert key in again
    assert 1 == echo.generations
    assert 304 == post(begin(), b"cat", **{"If-None-Match": miss.headers["etag"]}).status_code


def test_the_statistics_tell_of_each_tier(begin: Begin) -> None:
    post(begin(), b"cat")
    app = begin()
    post(app, b"cat")
    client = app.test_client()
    stats = client.get("/api/cache/stats").get_json()
    assert (1, 0) == (stats["hits"], stats["misses"])
    tier = stats["tiers"]["disk"]
    assert (True, 1, 10240 * 2**20) == (tier["up"], tier["entries"], tier["limit_bytes"])
    assert {"hit": 1, "miss": 0, "error": 0, "skipped": 0} == tier["lookups"]


def test_the_metrics_tell_of_each_tier(begin: Begin) -> None:
    app = begin()
    post(app, b"cat")
    labels = ("tier", "pipeline", "result")
    families = {
        (sample.name, *(sample.labels[label] for label in labels if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(app.test_client().get("/metrics").get_data(as_text=True))
        for sample in family.samples
        if sample.name.startswith("recoup_tier_")
    }
    assert 1 == families["recoup_tier_up", "disk"]
    assert 1 == families["recoup_tier_lookups_total", "disk", "echo", "miss"]
    assert 0 == families["recoup_tier_lookups_total", "disk", "echo", "hit"]
    assert 0 == families["recoup_tier_corrupt_total", "disk"]


def test_an_entry_on_disk_is_described_and_deleted_as_one_in_memory(begin: Begin) -> None:
    key = post(begin(), b"cat").headers["cache-status"].rpartition('key="')[2].rstrip('"')
    app = begin()
    client = app.test_client()
    entry = client.get(f"/api/cache/entries/{key}").get_json()
    assert ("disk", "echo", "text/x-echo") == (entry["tier"], entry["pipeline"], entry["content_type"].split(";")[0])
    assert 0 == client.get("/api/cache/stats").get_json()["tiers"]["disk"]["lookups"]["hit"]
    assert 204 == client.delete(f"/api/cache/entries/{key}").status_code
    assert 404 == client.get(f"/api/cache/entries/{key}").status_code
    assert 404 == client.delete(f"/api/cache/entries/{key}").status_code
    assert "detail=cold" in post(begin(), b"cat").headers["cache-status"]


def test_what_was_cleared_does_not_come_back(begin: Begin) -> None:
    app = begin()
    post(app, b"cat")
    assert {"cleared": 1} == app.test_client().post("/api/cache/clear").get_json()
    assert "fwd=uri-miss" in post(begin(), b"cat").headers["cache-status"]


def test_only_if_cached_takes_what_is_on_disk(begin: Begin) -> None:
    post(begin(), b"cat")
    app = begin()
    assert 200 == post(app, b"cat", **{"Cache-Control": "only-if-cached"}).status_code
    assert 504 == post(app, b"dog", **{"Cache-Control": "only-if-cached"}).status_code


def test_a_bypass_leaves_the_tier_alone(begin: Begin, echo: Counting) -> None:
    post(begin(), b"cat")
    app = begin()
    post(app, b"cat", **{"Cache-Control": "no-store"})
    assert 2 == echo.generations
    assert 0 == app.test_client().get("/api/cache/stats").get_json()["tiers"]["disk"]["lookups"]["hit"]


# --- the codec


@pytest.mark.parametrize(
    "result",
    [
        Result(b"", "text/plain"),
        Result(b"body", "text/plain; charset=utf-8", headers=((b"openai-model", b"\xff"), (b"x", b""))),
        Result(b"none", "application/json", status=404, refused=True),
    ],
    ids=["empty", "headers", "status"],
)
def test_results_come_back_whole(result: Result) -> None:
    codec = ResultCodec()
    assert result == codec.from_payload(codec.to_payload(result))


@pytest.mark.parametrize(
    "value",
    [b"bytes", None, Result(b"", "a/b", storable=False), Result(b"", "a/b", shared=False), Payload(b"")],
    ids=["bytes", "none", "not storable", "not shared", "payload"],
)
def test_what_is_for_one_caller_alone_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        ResultCodec().to_payload(value)


# --- a pipeline's own path, and streams

_PIPELINES = """
[pipelines.chat]
kind = "http"
url = "{url}/v1/chat/completions"
path = "/v1/chat/completions"
key_headers = ["Authorization"]
stream_end = ["[DONE]"]
keep_headers = ["OpenAI-*"]
compress = "{compress}"
"""


@pytest.mark.parametrize("compress", ["auto", "never"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_upstream_s_answer_is_replayed_byte_for_byte_after_a_restart(
    tmp_path: Path, loop: LoopThread, compress: str, stream: bool
) -> None:
    with model_server() as server:
        file = tmp_path / "pipelines.toml"
        file.write_text(_PIPELINES.format(url=server.url, compress=compress))
        body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hi"}], "stream": stream})

        def ask() -> Any:
            app = create_app(Settings(disk_path=tmp_path / "disk", pipelines=file, workers=1, grace_seconds=0.0))
            client = Serving(app, loop).test_client()
            answer = client.post(
                "/v1/chat/completions",
                data=body,
                headers={"Authorization": "Bearer a", "Content-Type": "application/json"},
            )
            content = answer.get_data()
            for pipeline in app.service.pipelines.values():
                loop.run(pipeline.close(0.0))
            assert app.service.cache.close(TIME_LIMIT)
            return answer, content

        (miss, first), (hit, second) = ask(), ask()
        assert (200, 200) == (miss.status_code, hit.status_code)
        assert "detail=disk" in hit.headers["cache-status"]
        assert first == second
        assert miss.headers["content-type"] == hit.headers["content-type"]


# --- as a user starts it


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_one_variable_keeps_results_over_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    bodies = [b"%d" % number * 1000 for number in range(50)]
    with running(tmp_path, RECOUP_DISK_PATH=str(tmp_path / "disk")) as service:
        for body in bodies:
            assert 200 == service.post("quick", body).status
        again = [service.post("quick", body).headers["cache-status"] for body in bodies]
        assert [] == [status for status in again if not status.startswith("recoup; hit")]
        _wait_until_written(service)
        if end == signal.SIGKILL:
            asyncio.run(_kill_all(service))
        else:
            service.signal(end)
            assert 0 == service.wait()
    with running(tmp_path, RECOUP_DISK_PATH=str(tmp_path / "disk")) as service:
        statuses = [service.post("quick", body).headers["cache-status"] for body in bodies]
        assert [] == [status for status in statuses if "detail=disk" not in status]


def _wait_until_written(service: Any) -> None:
    import threading

    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if json.loads(service.ask("GET", "/api/cache/stats").body)["tiers"]["disk"]["queue_bytes"] == 0:
            return
        pause.wait(0.01)
    raise AssertionError("the queue does not empty")


async def _kill_all(service: Any) -> None:
    """The serving process and its parent, at one time."""
    import os

    import psutil

    parent = psutil.Process(service.process.pid)
    children = parent.children(recursive=True)
    for process in [parent, *children]:
        os.kill(process.pid, signal.SIGKILL)
    service.wait()
    psutil.wait_procs(children, PATIENCE)
