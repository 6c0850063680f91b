"""The lean entry answers as Flask would, counts what Flask would, and leaves everything else to it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from recoup import LRUCache
from recoup.settings import Settings
from recoup.web import create_app

from .pipelines import Clock, Counting

Ask = Callable[..., tuple[str, list[tuple[str, str]], bytes]]


@pytest.fixture
def ask(app: Flask) -> Ask:
    """Ask through the lean entry, or through Flask alone."""

    def send(through: str, path: str = "/api/generate/echo", **given: Any) -> tuple[str, list[tuple[str, str]], bytes]:
        environ = EnvironBuilder(path, method="POST", **{"data": b"cat", **given}).get_environ()
        entry = app.wsgi_app if through == "front" else lambda *call: Flask.wsgi_app(app, *call)
        body, status, headers = run_wsgi_app(entry, environ, buffered=True)
        return status, list(headers), b"".join(body)

    return send


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"query_string": "quality=fine&b=%20"},
        {"content_type": "image/png; a=b"},
        {"headers": {"If-None-Match": "*"}},
        {"headers": {"X-Request-Id": "mine", "traceparent": "x"}},
        {"path": "/api/generate/keyed", "headers": {"Accept-Language": "de"}},
        {"path": "/api/generate/eternal", "data": b""},
    ],
    ids=["plain", "query", "content type", "if-none-match", "request id", "key headers", "no body"],
)
def test_a_hit_is_the_same_header_by_header_through_both_entries(ask: Ask, clock: Clock, given: dict[str, Any]) -> None:
    ask("front", **given)
    clock.advance(7)
    front_status, front_headers, front_body = ask("front", **given)
    flask_status, flask_headers, flask_body = ask("flask", **given)
    assert (flask_status.upper(), flask_body) == (front_status.upper(), front_body)
    assert stable(flask_headers) == stable(front_headers)
    assert ("Age", "7") in front_headers


def stable(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers in order of name, without what differs from one request to the next."""
    made = re.compile(r"(?<=dur=)[\d.]+|^[0-9a-f]{32}$")
    return sorted((name, made.sub("*", value)) for name, value in headers)


def test_a_hit_through_the_lean_entry_never_comes_to_flask(
    app: Flask, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("front")
    monkeypatch.setattr(app, "full_dispatch_request", lambda: pytest.fail("Flask was asked"))
    assert "200 OK" == ask("front")[0]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, "200 OK"),
        ({"data": b"unusable"}, "422 UNPROCESSABLE ENTITY"),
        ({"path": "/api/generate/nothing"}, "404 NOT FOUND"),
        ({"path": "/api/generate/"}, "404 NOT FOUND"),
        ({"path": "/elsewhere/x/echo"}, "404 NOT FOUND"),
        ({"data": b"x" * (2**20 + 1)}, "413 REQUEST ENTITY TOO LARGE"),
        ({"query_string": "a=%ff"}, "400 BAD REQUEST"),
        ({"headers": {"Cache-Control": "no-cache"}}, "200 OK"),
        ({"path": "/api/generate/private", "headers": {"Cookie": "a=b"}}, "200 OK"),
    ],
)
def test_everything_else_is_answered_by_flask(ask: Ask, given: dict[str, Any], status: str) -> None:
    assert status == ask("front", **given)[0]
    assert status == ask("flask", **given)[0]


def test_what_was_read_and_worked_out_is_handed_on(ask: Ask, echo: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is read once, and a request that goes on to Flask is prepared once."""
    prepared = []
    original = echo.prepare
    monkeypatch.setattr(echo, "prepare", lambda request: prepared.append(request) or original(request))
    assert b"1 of cat" == ask("front")[2]
    assert 1 == len(prepared)


def test_each_lookup_is_counted_once_through_either_entry(ask: Ask, cache: LRUCache) -> None:
    for through in ("front", "flask", "front", "front"):
        ask(through)
    stats = cache.stats()
    assert (1, 3, 4) == (stats.misses, stats.hits, stats.lookups)
    assert 4 == sum(it.count for it in stats.histograms["echo"].request_duration.values())


def test_an_error_of_a_pipeline_that_nobody_foresaw_is_flasks_to_answer(
    ask: Ask, echo: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(echo, "prepare", broken)
    status, headers, body = ask("front")
    assert "500 INTERNAL SERVER ERROR" == status
    assert ("Content-Type", "application/problem+json") in headers
    assert b"ZeroDivision" not in body


def test_a_body_cut_short_is_refused_through_the_lean_entry(app: Flask, cache: LRUCache) -> None:
    environ = EnvironBuilder("/api/generate/echo", method="POST", input_stream=io.BytesIO(b"ca")).get_environ()
    environ["CONTENT_LENGTH"] = "3"
    _, status, _ = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    assert ("400 BAD REQUEST", 0) == (status, cache.stats().lookups)


def test_a_mounted_application_is_found_by_the_rest_of_its_path(
    settings: Settings, cache: LRUCache, pipelines: dict[str, Counting]
) -> None:
    app = create_app(settings, cache, pipelines)
    for _ in range(2):
        builder = EnvironBuilder("/api/generate/echo", base_url="http://x/mounted", method="POST", data=b"cat")
        assert "200 OK" == run_wsgi_app(app.wsgi_app, builder.get_environ(), buffered=True)[1]
    assert 1 == cache.stats().hits
