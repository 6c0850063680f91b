"""Health: alive as long as it answers, ready when it can serve."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from recoup.web.health import health_blueprint

from .envelope import assert_problem


def client(ready: Any) -> Any:
    app = Flask("health")
    app.register_blueprint(health_blueprint(ready))
    return app.test_client()


def test_it_is_alive_although_it_is_not_ready() -> None:
    response = client(lambda: (False, {})).get("/healthz")
    assert (200, {"status": "alive"}) == (response.status_code, response.get_json())


def test_it_is_ready_and_says_what_was_checked() -> None:
    response = client(lambda: (True, {"pipelines": {"relief": True}})).get("/readyz")
    assert 200 == response.status_code
    assert {"status": "ready", "checks": {"pipelines": {"relief": True}}} == response.get_json()


def test_it_is_not_ready_and_says_what_was_checked() -> None:
    response = client(lambda: (False, {"pipelines": {"relief": False}})).get("/readyz")
    document = assert_problem(response, 503)
    assert {"pipelines": {"relief": False}} == document["checks"]


def test_it_asks_at_every_request() -> None:
    answers: list[tuple[bool, dict[str, object]]] = [(True, {}), (False, {}), (True, {})]
    probe = client(lambda: answers.pop(0))
    assert [200, 503, 200] == [probe.get("/readyz").status_code for _ in range(3)]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_cache_keeps_the_answer(path: str) -> None:
    probe = client(lambda: (True, {}))
    assert "no-store" == probe.get(path).headers["Cache-Control"]
    assert (200, b"") == (probe.head(path).status_code, probe.head(path).data)


def test_a_check_that_fails_is_a_problem_too(caplog: pytest.LogCaptureFixture) -> None:
    def ready() -> Any:
        raise RuntimeError("the check itself")

    assert_problem(client(ready).get("/readyz"), 500)
    assert "request failed unexpectedly" in caplog.text
