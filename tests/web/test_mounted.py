"""The management API and the metrics in an application that is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry, generate_latest

from recoup import LRUCache, cached_result
from recoup.telemetry import CacheCollector
from recoup.web import management_blueprint

from .envelope import assert_problem


class Foreign:
    """Somebody's application: its own page for errors, its own metrics, a slow function behind `cached_result`."""

    def __init__(self, **options: Any) -> None:
        self.cache = LRUCache(max_size=50)
        self.calls = 0
        self.registry = CollectorRegistry()
        self.registry.register(CacheCollector(self.cache))
        self.app = Flask("foreign")
        self.app.register_error_handler(404, lambda error: ("their own page", 404))
        self.app.register_error_handler(Exception, lambda error: ("their own page", 500))
        self.app.register_blueprint(management_blueprint(self.cache, **options))
        self._add_views()

    def _add_views(self) -> None:
        @cached_result(cache=self.cache, pipeline="square")
        def square(number: int) -> int:
            self.calls += 1
            return number * number

        self.app.add_url_rule("/square/<int:number>", "square", lambda number: jsonify(square(number)))
        self.app.add_url_rule("/fail", "fail", lambda: 1 / 0)  # type: ignore[arg-type]

    def client(self) -> FlaskClient:
        return self.app.test_client()


def test_a_function_s_results_are_seen_in_statistics_entries_and_metrics() -> None:
    foreign = Foreign()
    client = foreign.client()
    assert [9, 9, 16] == [client.get(f"/square/{number}").get_json() for number in (3, 3, 4)]
    stats = client.get("/api/cache/stats").get_json()
    assert (2, 1, 2, 2) == (foreign.calls, stats["hits"], stats["misses"], stats["pipelines"]["square"]["entries"])
    page = client.get("/api/cache/entries?pipeline=square").get_json()
    assert (2, {"square"}) == (page["total"], {entry["pipeline"] for entry in page["entries"]})
    lines = generate_latest(foreign.registry).decode().splitlines()
    assert 'recoup_lookups_total{outcome="hit",pipeline="square"} 1.0' in lines


def test_an_entry_is_removed_by_the_key_that_is_shown() -> None:
    foreign = Foreign()
    client = foreign.client()
    client.get("/square/3")
    (entry,) = client.get("/api/cache/entries").get_json()["entries"]
    assert 204 == client.delete(f"/api/cache/entries/{entry['key']}").status_code
    client.get("/square/3")
    assert 2 == foreign.calls


def test_below_the_prefix_errors_are_problems_although_the_application_has_its_own_pages() -> None:
    client = Foreign().client()
    assert_problem(client.get("/api/cache/entries/none"), 404, "not-found")
    assert_problem(client.get("/api/cache/nowhere"), 404, "not-found")
    assert_problem(client.put("/api/cache/stats"), 405)
    assert_problem(client.post("/api/cache/config", data=b"{}"), 415, "unsupported-media")
    assert_problem(client.post("/api/cache/config", json={}), 400, "bad-request")


def test_above_the_prefix_nothing_is_different() -> None:
    client = Foreign().client()
    assert ("their own page", 404) == (client.get("/nowhere").text, client.get("/nowhere").status_code)
    assert ("their own page", 500) == (client.get("/fail").text, client.get("/fail").status_code)
    assert "Cache-Control" not in client.get("/square/1").headers


def test_a_failure_inside_the_api_is_a_problem_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def describe(value: Any) -> dict[str, Any]:
        raise RuntimeError("the password is 1234")

    foreign = Foreign(describe=describe)
    foreign.client().get("/square/1")
    document = assert_problem(foreign.client().get("/api/cache/entries"), 500)
    assert "1234" not in str(document)
    assert "the password is 1234" in caplog.text


def test_it_may_be_mounted_elsewhere_and_more_than_once() -> None:
    app = Flask("two")
    first, second = LRUCache(max_size=1), LRUCache(max_size=2)
    app.register_blueprint(management_blueprint(first, url_prefix="/caches/first"))
    app.register_blueprint(management_blueprint(second, url_prefix="/caches/second"), name="second")
    client = app.test_client()
    assert [1, 2] == [client.get(f"/caches/{name}/config").get_json()["max_size"] for name in ("first", "second")]
    assert "GET, HEAD, OPTIONS, POST" == client.options("/caches/second/config").headers["Allow"]
    assert_problem(client.get("/caches/first/nowhere"), 404, "not-found")


def test_the_token_guards_it_and_only_it() -> None:
    client = Foreign(token="token").client()
    assert_problem(client.get("/api/cache/stats"), 401, "not-authorized")
    assert 200 == client.get("/api/cache/stats", headers={"Authorization": "Bearer token"}).status_code
    assert 200 == client.get("/square/1").status_code
