"""Generation over HTTP: every way that a request becomes an answer, with its headers, its status and its count."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from recoup import LRUCache
from recoup.errors import GenerationTimeoutError, QueueFullError, UnprocessableError, UpstreamError, WorkerDiedError
from recoup.pipelines.protocol import Result
from recoup.settings import Settings

from .asgi_client import Client
from .conftest import Serve
from .counts import outcomes
from .pipelines import LIMIT_SECONDS, Clock, Counting

URL = "/api/generate/echo"


def timings(header: str) -> dict[str, float]:
    """`Server-Timing` as milliseconds by name."""
    metrics = [part.strip().split(";") for part in header.split(",")]
    return {name: float(rest[-1].removeprefix("dur=")) for name, *rest in metrics}


class TestAnswers:
    def test_a_miss_is_generated_stored_and_answered(self, client: Client, cache: LRUCache) -> None:
        answer = client.post(URL, data=b"cat", content_type="text/plain")
        assert (200, b"1 of cat", "text/x-echo") == (answer.status_code, answer.data, answer.content_type)
        assert "recoup; fwd=uri-miss; stored; detail=cold" == answer.cache_status
        assert "Age" not in answer.headers
        assert {"miss": 1} == outcomes(cache)

    def test_a_hit_is_the_same_answer_with_its_age_and_its_ttl(
        self, client: Client, cache: LRUCache, clock: Clock
    ) -> None:
        miss = client.post(URL, data=b"cat")
        clock.advance(12.5)
        hit = client.post(URL, data=b"cat")
        assert (miss.data, miss.content_type, miss.headers["ETag"]) == (hit.data, hit.content_type, hit.headers["ETag"])
        assert ("recoup; hit; ttl=3587", "12") == (hit.cache_status, hit.headers["Age"])
        assert {"miss": 1, "hit": 1} == outcomes(cache)

    def test_the_reason_of_a_miss_is_its_detail(self, client: Client, cache: LRUCache, clock: Clock) -> None:
        details = []
        for before in (lambda: None, cache.clear, lambda: clock.advance(4000), lambda: _evict(cache)):
            before()
            details.append(client.post(URL, data=b"cat").cache_status.rpartition("=")[2])
        assert ["cold", "invalidated", "expired", "evicted"] == details

    def test_a_result_over_the_whole_limit_is_answered_and_not_stored(
        self, client: Client, cache: LRUCache, echo: Counting
    ) -> None:
        cache.configure(max_memory_mb=0.01)
        echo.result = Result(b"x" * 20_000, "a/b")
        assert "recoup; fwd=uri-miss; detail=cold" == client.post(URL, data=b"cat").cache_status
        assert "recoup; fwd=uri-miss; detail=too_large" == client.post(URL, data=b"cat").cache_status

    @pytest.mark.parametrize(
        ("pipeline", "status"),
        [("brief", "recoup; hit; ttl=10"), ("eternal", "recoup; hit"), ("echo", "recoup; hit; ttl=3600")],
    )
    def test_a_pipeline_says_how_long_its_results_live(self, client: Client, pipeline: str, status: str) -> None:
        client.post(f"/api/generate/{pipeline}", data=b"cat")
        assert status == client.post(f"/api/generate/{pipeline}", data=b"cat").cache_status

    def test_a_disabled_cache_is_a_bypass(self, client: Client, cache: LRUCache) -> None:
        cache.configure(enabled=False)
        assert "recoup; fwd=bypass; detail=disabled" == client.post(URL, data=b"cat").cache_status
        assert b"2 of cat" == client.post(URL, data=b"cat").data
        assert {"bypass": 2} == outcomes(cache)

    def test_stale_is_a_hit_with_a_negative_ttl(
        self, serve: Serve, settings: Settings, clock: Clock, pipelines: dict[str, Counting]
    ) -> None:
        cache = LRUCache(ttl_seconds=60, stale_seconds=600, clock=clock)
        client = serve(settings, cache, pipelines).test_client()
        client.post(URL, data=b"cat")
        clock.advance(90.5)
        pipelines["echo"].started.acquire()
        pipelines["echo"].hold()
        with ThreadPoolExecutor(1) as pool:
            renewed = pool.submit(client.post, URL, data=b"cat")
            pipelines["echo"].wait_until_generating()
            stale = client.post(URL, data=b"cat")
            pipelines["echo"].release()
            assert b"2 of cat" == renewed.result(LIMIT_SECONDS).data
        assert (b"1 of cat", "recoup; hit; ttl=-31") == (stale.data, stale.cache_status)
        assert "90" == stale.headers["Age"]
        assert {"miss": 2, "stale": 1} == outcomes(cache)

    def test_server_timing_tells_generating_from_the_rest_and_what_was_recouped(self, client: Client) -> None:
        assert {"cache", "generate"} == timings(client.post(URL, data=b"cat").headers["Server-Timing"]).keys()
        hit = client.post(URL, data=b"cat").headers["Server-Timing"]
        assert {"cache", "recouped"} == timings(hit).keys()
        assert 'cache;desc="hit"' in hit

    @pytest.mark.parametrize("path", [URL, "/healthz", "/nowhere"])
    def test_every_answer_has_the_callers_request_id_or_a_new_one(self, client: Client, path: str) -> None:
        method = client.post if path == URL else client.get
        assert "abc-1" == method(path, headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"]
        made = {method(path, headers={"X-Request-Id": "not safe\t!"}).headers["X-Request-Id"] for _ in range(3)}
        assert 3 == len(made)
        assert "not safe\t!" not in made


def _evict(cache: LRUCache) -> None:
    cache.configure(max_size=1)
    cache.set("another", b"")
    cache.configure(max_size=100)


class TestConditions:
    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("*", 304),
            ("{etag}", 304),
            ("W/{etag}", 304),
            ('"other", W/{etag} , "third"', 304),
            ('"a, b", {etag}', 304),
            ('"other"', 200),
            ("", 200),
            ("unquoted", 200),
        ],
    )
    def test_if_none_match_is_compared_weakly(self, client: Client, header: str, status: int) -> None:
        etag = client.post(URL, data=b"cat").headers["ETag"]
        answer = client.post(URL, data=b"cat", headers={"If-None-Match": header.format(etag=etag)})
        assert (status, etag) == (answer.status_code, answer.headers["ETag"])

    def test_not_modified_has_no_body_and_tells_of_the_cache(self, client: Client) -> None:
        etag = client.post(URL, data=b"cat").headers["ETag"]
        answer = client.post(URL, data=b"cat", headers={"If-None-Match": etag})
        assert b"" == answer.data
        assert not {"Content-Type", "Content-Length"} & set(answer.headers.keys())
        assert ("recoup; hit; ttl=3600", "0") == (answer.cache_status, answer.headers["Age"])

    def test_not_modified_is_said_of_a_miss_that_gives_the_same_result_again(
        self, client: Client, echo: Counting, cache: LRUCache
    ) -> None:
        echo.result = Result(b"always", "a/b")
        etag = client.post(URL, data=b"cat").headers["ETag"]
        cache.clear()
        answer = client.post(URL, data=b"cat", headers={"If-None-Match": etag})
        assert 304 == answer.status_code
        assert "fwd=uri-miss" in answer.cache_status


class TestDirectives:
    def test_no_store_bypasses(self, client: Client, cache: LRUCache) -> None:
        client.post(URL, data=b"cat")
        answer = client.post(URL, data=b"cat", headers={"Cache-Control": "no-store"})
        assert (b"2 of cat", "recoup; fwd=bypass; detail=request") == (answer.data, answer.cache_status)
        assert b"1 of cat" == client.post(URL, data=b"cat").data
        assert {"miss": 1, "bypass": 1, "hit": 1} == outcomes(cache)

    @pytest.mark.parametrize("directive", ["no-cache", "No-Cache", "max-age=0", "max-age=x", "foo, no-cache"])
    def test_no_cache_generates_anew_and_stores(self, client: Client, cache: LRUCache, directive: str) -> None:
        client.post(URL, data=b"cat")
        answer = client.post(URL, data=b"cat", headers={"Cache-Control": directive})
        assert (b"2 of cat", "recoup; fwd=request; stored") == (answer.data, answer.cache_status)
        assert b"2 of cat" == client.post(URL, data=b"cat").data
        assert {"miss": 2, "hit": 1} == outcomes(cache)

    @pytest.mark.parametrize("directive", ["no-cache", "max-age=0", "max-age=5"])
    def test_a_pipeline_may_let_nobody_generate_anew(self, client: Client, clock: Clock, directive: str) -> None:
        client.post("/api/generate/steady", data=b"cat")
        clock.advance(30)
        asked = {"headers": {"Cache-Control": directive}}
        assert "recoup; hit; ttl=3570" == client.post("/api/generate/steady", data=b"cat", **asked).cache_status
        bypass = client.post("/api/generate/steady", data=b"cat", headers={"Cache-Control": "no-store"})
        assert "recoup; fwd=bypass; detail=request" == bypass.cache_status

    def test_max_age_takes_a_result_that_is_young_enough(self, client: Client, clock: Clock) -> None:
        client.post(URL, data=b"cat")
        clock.advance(30)
        assert b"1 of cat" == client.post(URL, data=b"cat", headers={"Cache-Control": "max-age=30"}).data
        assert b"2 of cat" == client.post(URL, data=b"cat", headers={"Cache-Control": "max-age=29"}).data

    def test_only_if_cached_answers_a_hit_or_504(self, client: Client, cache: LRUCache, echo: Counting) -> None:
        wants = {"Cache-Control": "only-if-cached"}
        assert 504 == client.post(URL, data=b"cat", headers=wants).status_code
        client.post(URL, data=b"cat")
        answer = client.post(URL, data=b"cat", headers=wants)
        assert (200, "recoup; hit; ttl=3600") == (answer.status_code, answer.cache_status)
        assert 1 == echo.generations
        assert {"miss": 2, "hit": 1} == outcomes(cache)

    @pytest.mark.parametrize("more", ["no-store", "no-cache", "max-age=0"])
    def test_only_if_cached_never_generates(self, client: Client, echo: Counting, more: str) -> None:
        client.post(URL, data=b"cat")
        answer = client.post(URL, data=b"cat", headers={"Cache-Control": f"only-if-cached, {more}"})
        assert (504, 1) == (answer.status_code, echo.generations)

    @pytest.mark.parametrize("directive", ["max-stale", 'private="no-store, no-cache"', "min-fresh=5", ",,;="])
    def test_other_directives_change_nothing(self, client: Client, directive: str) -> None:
        client.post(URL, data=b"cat")
        assert b"1 of cat" == client.post(URL, data=b"cat", headers={"Cache-Control": directive}).data


class TestKeys:
    def test_a_bypass_has_what_names_its_caller(self, client: Client, pipelines: dict[str, Counting]) -> None:
        """The generator knows for whom it generates, as it would without a cache."""
        client.post("/api/generate/private", data=b"cat", headers={"Authorization": "Bearer mine", "Cookie": "a=b"})
        assert {"authorization": (b"Bearer mine",), "cookie": (b"a=b",)} == pipelines["private"].last_headers

    @pytest.mark.parametrize("header", ["Authorization", "Cookie"])
    def test_a_request_that_names_its_caller_is_a_bypass(self, client: Client, cache: LRUCache, header: str) -> None:
        client.post("/api/generate/private", data=b"cat")
        answer = client.post("/api/generate/private", data=b"cat", headers={header: "x"})
        assert (b"2 of cat", "recoup; fwd=bypass; detail=credentials") == (answer.data, answer.cache_status)
        assert {"miss": 1, "bypass": 1} == outcomes(cache)

    def test_ignored_headers_share_one_result(self, client: Client) -> None:
        client.post(URL, data=b"cat", headers={"Authorization": "Bearer one"})
        answer = client.post(URL, data=b"cat", headers={"Authorization": "Bearer two", "Cookie": "a=b"})
        assert "recoup; hit; ttl=3600" == answer.cache_status

    def test_key_headers_part_results_and_are_named_in_vary(self, client: Client) -> None:
        given = [
            {},
            {"Accept-Language": ""},
            {"Accept-Language": "de"},
            {"Authorization": "de"},
            {"Authorization": "x"},
        ]
        answers = [client.post("/api/generate/keyed", data=b"cat", headers=headers) for headers in (*given, *given)]
        assert [b"%d of cat" % number for number in (1, 2, 3, 4, 5) * 2] == [answer.data for answer in answers]
        assert {"accept-language, authorization"} == {answer.headers["Vary"] for answer in answers}

    def test_pipelines_never_share_results(self, client: Client, pipelines: dict[str, Counting]) -> None:
        client.post(URL, data=b"cat")
        assert "detail=cold" in client.post("/api/generate/brief", data=b"cat").cache_status

    def test_another_version_of_a_pipeline_shares_no_results(
        self, serve: Serve, settings: Settings, cache: LRUCache
    ) -> None:
        first, second = Counting(), Counting()
        second.version = "2"
        for pipeline in (first, second):
            serve(settings, cache, {"echo": pipeline}).test_client().post(URL, data=b"cat")
        assert (1, 1) == (first.generations, second.generations)

    @pytest.mark.parametrize(
        ("query", "status"), [("a=1&a=2&b=", 200), ("a=%C3%BC", 200), ("a=%FF", 400), ("&".join(["a=1"] * 300), 400)]
    )
    def test_a_query_is_utf_8_and_not_endless(self, client: Client, query: str, status: int) -> None:
        assert status == client.post(f"{URL}?{query}", data=b"cat").status_code


class TestBodies:
    def test_a_body_over_the_limit_is_refused_by_its_length(self, client: Client, echo: Counting) -> None:
        assert 200 == client.post(URL, data=b"x" * 2**20).status_code
        assert 413 == client.post(URL, data=b"x" * (2**20 + 1)).status_code
        assert 1 == echo.generations

    @pytest.mark.parametrize(("size", "status"), [(0, 200), (100_000, 200), (2**20, 200), (2**20 + 1, 413)])
    def test_a_body_without_a_length_is_read_to_its_end_within_the_limit(
        self, client: Client, size: int, status: int
    ) -> None:
        answer = post_chunked(client, b"x" * size)
        assert status == answer.status_code
        assert status == 413 or b"1 of " + b"x" * size == answer.data

    def test_a_body_without_a_length_has_the_key_of_one_with_it(self, client: Client) -> None:
        client.post(URL, data=b"cat")
        assert "hit" in post_chunked(client, b"cat").cache_status

    def test_a_body_that_ends_too_soon_is_refused_and_not_generated(self, client: Client, echo: Counting) -> None:
        answer = client.post(URL, input_stream=io.BytesIO(b"ca"), environ_overrides={"CONTENT_LENGTH": "3"})
        assert (400, 0) == (answer.status_code, echo.generations)

    @pytest.mark.parametrize("length", ["-1", "abc", "1_0", "²"])
    def test_a_length_that_is_no_number_is_refused(self, client: Client, length: str) -> None:
        environ = {"CONTENT_LENGTH": length}
        assert 400 == client.post(URL, input_stream=io.BytesIO(b"cat"), environ_overrides=environ).status_code

    def test_a_form_with_an_image_is_the_image(self, client: Client) -> None:
        plain = client.post("/api/generate/image", data=b"cat", content_type="image/png")
        form = client.post("/api/generate/image", data={"image": (io.BytesIO(b"cat"), "cat.png", "image/png")})
        assert plain.data == form.data
        assert "recoup; hit; ttl=3600" == form.cache_status

    @pytest.mark.parametrize(
        "fields",
        [
            {"image": (io.BytesIO(b"cat"), "cat.png"), "quality": "fine"},
            {"picture": (io.BytesIO(b"cat"), "cat.png")},
            {"image": [(io.BytesIO(b"cat"), "cat.png"), (io.BytesIO(b"dog"), "dog.png")]},
            {"image": "no file"},
            {},
        ],
        ids=["a field beside it", "another name", "two files", "no file", "nothing"],
    )
    def test_any_other_form_is_refused(
        self, client: Client, pipelines: dict[str, Counting], fields: dict[str, Any]
    ) -> None:
        answer = client.post("/api/generate/image", data=fields, content_type="multipart/form-data")
        assert (400, 0) == (answer.status_code, pipelines["image"].generations)

    def test_a_form_over_the_limit_is_refused(self, client: Client) -> None:
        part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n%b\r\n--x--\r\n'
        form = part % (b"x" * 2**20)
        kind = "multipart/form-data; boundary=x"
        assert 413 == client.post("/api/generate/image", data=form, content_type=kind).status_code

    def test_a_pipeline_that_takes_no_images_gets_a_form_as_it_came(self, client: Client) -> None:
        answer = client.post(URL, data={"image": (io.BytesIO(b"cat"), "cat.png")})
        assert b'name="image"' in answer.data


def post_chunked(client: Client, body: bytes) -> Any:
    """Post as a server hands over a chunked body: no length, and a stream that ends."""
    return client.post(URL, input_stream=io.BytesIO(body), environ_overrides={"wsgi.input_terminated": True})


class TestRefusals:
    @pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
    def test_every_other_method_is_405(self, client: Client, method: str) -> None:
        answer = getattr(client, method)(URL)
        assert (405, "POST") == (answer.status_code, answer.headers["Allow"])

    def test_a_pipeline_that_is_not_there_is_404(self, client: Client) -> None:
        answer = client.post("/api/generate/nothing", data=b"cat")
        assert (404, "application/problem+json") == (answer.status_code, answer.content_type)

    def test_a_refused_request_counts_no_lookup(self, client: Client, cache: LRUCache) -> None:
        assert 422 == client.post(URL, data=b"unusable").status_code
        assert {} == outcomes(cache)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (ValueError("oops"), 502),
            (WorkerDiedError("killed"), 502),
            (UpstreamError("no", status=503), 503),
            (UpstreamError("no", status=404), 404),
            (QueueFullError("full", retry_after_seconds=7), 503),
            (GenerationTimeoutError("late"), 504),
            (UnprocessableError("not an image"), 422),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_a_failed_generation_is_an_error_and_never_stored(
        self, client: Client, cache: LRUCache, echo: Counting, error: Exception, status: int
    ) -> None:
        echo.error = error
        answer = client.post(URL, data=b"cat")
        assert (status, "application/problem+json") == (answer.status_code, answer.content_type)
        assert (0, {"miss": 1}) == (len(cache), outcomes(cache))
        echo.error = None
        assert b"2 of cat" == client.post(URL, data=b"cat").data

    def test_a_generator_that_gives_no_result_is_502(self, client: Client, echo: Counting, cache: LRUCache) -> None:
        echo.result = b"bytes are no result"
        assert (502, 0) == (client.post(URL, data=b"cat").status_code, len(cache))


class TestTelling:
    def test_metrics_tell_of_every_request(self, client: Client) -> None:
        for _ in range(3):
            client.post(URL, data=b"cat")
        client.post("/api/generate/nothing", data=b"cat")
        text = client.get("/metrics").text
        assert 'recoup_lookups_total{outcome="hit",pipeline="echo"} 2.0' in text.replace(
            'pipeline="echo",outcome="hit"', 'outcome="hit",pipeline="echo"'
        )
        route = 'method="POST",route="/api/generate/<pipeline>"'
        ordered = text.replace('route="/api/generate/<pipeline>",method="POST"', route)
        assert f'recoup_http_requests_total{{{route},status="200"}} 3.0' in ordered
        assert f'recoup_http_requests_total{{{route},status="404"}} 1.0' in ordered

    def test_request_durations_are_counted_by_outcome(self, client: Client, cache: LRUCache) -> None:
        for _ in range(3):
            client.post(URL, data=b"cat")
        durations = cache.stats().histograms["echo"].request_duration
        assert (1, 2) == (durations["miss"].count, durations["hit"].count)

    def test_a_trace_becomes_the_exemplar(self, client: Client, cache: LRUCache) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        client.post(URL, data=b"cat", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        exemplars = cache.stats().histograms["echo"].request_duration["miss"].exemplars
        assert [trace] == [exemplar.trace_id for exemplar in exemplars.values()]

    def test_without_telemetry_nothing_is_recorded(
        self, serve: Serve, cache: LRUCache, pipelines: dict[str, Counting]
    ) -> None:
        client = serve(Settings(telemetry=False), cache, pipelines).test_client()
        for _ in range(3):
            client.post(URL, data=b"cat")
        assert {0} == {it.count for it in cache.stats().histograms["echo"].request_duration.values()}
        assert 404 == client.get("/metrics").status_code

    def test_a_failure_to_tell_is_counted_and_the_caller_answered(
        self, client: Client, cache: LRUCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr("recoup.telemetry.RequestLog.log_request", broken)
        assert [200, 200] == [client.post(URL, data=b"cat").status_code for _ in range(2)]
        assert 2 == cache.stats().internal_errors["telemetry"]
