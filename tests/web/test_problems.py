"""Every producer of errors, and the one shape that all of them come out in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from flask import Flask, Response, abort
from werkzeug.exceptions import HTTPException, TooManyRequests, default_exceptions

from recoup import errors
from recoup.errors import (
    BadRequestError,
    BodyTimeoutError,
    ConfigurationError,
    FlightTimeoutError,
    GenerationFailedError,
    GenerationTimeoutError,
    KeyDigestError,
    NotAuthorizedError,
    NotCachedError,
    NotFoundError,
    OneShotResultError,
    OverloadedError,
    QueueFullError,
    RecoupError,
    SelfDependencyError,
    SettingError,
    TooLargeError,
    UnmeasurableError,
    UnprocessableError,
    UnsupportedMediaError,
    UpstreamError,
    UpstreamRefusedError,
    WorkerDiedError,
)
from recoup.web.problem_types import PROBLEM_TYPES, type_of
from recoup.web.problems import problem_document, register_error_handlers

from .envelope import assert_problem

SECRET = "the password is 1234"

EXPECTED: list[tuple[BaseException, int, str | None]] = [
    (BadRequestError("bad"), 400, "bad-request"),
    (ConfigurationError("bad"), 400, "unusable-configuration"),
    (NotAuthorizedError("who?"), 401, "not-authorized"),
    (NotFoundError("gone"), 404, "not-found"),
    (BodyTimeoutError("slow"), 408, "body-timeout"),
    (TooLargeError("big"), 413, "too-large"),
    (UnsupportedMediaError("odd"), 415, "unsupported-media"),
    (UnprocessableError("no image"), 422, "unprocessable"),
    (errors.NotImplementedHereError("WebSocket"), 501, "not-implemented"),
    (GenerationFailedError("raised"), 502, "generation-failed"),
    (WorkerDiedError("died"), 502, "worker-died"),
    (OneShotResultError("a generator"), 502, "generation-failed"),
    (SelfDependencyError("itself"), 502, "generation-failed"),
    (UpstreamError("refused", status=409, upstream_status=409), 409, "upstream-failed"),
    (UpstreamError("too many", status=429, upstream_status=429), 429, "upstream-failed"),
    (UpstreamError("busy", status=503, upstream_status=503, retry_after_seconds=7), 503, "upstream-failed"),
    (UpstreamRefusedError("who?", status=401, www_authenticate=(b"Bearer x",)), 401, "upstream-failed"),
    (errors.StreamCutError("cut"), 502, "upstream-failed"),
    (QueueFullError("full", retry_after_seconds=3), 503, "queue-full"),
    (OverloadedError("full", retry_after_seconds=2), 503, "overloaded"),
    (GenerationTimeoutError("late"), 504, "generation-timeout"),
    (FlightTimeoutError("late"), 504, "flight-timeout"),
    (NotCachedError("none"), 504, "not-cached"),
    (KeyDigestError(SECRET), 500, None),
    (UnmeasurableError(SECRET), 500, None),
    (RecoupError(SECRET), 500, None),
    (SettingError("RECOUP_X", SECRET, "a number"), 500, None),
    (errors.UnknownSettingError(f"RECOUP_{SECRET}", ("RECOUP_PORT",)), 500, None),
    (errors.SeveralMistakesError([errors.ConfigurationError(SECRET), SettingError("A", SECRET, "b")]), 500, None),
    (RuntimeError(SECRET), 500, None),
    (AssertionError(SECRET), 500, None),
]


@pytest.fixture
def raising() -> Iterator[Flask]:
    """An application that raises whatever `app.extensions["error"]` is."""
    app = Flask("raising")
    register_error_handlers(app)

    def view() -> str:
        raise app.extensions["error"]

    app.add_url_rule("/raise", "raise", view)
    return app  # type: ignore[return-value]


def tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize(("error", "status", "slug"), EXPECTED, ids=lambda value: type(value).__name__)
def test_every_error_of_ours_comes_out_in_one_shape(
    raising: Flask, error: BaseException, status: int, slug: str | None
) -> None:
    raising.extensions["error"] = error
    document = assert_problem(raising.test_client().get("/raise"), status, slug)
    assert "/raise" == document["instance"]
    assert SECRET not in json.dumps(document)
    if slug is not None:
        assert (str(error), type(error).title) == (document["detail"], document["title"])  # type: ignore[attr-defined]


def test_no_error_of_ours_is_forgotten() -> None:
    """Each class of the tree either stands above, or is only there to be the base of others."""
    shown = {type(error) for error, _, _ in EXPECTED}
    bases = {errors.RequestError, errors.GenerationError}
    assert set() == {error for error in tree(RecoupError) if error.__module__ == errors.__name__} - shown - bases


def test_each_type_of_problem_has_an_address_of_its_own_and_says_what_to_do() -> None:
    assert len(PROBLEM_TYPES) == len({problem.slug for problem in PROBLEM_TYPES})
    assert all(problem.meaning.endswith(".") and problem.remedy.endswith(".") for problem in PROBLEM_TYPES)


def test_an_error_without_a_type_of_its_own_has_its_base_s() -> None:
    assert type_of(errors.GenerationError) is type_of(GenerationFailedError)


@pytest.mark.parametrize("status", sorted(default_exceptions))
def test_every_error_of_the_framework_comes_out_in_the_same_shape(raising: Flask, status: int) -> None:
    raising.extensions["error"] = default_exceptions[status]()
    slugs = {
        400: "bad-request",
        401: "not-authorized",
        404: "not-found",
        413: "too-large",
        415: "unsupported-media",
        422: "unprocessable",
    }
    response = raising.test_client().get("/raise")
    if status != 405:  # without its methods it has no Allow; the next test has them
        assert_problem(response, status, slugs.get(status))
    assert status == response.status_code


def test_an_unknown_path_and_a_wrong_method_are_problems(raising: Flask) -> None:
    assert_problem(raising.test_client().get("/nowhere"), 404, "not-found")
    document = assert_problem(raising.test_client().post("/raise"), 405)
    assert ["GET", "HEAD", "OPTIONS"] == document["allowed"]


def test_what_nobody_foresaw_tells_nothing_of_itself_and_is_logged(
    raising: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    raising.extensions["error"] = RuntimeError(SECRET)
    response = raising.test_client().get("/raise")
    assert SECRET not in response.get_data(as_text=True)
    (record,) = [record for record in caplog.records if record.name.startswith("recoup")]
    assert (logging.ERROR, "request failed unexpectedly") == (record.levelno, record.getMessage())
    assert record.exc_info is not None
    assert raising.extensions["error"] is record.exc_info[1]


def test_an_expected_error_is_not_logged_as_a_failure(raising: Flask, caplog: pytest.LogCaptureFixture) -> None:
    raising.extensions["error"] = BadRequestError("bad")
    raising.test_client().get("/raise")
    assert [] == caplog.records


def test_every_fault_and_what_is_allowed_are_members(raising: Flask) -> None:
    faults = [{"detail": "wrong", "pointer": "/a"}]
    raising.extensions["error"] = BadRequestError("wrong", errors=faults, allowed=("a", "b"))
    document = assert_problem(raising.test_client().get("/raise"), 400, "bad-request")
    assert (faults, ["a", "b"]) == (document["errors"], document["allowed"])


def test_an_upstream_s_answer_is_passed_on(raising: Flask) -> None:
    raising.extensions["error"] = UpstreamError("broken", upstream_status=500, upstream_body="Traceback")
    document = assert_problem(raising.test_client().get("/raise"), 502, "upstream-failed")
    assert (500, "Traceback") == (document["upstream_status"], document["upstream_body"])


def test_members_that_do_not_apply_are_left_out() -> None:
    _, document, _ = problem_document(NotFoundError("gone"), instance="/x")
    assert {"type", "title", "status", "detail", "instance"} == set(document)


def test_the_time_to_try_again_is_the_error_s_own() -> None:
    _, document, headers = problem_document(QueueFullError("full", retry_after_seconds=9))
    assert (9, "9") == (document["retry_after_seconds"], headers["Retry-After"])


def test_the_framework_s_time_to_try_again_is_kept() -> None:
    _, document, headers = problem_document(TooManyRequests(retry_after=30))
    assert (30, "30") == (document["retry_after_seconds"], headers["Retry-After"])


def test_an_answer_that_was_aborted_with_is_no_error() -> None:
    app = Flask("aborting")
    register_error_handlers(app)
    app.add_url_rule("/tea", "tea", lambda: abort(Response("short and stout", 418)))
    assert b"short and stout" == app.test_client().get("/tea").data


def test_a_redirect_of_the_router_is_no_error() -> None:
    app = Flask("redirecting")
    register_error_handlers(app)
    app.add_url_rule("/folder/", "folder", lambda: "")
    assert 308 == app.test_client().get("/folder").status_code


def test_an_unknown_status_has_a_title_all_the_same() -> None:
    class Odd(HTTPException):
        code = 499

    status, document, _ = problem_document(Odd("closed"))
    assert (499, "Status 499", "closed") == (status, document["title"], document["detail"])


@pytest.mark.parametrize("path", ["/näh", "/a b", "/%22%3Cscript%3E", "/%ff", "/a%25b"])
def test_the_instance_is_a_reference_that_stands_in_a_url(raising: Flask, path: str) -> None:
    instance = assert_problem(raising.test_client().get(path), 404, "not-found")["instance"]
    assert instance.isascii()
    assert not set(' "<>') & set(instance)
    assert path != "/a%25b" or instance == "/a%25b"


def test_text_that_has_no_utf_8_form_is_escaped(raising: Flask) -> None:
    raising.extensions["error"] = NotFoundError("there is no \ud800")
    document = assert_problem(raising.test_client().get("/raise"), 404, "not-found")
    assert "there is no \ud800" == document["detail"]
