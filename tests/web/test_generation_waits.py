"""Generation over HTTP: what fails, who waits for whom, and what of both is recorded."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from recoup import LRUCache
from recoup.errors import QueueFullError, UnprocessableError
from recoup.pipelines.protocol import Prepared, Request
from recoup.settings import Settings

from .asgi_client import Client, Serving
from .conftest import Serve
from .counts import outcomes
from .pipelines import LIMIT_SECONDS, Counting

URL = "/api/generate/echo"


class Job:
    """What a pipeline needs to generate; unlike a request, it can be watched."""

    def __init__(self, body: bytes, headers: Any) -> None:
        self.body = body
        self.headers = headers


class TestFailures:
    @pytest.mark.parametrize("error", [UnprocessableError("not an image"), ValueError("oops")], ids=["ours", "foreign"])
    def test_a_failed_request_is_gone_without_the_collector(
        self, app: Serving, echo: Counting, error: Exception
    ) -> None:
        """An error and its traceback would hold each other, and with them the body, until a full collection."""
        jobs: list[weakref.ref[Any]] = []
        original = echo.prepare

        def prepare(request: Request) -> Prepared:
            prepared = original(request)
            job = Job(request.body, request.headers)
            jobs.append(weakref.ref(job))
            return Prepared(prepared.canonical, job)

        echo.prepare = prepare  # type: ignore[method-assign]
        gc.collect()
        gc.disable()
        try:
            for number in range(5):
                echo.error = type(error)(*error.args)
                assert _post(app, b"%d" % number).status_code in (422, 502)
            echo.error = None
            _post(app, b"the last one")  # whatever the loop still had of the one before
            assert [None] * 5 == [job() for job in jobs[:5]]
        finally:
            gc.enable()

    def test_followers_of_a_failure_get_it_with_its_status_and_headers(self, app: Serving, echo: Counting) -> None:
        echo.hold()
        echo.error = QueueFullError("the upstream is full", retry_after_seconds=7)
        asked = [app.asking(URL, b"cat")]
        echo.wait_until_generating()
        asked += [app.asking(URL, b"cat") for _ in range(3)]
        _wait_until(lambda: app.service.admission.waiting == 4)
        echo.release()
        for caller in asked:
            caller.wait()
        assert [503] * 4 == [caller.exchange.status for caller in asked]
        assert [b"7"] * 4 == [dict(caller.exchange.headers)[b"retry-after"] for caller in asked]
        assert 1 == len({b"".join(caller.exchange.body) for caller in asked})

    def test_what_the_callers_of_a_failure_waited_is_recorded_with_the_outcome_of_their_lookups(
        self, app: Serving, cache: LRUCache, echo: Counting
    ) -> None:
        """Else the speed-up would look the better, the more callers time out."""
        echo.hold()
        echo.error = ValueError("oops")
        asked = [app.asking(URL, b"cat")]
        echo.wait_until_generating()
        asked += [app.asking(URL, b"cat") for _ in range(3)]
        _wait_until(lambda: app.service.admission.waiting == 4)
        echo.release()
        for caller in asked:
            caller.wait()
        assert {"miss": 1, "coalesced": 3} == _waited(cache)

    @pytest.mark.parametrize(
        ("headers", "enabled", "outcome"),
        [({}, True, "miss"), ({"Cache-Control": "no-store"}, True, "bypass"), ({}, False, "bypass")],
        ids=["miss", "no-store", "disabled"],
    )
    def test_the_wait_for_a_failure_counts_as_its_lookup_does(
        self, app: Serving, cache: LRUCache, echo: Counting, headers: dict[str, str], enabled: bool, outcome: str
    ) -> None:
        cache.configure(enabled=enabled)
        echo.error = ValueError("oops")
        assert 502 == app.test_client().post(URL, data=b"cat", headers=headers).status_code
        assert {outcome: 1} == _waited(cache)
        stats = cache.stats().pipelines["echo"]
        assert (1, 1) == (sum(_waited(cache).values()), stats.misses + stats.coalesced + stats.bypassed)

    def test_a_request_that_is_refused_waited_for_no_lookup(self, app: Serving, cache: LRUCache) -> None:
        assert 415 == app.test_client().post(URL, data=b"cat", headers={"Content-Encoding": "br"}).status_code
        assert {} == _waited(cache)


def _waited(cache: LRUCache) -> dict[str, int]:
    """How many waits are recorded, by outcome."""
    durations = cache.stats().histograms["echo"].request_duration
    return {outcome: durations[outcome].count for outcome in durations if durations[outcome].count}


class TestWaiting:
    def test_callers_of_one_key_share_one_generation(self, app: Serving, cache: LRUCache, echo: Counting) -> None:
        echo.hold()
        with ThreadPoolExecutor(8) as pool:
            leader = pool.submit(_post, app, b"cat")
            echo.wait_until_generating()
            followers = [pool.submit(_post, app, b"cat") for _ in range(7)]
            _wait_until(lambda: app.service.admission.waiting == 8)
            echo.release()
            answers = [future.result(LIMIT_SECONDS) for future in (leader, *followers)]
        assert {b"1 of cat"} == {answer.data for answer in answers}
        assert {"recoup; fwd=uri-miss; collapsed"} == {answer.cache_status for answer in answers[1:]}
        assert {"miss": 1, "coalesced": 7} == outcomes(cache)

    def test_a_follower_waits_no_longer_than_its_limit(
        self, serve: Serve, cache: LRUCache, pipelines: dict[str, Counting], echo: Counting
    ) -> None:
        app = serve(Settings(wait_seconds=0.05), cache, pipelines)
        echo.hold()
        with ThreadPoolExecutor(1) as pool:
            leader = pool.submit(_post, app, b"cat")
            echo.wait_until_generating()
            assert 504 == _post(app, b"cat").status_code
            echo.release()
            assert 200 == leader.result(LIMIT_SECONDS).status_code

    def test_a_full_queue_is_503_with_retry_after(self, app: Serving, pipelines: dict[str, Counting]) -> None:
        narrow = pipelines["narrow"]
        narrow.hold()
        with ThreadPoolExecutor(1) as pool:
            leader = pool.submit(_post, app, b"cat", "narrow")
            narrow.wait_until_generating()
            refused = _post(app, b"dog", "narrow")
            narrow.release()
            assert 200 == leader.result(LIMIT_SECONDS).status_code
        assert 503 == refused.status_code
        assert int(refused.headers["Retry-After"]) >= 1

    def test_a_crowd_before_one_key_locks_out_nobody(
        self, serve: Serve, settings: Settings, cache: LRUCache, pipelines: dict[str, Counting], echo: Counting
    ) -> None:
        """Of sixteen places, eight are for the followers of one pipeline: the next one is refused, others are not."""
        app = serve(settings, cache, pipelines, most_waiting=16)
        _post(app, b"stored")
        echo.started.acquire()
        echo.hold()
        with ThreadPoolExecutor(9) as pool:
            waiting = [pool.submit(_post, app, b"cat") for _ in range(9)]
            _wait_until(lambda: app.service.admission.waiting == 9)
            refused, hit = _post(app, b"cat"), _post(app, b"stored")
            cached = app.test_client().post(URL, data=b"stored", headers={"Cache-Control": "only-if-cached"})
            other = _post(app, b"cat", "brief")
            echo.release()
            assert {200} == {future.result(LIMIT_SECONDS).status_code for future in waiting}
        assert (503, 200, 200, 200) == tuple(it.status_code for it in (refused, hit, cached, other))
        assert int(refused.headers["Retry-After"]) >= 1
        assert 1 == cache.stats().pipelines["echo"].generation_failures["queue_full"]

    def test_a_generation_goes_on_when_its_caller_leaves(self, app: Serving, cache: LRUCache, echo: Counting) -> None:
        echo.hold()
        gone = app.asking(URL, b"cat")
        echo.wait_until_generating()
        gone.leave()
        gone.wait()
        echo.release()
        _wait_until(lambda: len(cache) == 1)
        assert (b"1 of cat", 1) == (_post(app, b"cat").data, echo.generations)
        assert 0 == gone.exchange.status

    def test_a_follower_who_leaves_gives_its_place_back(self, app: Serving, echo: Counting) -> None:
        echo.hold()
        leader = app.asking(URL, b"cat")
        echo.wait_until_generating()
        follower = app.asking(URL, b"cat")
        _wait_until(lambda: app.service.admission.waiting == 2)
        follower.leave()
        follower.wait()
        _wait_until(lambda: app.service.admission.waiting == 1)
        echo.release()
        leader.wait()
        assert (200, 0) == (leader.exchange.status, app.service.admission.waiting)

    def test_followers_hold_no_body(self, app: Serving, echo: Counting) -> None:
        echo.hold()
        body = b"x" * 500_000
        asked = [app.asking(URL, body)]
        echo.wait_until_generating()
        asked += [app.asking(URL, body) for _ in range(10)]
        _wait_until(lambda: app.service.admission.waiting == 11)
        _wait_until(lambda: app.service.in_flight.used()["bodies"] == len(body))
        echo.release()
        for caller in asked:
            caller.settle()
        assert [200] * 11 == [caller.exchange.status for caller in asked]
        assert {"bodies": 0, "results": 0, "answers": 0} == app.service.in_flight.used()

    def test_what_answers_its_own_request_alone_answers_nobody_who_waits(
        self, app: Serving, cache: LRUCache, echo: Counting
    ) -> None:
        echo.storable = False
        echo.hold()
        with ThreadPoolExecutor(4) as pool:
            leader = pool.submit(_post, app, b"cat")
            echo.wait_until_generating()
            followers = [pool.submit(_post, app, b"cat") for _ in range(3)]
            _wait_until(lambda: app.service.admission.waiting == 4)
            echo.release()
            own = leader.result(LIMIT_SECONDS)
            others = [future.result(LIMIT_SECONDS) for future in followers]
        assert (b"1 of cat", "recoup; fwd=uri-miss; detail=cold") == (own.data, own.cache_status)
        assert [b"2 of cat", b"3 of cat", b"4 of cat"] == sorted(answer.data for answer in others)
        assert {"recoup; fwd=bypass; detail=uncacheable"} == {answer.cache_status for answer in others}
        assert ({"miss": 1, "bypass": 3}, 0) == (outcomes(cache), len(cache))

    def test_who_waited_in_vain_generates_with_its_own_headers(
        self, app: Serving, cache: LRUCache, pipelines: dict[str, Counting]
    ) -> None:
        """`Authorization` is ignored here, so callers share a key; what is for one of them is not for the other."""
        pipeline = pipelines["public"]
        pipeline.storable = False
        pipeline.hold()

        def ask(name: str) -> Any:
            return app.test_client().post("/api/generate/public", data=b"cat", headers={"Authorization": name})

        with ThreadPoolExecutor(2) as pool:
            leader = pool.submit(ask, "Ann")
            pipeline.wait_until_generating()
            follower = pool.submit(ask, "Bob")
            _wait_until(lambda: app.service.admission.waiting == 2)
            assert (b"Ann",) == pipeline.last_headers["authorization"]
            pipeline.release()
            leader.result(LIMIT_SECONDS)
            assert "recoup; fwd=bypass; detail=uncacheable" == follower.result(LIMIT_SECONDS).cache_status
        assert (b"Bob",) == pipeline.last_headers["authorization"]
        assert {"bodies": 0, "results": 0, "answers": 0} == app.service.in_flight.used()

    def test_a_closed_room_answers_hits_and_refuses_the_rest(self, app: Serving, client: Client) -> None:
        client.post(URL, data=b"stored")
        assert 200 == client.get("/readyz").status_code
        app.service.admission.close()
        assert 503 == client.post(URL, data=b"cat").status_code
        assert "hit" in client.post(URL, data=b"stored").cache_status
        assert 503 == client.get("/readyz").status_code


def _post(app: Serving, body: bytes, pipeline: str = "echo") -> Any:
    return app.test_client().post(f"/api/generate/{pipeline}", data=body)


def _wait_until(condition: Callable[[], bool]) -> None:
    """Wait for other threads, with a limit; nothing tells of the moment itself."""
    tick = threading.Event()
    for _ in range(int(LIMIT_SECONDS * 100)):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("the condition did not come about")
