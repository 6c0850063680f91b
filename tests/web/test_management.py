"""The management API: statistics, configuration, clearing, entries."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.support import wait_until
from recoup import LRUCache
from recoup.cache.stats import SORTS
from recoup.web import management_blueprint
from recoup.web.management import MAX_BODY_BYTES

from .envelope import assert_problem
from .pipelines import Clock

JSON_TYPE = "application/json"
CONFIG = {"max_size": 100, "max_memory_mb": 16, "ttl_seconds": 3600, "enabled": True, "policy": "lru"}


@pytest.fixture
def cache(clock: Clock) -> LRUCache:
    cache = LRUCache(max_size=100, max_memory_mb=16, ttl_seconds=3600, clock=clock)
    cache.register("relief")
    cache.register("llm")
    return cache


@pytest.fixture
def manage(cache: LRUCache) -> Iterator[FlaskClient]:
    app = Flask("managed")
    app.register_blueprint(management_blueprint(cache, describe=lambda value: {"content_type": type(value).__name__}))
    return app.test_client()  # type: ignore[return-value]


@pytest.fixture
def filled(cache: LRUCache, clock: Clock) -> LRUCache:
    """`a` and `b` of relief, `c` of llm, a second apart, each larger and costlier than the one before."""
    for number, (key, pipeline) in enumerate([("a", "relief"), ("b", "relief"), ("c", "llm")], start=1):
        cache.set(key, b"x" * 1000 * number, pipeline=pipeline, cost_seconds=float(number))
        clock.advance(1.0)
    return cache


def post(client: FlaskClient, path: str, body: bytes, *, chunked: bool) -> Any:
    """Post JSON: with its length, or as a server hands over a chunked body: no length, and a stream that ends."""
    if not chunked:
        return client.post(path, data=body, content_type=JSON_TYPE)
    environ = {"wsgi.input_terminated": True}
    return client.post(path, input_stream=io.BytesIO(body), content_type=JSON_TYPE, environ_overrides=environ)


def keys(response: Any) -> list[str]:
    return [entry["key"] for entry in response.get_json()["entries"]]


# --- statistics


def test_the_statistics_are_those_of_the_cache(manage: FlaskClient, filled: LRUCache) -> None:
    filled.get("a")
    filled.get("nothing")
    response = manage.get("/api/cache/stats")
    assert filled.stats().as_dict() == response.get_json()
    assert (1, 1, 3) == tuple(response.get_json()[name] for name in ("hits", "misses", "entries"))


def test_the_statistics_have_what_the_contract_names(manage: FlaskClient) -> None:
    named = {
        *("enabled", "entries", "memory_bytes", "memory_mb", "hits", "misses", "stale", "coalesced", "bypassed"),
        *("hit_ratio", "evictions", "miss_reasons", "recouped_seconds", "regretted_seconds", "peak_entries"),
        *("peak_memory_bytes", "uptime_seconds", "pipelines", "bypass_reasons"),
    }
    stats = manage.get("/api/cache/stats").get_json()
    assert set() == named - set(stats)
    assert stats["hit_ratio"] is None
    assert {"relief", "llm"} <= set(stats["pipelines"])


# --- configuration


def test_the_configuration_in_force_is_read(manage: FlaskClient) -> None:
    assert CONFIG == manage.get("/api/cache/config").get_json()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"max_size": 5}, {"max_size": 5}),
        ({"max_size": 5.0}, {"max_size": 5}),
        ({"max_memory_mb": 0.5}, {"max_memory_mb": 0.5}),
        ({"ttl_seconds": 60}, {"ttl_seconds": 60}),
        ({"ttl_seconds": None}, {"ttl_seconds": None}),
        ({"ttl_seconds": 0}, {"ttl_seconds": None}),
        ({"ttl_seconds": 0.0}, {"ttl_seconds": None}),
        ({"enabled": False}, {"enabled": False}),
        ({"max_size": 9, "max_memory_mb": 2, "ttl_seconds": 1.5, "enabled": False}, None),
    ],
)
def test_any_setting_is_changed_and_the_configuration_in_force_answered(
    manage: FlaskClient, cache: LRUCache, change: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    response = manage.post("/api/cache/config", json=change)
    assert 200 == response.status_code
    assert {**CONFIG, **(change if expected is None else expected)} == response.get_json() == cache.config()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"size": 5},
        {"max_size": 5, "colour": "red"},
        {"max_size": 0},
        {"max_size": True},
        {"max_size": "5"},
        {"max_size": 1.5},
        {"max_size": None},
        {"max_size": 10**30},
        {"max_memory_mb": 0},
        {"max_memory_mb": -1},
        {"max_memory_mb": "5"},
        {"max_memory_mb": 1e300},
        {"max_memory_mb": 9e-7},
        {"max_size": 10**9 + 1},
        {"ttl_seconds": 10**9 + 1},
        {"ttl_seconds": -1},
        {"ttl_seconds": "never"},
        {"ttl_seconds": False},
        {"enabled": 1},
        {"enabled": None},
        {"max_size": 1, "max_memory_mb": 1, "ttl_seconds": 1, "enabled": "yes"},
    ],
    ids=json.dumps,
)
def test_a_change_that_is_not_allowed_changes_nothing(manage: FlaskClient, filled: LRUCache, body: Any) -> None:
    assert_problem(manage.post("/api/cache/config", data=json.dumps(body), content_type=JSON_TYPE), 400, "bad-request")
    assert (CONFIG, 3) == (filled.config(), len(filled))


@pytest.mark.parametrize("content_type", [None, JSON_TYPE])
def test_a_change_without_a_body_is_refused(manage: FlaskClient, content_type: str | None) -> None:
    document = assert_problem(manage.post("/api/cache/config", content_type=content_type), 400, "bad-request")
    assert list(CONFIG) == document["allowed"]


def test_a_lower_limit_evicts_at_once(manage: FlaskClient, filled: LRUCache) -> None:
    manage.post("/api/cache/config", json={"max_size": 1})
    assert (["c"], {"size": 2}) == (list(filled), {"size": filled.stats().evictions["size"]})


@pytest.mark.parametrize("path", ["/api/cache/config", "/api/cache/clear", "/api/cache/purge"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_refused(manage: FlaskClient, filled: LRUCache, path: str, content_type: str) -> None:
    """A form on another site's page can send these without asking."""
    response = manage.post(path, data=b"{}", headers={"Content-Type": content_type})
    assert_problem(response, 415, "unsupported-media")
    assert 3 == len(filled)


@pytest.mark.parametrize("path", ["/api/cache/config", "/api/cache/clear", "/api/cache/purge"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"pipeline": NaN}', b'{"enabled": true, "enabled": true}', b"\xff"])
def test_a_body_that_is_not_a_json_object_is_refused(
    manage: FlaskClient, filled: LRUCache, path: str, body: bytes
) -> None:
    response = manage.post(path, data=body, content_type="application/json")
    assert_problem(response, 400, "bad-request")
    assert 3 == len(filled)


@pytest.mark.parametrize("path", ["/api/cache/config", "/api/cache/clear", "/api/cache/purge"])
@pytest.mark.parametrize("extra", [1, 2, MAX_BODY_BYTES])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_too_large_is_refused(
    manage: FlaskClient, filled: LRUCache, path: str, extra: int, chunked: bool
) -> None:
    body = b"{}".ljust(MAX_BODY_BYTES + extra)
    assert_problem(post(manage, path, body, chunked=chunked), 413, "too-large")
    assert 3 == len(filled)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_may_be_as_large_as_the_limit(manage: FlaskClient, filled: LRUCache, chunked: bool) -> None:
    body = b'{"pipeline": "relief"}'.ljust(MAX_BODY_BYTES)
    assert {"cleared": 2} == post(manage, "/api/cache/clear", body, chunked=chunked).get_json()


def test_a_body_that_the_application_read_before_is_there_all_the_same(manage: FlaskClient, filled: LRUCache) -> None:
    manage.application.before_request(lambda: request.get_data() and None)
    assert {"cleared": 2} == manage.post("/api/cache/clear", json={"pipeline": "relief"}).get_json()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(st.sampled_from([*CONFIG, "other"]), JSON))
def test_any_change_is_made_whole_or_refused_whole(
    manage: FlaskClient, cache: LRUCache, change: dict[str, Any]
) -> None:
    before = cache.config()
    response = manage.post("/api/cache/config", json=change)
    if response.status_code == 200:
        wanted = {name: value or None if name == "ttl_seconds" else value for name, value in change.items()}
        assert {**before, **wanted} == cache.config() == response.get_json()
    else:
        assert response.get_json()["type"] in ("/docs#problem-bad-request", "/docs#problem-unusable-configuration")
        assert (400, before) == (response.status_code, cache.config())


def test_a_change_that_leaves_nothing_beside_the_reserves_is_refused(manage: FlaskClient, cache: LRUCache) -> None:
    cache.set_quota("relief", reserve_memory_mb=8)
    document = assert_problem(
        manage.post("/api/cache/config", json={"max_memory_mb": 8, "max_size": 5}), 400, "bad-request"
    )
    assert "reserve_memory_mb" in document["detail"]
    assert CONFIG == cache.config()


# --- purging


@pytest.fixture
def grouped(cache: LRUCache) -> LRUCache:
    """`a` and `b` of relief in the group `red`, `c` of llm in `red` and `blue`, `d` in none."""
    for key, pipeline, groups in [
        ("a", "relief", ["red"]),
        ("b", "relief", ["red"]),
        ("c", "llm", ["red", "blue"]),
        ("d", "llm", []),
    ]:
        cache.set(key, b"x", pipeline=pipeline, groups=groups)
    return cache


def test_groups_are_purged(manage: FlaskClient, grouped: LRUCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    response = manage.post("/api/cache/purge", json={"groups": ["blue", "green", "blue"]})
    answer = response.get_json()
    assert 200 == response.status_code
    assert {"groups": ["blue", "green"], "soft": False} == {name: answer[name] for name in ("groups", "soft")}
    at = datetime.fromisoformat(answer.pop("at").replace("Z", "+00:00"))
    assert abs(at.timestamp() - time.time()) < 60
    assert ["a", "b", "d"] == [key for key in "abcd" if key in grouped]
    (record,) = [record for record in caplog.records if record.message == "cache purged"]
    assert (["blue", "green"], None, False) == (record.groups, record.pipeline, record.soft)  # type: ignore[attr-defined]  # they are extra


def test_what_a_large_purge_leaves_behind_is_collected(manage: FlaskClient, cache: LRUCache) -> None:
    cache.configure(max_size=5000)
    for number in range(5000):
        cache.set(number, b"", groups=["red"])
    assert 200 == manage.post("/api/cache/purge", json={"groups": ["red"]}).status_code
    wait_until(lambda: len(cache) == 0)


def test_one_pipeline_is_purged_of_a_group(manage: FlaskClient, grouped: LRUCache) -> None:
    manage.post("/api/cache/purge", json={"groups": ["red"], "pipeline": "relief"})
    assert ["c", "d"] == list(grouped)


def test_a_soft_purge_lets_results_expire(manage: FlaskClient, grouped: LRUCache) -> None:
    assert manage.post("/api/cache/purge", json={"groups": ["red"], "soft": True}).get_json()["soft"] is True
    assert (4, ["d"]) == (len(grouped), [key for key in "abcd" if key in grouped])


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"pipeline": "relief"},
        {"groups": []},
        {"groups": "red"},
        {"groups": [""]},
        {"groups": [1]},
        {"groups": ["x" * 257]},
        {"groups": ["red"] * 257},
        {"groups": ["\ud800"]},
        {"groups": ["red"], "soft": 1},
        {"groups": ["red"], "soft": None},
        {"groups": ["red"], "pipeline": 5},
        {"groups": ["red"], "more": 1},
    ],
    ids=repr,
)
def test_a_wrong_body_purges_nothing(manage: FlaskClient, grouped: LRUCache, body: Any) -> None:
    document = assert_problem(manage.post("/api/cache/purge", json=body), 400, "bad-request")
    assert body == [] or document["errors"]
    assert 4 == len(grouped)


def test_an_unknown_pipeline_is_not_found_and_nothing_purged(manage: FlaskClient, grouped: LRUCache) -> None:
    document = assert_problem(
        manage.post("/api/cache/purge", json={"groups": ["red"], "pipeline": "nothing"}), 404, "not-found"
    )
    assert ["llm", "relief"] == document["allowed"]
    assert 4 == len(grouped)


def test_entries_show_their_groups_and_are_listed_by_them(manage: FlaskClient, grouped: LRUCache) -> None:
    page = manage.get("/api/cache/entries?group=red&limit=2&sort=recent").get_json()
    assert (["c", "b"], 3) == ([entry["key"] for entry in page["entries"]], page["total"])
    assert [["red", "blue"], ["red"]] == [entry["groups"] for entry in page["entries"]]
    page = manage.get("/api/cache/entries?group=red&pipeline=relief&sort=oldest").get_json()
    assert ({"a", "b"}, 2) == ({entry["key"] for entry in page["entries"]}, page["total"])
    page = manage.get("/api/cache/entries?group=green").get_json()
    assert ([], 0) == (page["entries"], page["total"])


# --- clearing


@pytest.mark.parametrize(
    "body", [{}, {"json": {}}, {"content_type": "application/json"}], ids=["no body", "an empty object", "only a type"]
)
def test_everything_is_cleared(manage: FlaskClient, filled: LRUCache, body: dict[str, Any]) -> None:
    assert {"cleared": 3} == manage.post("/api/cache/clear", **body).get_json()
    assert 0 == len(filled)


def test_one_pipeline_is_cleared(manage: FlaskClient, filled: LRUCache) -> None:
    assert {"cleared": 2} == manage.post("/api/cache/clear", json={"pipeline": "relief"}).get_json()
    assert ["c"] == list(filled)
    assert {"cleared": 0} == manage.post("/api/cache/clear", json={"pipeline": "relief"}).get_json()


@pytest.mark.parametrize("name", ["relif", "", "\ud800", "x" * 5000])
def test_an_unknown_pipeline_is_not_found_and_nothing_cleared(manage: FlaskClient, filled: LRUCache, name: str) -> None:
    document = assert_problem(manage.post("/api/cache/clear", json={"pipeline": name}), 404, "not-found")
    assert ({"llm", "relief"}, 3) == (set(document["allowed"]), len(filled))


@pytest.mark.parametrize("body", [{"pipeline": None}, {"pipeline": ["relief"]}, {"pipelines": "relief"}])
def test_a_wrong_body_clears_nothing(manage: FlaskClient, filled: LRUCache, body: Any) -> None:
    assert_problem(manage.post("/api/cache/clear", json=body), 400, "bad-request")
    assert 3 == len(filled)


def test_a_query_clears_nothing(manage: FlaskClient, filled: LRUCache) -> None:
    """Whoever writes the pipeline there does not mean everything."""
    assert_problem(manage.post("/api/cache/clear?pipeline=relief"), 400, "bad-request")
    assert 3 == len(filled)


# --- entries


def test_an_entry_is_described(manage: FlaskClient, filled: LRUCache) -> None:
    filled.get("a")
    expected = {
        "key": "a",
        "pipeline": "relief",
        "age_seconds": 3.0,
        "idle_seconds": 0.0,
        "expires_in_seconds": 3597.0,
        "hits": 1,
        "cost_seconds": 1.0,
        "groups": [],
        "price": 0.0,
        "tier": "memory",
        "content_type": "bytes",
    }
    entry = manage.get("/api/cache/entries/a").get_json()
    assert entry.pop("size_bytes") > 1000
    assert expected == entry


def test_a_page_has_its_place_and_the_total(manage: FlaskClient, filled: LRUCache) -> None:
    page = manage.get("/api/cache/entries").get_json()
    assert (3, 100, 0) == (page["total"], page["limit"], page["offset"])
    assert filled.stats().memory_bytes == sum(entry["size_bytes"] for entry in page["entries"])


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("recent", ["a", "c", "b"]),
        ("oldest", ["a", "b", "c"]),
        ("largest", ["c", "b", "a"]),
        ("most_hit", ["a", "b", "c"]),
        ("costliest", ["c", "b", "a"]),
    ],
)
def test_pages_are_sorted(manage: FlaskClient, filled: LRUCache, sort: str, expected: list[str]) -> None:
    filled.get("a")
    listed = keys(manage.get(f"/api/cache/entries?sort={sort}"))
    assert expected[:1] == listed[:1]
    assert sort == "most_hit" or expected == listed
    assert sort in SORTS


def test_pages_follow_each_other(manage: FlaskClient, filled: LRUCache) -> None:
    pages = [keys(manage.get(f"/api/cache/entries?sort=oldest&limit=2&offset={offset}")) for offset in (0, 2, 4)]
    assert [["a", "b"], ["c"], []] == pages
    assert [] == keys(manage.get("/api/cache/entries?offset=1000000000"))


def test_a_page_is_of_one_pipeline(manage: FlaskClient, filled: LRUCache) -> None:
    page = manage.get("/api/cache/entries?pipeline=relief&limit=1&sort=oldest")
    assert (["a"], 2) == (keys(page), page.get_json()["total"])
    assert_problem(manage.get("/api/cache/entries?pipeline=relif"), 404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=ten", "limit=", "offset=-1", "offset=99999999999", "sort=newest", "page=2"),
        *("limit=1&limit=2", "pipeline=relief&pipeline=llm"),
    ],
)
def test_a_wrong_query_is_refused(manage: FlaskClient, query: str) -> None:
    document = assert_problem(manage.get(f"/api/cache/entries?{query}"), 400, "bad-request")
    assert [query.partition("=")[0]] == [fault["parameter"] for fault in document["errors"]]


@pytest.mark.parametrize("path", ["stats", "config", "entries/a"])
def test_a_query_where_there_is_none_is_refused(manage: FlaskClient, filled: LRUCache, path: str) -> None:
    assert_problem(manage.get(f"/api/cache/{path}?a=1"), 400, "bad-request")
    assert_problem(manage.delete("/api/cache/entries/a?a=1"), 400, "bad-request")
    assert "a" in filled


def test_an_entry_is_deleted(manage: FlaskClient, filled: LRUCache) -> None:
    response = manage.delete("/api/cache/entries/a")
    assert (204, b"", None) == (response.status_code, response.data, response.content_type)  # type: ignore[comparison-overlap]
    assert "a" not in filled
    assert_problem(manage.delete("/api/cache/entries/a"), 404, "not-found")
    assert_problem(manage.get("/api/cache/entries/a"), 404, "not-found")


def test_an_expired_entry_is_not_there(manage: FlaskClient, filled: LRUCache, clock: Clock) -> None:
    clock.advance(3600.0)
    assert_problem(manage.get("/api/cache/entries/a"), 404, "not-found")


def test_looking_at_entries_counts_nothing(manage: FlaskClient, filled: LRUCache) -> None:
    before = filled.stats().as_dict()
    manage.get("/api/cache/entries")
    manage.get("/api/cache/entries/a")
    manage.get("/api/cache/entries/none")
    assert before == filled.stats().as_dict()


@pytest.mark.parametrize("key", ["with/slash", "with space", "ünï", "a?b#c", "%41", "..", "a//b"])
def test_a_key_may_be_any_text(manage: FlaskClient, cache: LRUCache, key: str) -> None:
    cache.set(key, b"value")
    path = "/api/cache/entries/" + "".join(f"%{byte:02X}" for byte in key.encode())
    assert key == manage.get(path).get_json()["key"]
    assert 204 == manage.delete(path).status_code
    assert 0 == len(cache)


@pytest.mark.parametrize("key", [5, ("a", 1), b"bytes", None, frozenset({1})], ids=repr)
def test_a_key_that_is_no_text_is_shown(manage: FlaskClient, cache: LRUCache, key: Any) -> None:
    cache.set(key, b"value")
    assert [repr(key)] == keys(manage.get("/api/cache/entries"))


# --- all of it


@pytest.mark.parametrize("path", ["stats", "config", "entries", "entries/a"])
def test_answers_are_compact_json_that_no_cache_keeps(manage: FlaskClient, filled: LRUCache, path: str) -> None:
    response = manage.get(f"/api/cache/{path}")
    assert ("application/json", "no-store") == (response.content_type, response.headers["Cache-Control"])
    assert json.dumps(response.get_json(), separators=(",", ":")).encode() == response.data


@pytest.mark.parametrize("path", ["stats", "config", "entries", "entries/a"])
def test_head_is_get_without_its_body(manage: FlaskClient, filled: LRUCache, path: str) -> None:
    head, get = manage.head(f"/api/cache/{path}"), manage.get(f"/api/cache/{path}")
    assert (200, b"", get.headers) == (head.status_code, head.data, head.headers)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("stats", "GET, HEAD, OPTIONS"),
        ("config", "GET, HEAD, OPTIONS, POST"),
        ("clear", "OPTIONS, POST"),
        ("purge", "OPTIONS, POST"),
        ("entries", "GET, HEAD, OPTIONS"),
        ("entries/a", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
def test_each_path_names_its_methods_and_refuses_all_others(manage: FlaskClient, path: str, allowed: str) -> None:
    response = manage.options(f"/api/cache/{path}")
    assert (204, b"", allowed) == (response.status_code, response.data, response.headers["Allow"])
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - set(allowed.split(", ")):
        response = manage.open(f"/api/cache/{path}", method=method)
        assert (405, allowed) == (response.status_code, response.headers["Allow"])
        if method != "HEAD":
            assert_problem(response, 405)


@pytest.mark.parametrize(
    "path", ["/api/cache", "/api/cache/", "/api/cache/nowhere", "/api/cache/stats/", "/api/cache/x/y"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_other_path_is_there(manage: FlaskClient, path: str, method: str) -> None:
    assert_problem(manage.open(path, method=method), 404, "not-found")


# --- what hostile clients send


@pytest.mark.parametrize("query", ["a=1&" * 10**6, "&" * 10**6, "limit=1&" * 10**6], ids=["unknown", "empty", "known"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "entries"), ("POST", "clear"), ("POST", "purge"), ("GET", "stats")]
)
def test_a_query_of_a_million_members_is_refused_before_it_is_read(
    manage: FlaskClient, filled: LRUCache, monkeypatch: pytest.MonkeyPatch, method: str, path: str, query: str
) -> None:
    def read(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr("werkzeug.sansio.request.parse_qsl", read)
    response = manage.open(f"/api/cache/{path}", method=method, environ_overrides={"QUERY_STRING": query})
    document = assert_problem(response, 400, "bad-request")
    assert "at most 256 members" in document["detail"]
    assert 3 == len(filled)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"max_size":1,"max_size":1}', id="a member twice"),
        pytest.param(b'{"ttl_seconds":1e-400}', id="a number that would become zero"),
        pytest.param(b'{"ttl_seconds":1e400}', id="a number that would become infinite"),
        pytest.param(b'{"max_size":' + b"[" * 30_000 + b"]" * 30_000 + b"}", id="nested deeply"),
        pytest.param(b'{"\\ud800":1}', id="a lone surrogate"),
        pytest.param(b'{"max_size":' + b"9" * 60_000 + b"}", id="an integer of many digits"),
        pytest.param(b"[" + b"0," * 30_000 + b"0]", id="an array of many"),
        pytest.param(b'{"x' + b"x" * 60_000 + b'":1}', id="a long name"),
    ],
)
def test_json_that_is_hostile_is_refused_in_few_words(manage: FlaskClient, filled: LRUCache, body: bytes) -> None:
    response = manage.post("/api/cache/config", data=body, content_type=JSON_TYPE)
    document = assert_problem(response, 400, "bad-request")
    assert len(document["detail"]) <= 300
    assert (CONFIG, 3) == (filled.config(), len(filled))


def test_it_mounts_where_structlog_and_prometheus_are_not_installed() -> None:
    """An application that manages its own cache needs Flask, and nothing else of the service."""
    program = """
import sys
missing = ("structlog", "prometheus_client", "granian", "aiohttp", "orjson", "urllib3", "a2wsgi", "uvloop")
sys.modules.update(dict.fromkeys(missing))
from flask import Flask
from recoup import LRUCache
from recoup.web import management_blueprint
app = Flask("theirs")
app.register_blueprint(management_blueprint(LRUCache()))
print(app.test_client().get("/api/cache/stats").status_code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "200" == done.stdout.strip()
