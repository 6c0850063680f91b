"""The one shape of every error, asserted in one place."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from recoup.web.openapi.schemas import SCHEMAS
from recoup.web.problem_types import BLANK, PROBLEM_TYPES

_SLUGS = {problem.slug for problem in PROBLEM_TYPES}


def assert_problem(response: TestResponse, status: int, slug: str | None = None) -> dict[str, Any]:
    """A problem document of a status, of the type of that name (None: `about:blank`), as RFC 9457 and ours ask."""
    assert (status, "application/problem+json") == (response.status_code, response.content_type), response.data
    assert "no-store" == response.headers["Cache-Control"]
    document: dict[str, Any] = json.loads(response.data)
    Draft202012Validator({**SCHEMAS["Problem"]}).validate(document)
    assert status == document["status"]
    if slug is None:
        assert BLANK == document["type"]
    else:
        assert slug in _SLUGS
        assert f"/docs#problem-{slug}" == document["type"]
    assert document["title"]
    assert document["detail"]
    _assert_headers(response, document)
    return document


def _assert_headers(response: TestResponse, document: dict[str, Any]) -> None:
    status = document["status"]
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    if status == 405:
        assert document["allowed"] == [method.strip() for method in response.headers["Allow"].split(",")]
    if status in (429, 503):
        assert str(document["retry_after_seconds"]) == response.headers["Retry-After"]
