"""What an answer of the service tells of itself."""

from __future__ import annotations

import math

import pytest
from loadtest import answers
from loadtest.plan import Call

from recoup.cache.stats import Lookup
from recoup.web.generation.cache_headers import cache_status, hit_status, server_timing

KEY = "0123456789abcdef0123456789abcdef"
CALL = Call("item", "/api/generate/relief")
SENT = (1000.0, 0.25)


def header(**headers: str) -> answers.Header:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return named.get


def lookup(**fields: object) -> Lookup:
    known: dict[str, object] = {
        "value": b"",
        "outcome": "miss",
        "reason": "cold",
        "cost_seconds": 0.5,
        "age_seconds": None,
        "expires_in_seconds": None,
        "stored": True,
    }
    return Lookup(**(known | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        pytest.param(("hit", None), hit_status(86012.5, KEY), id="hit"),
        pytest.param(("hit", None), hit_status(math.inf, KEY), id="hit without ttl"),
        pytest.param(("stale", None), hit_status(-3.0, KEY), id="stale"),
        pytest.param(("miss", "cold"), cache_status(lookup(), KEY, refreshed=False), id="miss"),
        pytest.param(("miss", "evicted"), cache_status(lookup(reason="evicted"), KEY, refreshed=False), id="evicted"),
        pytest.param(
            ("miss", "too_large"), cache_status(lookup(reason="too_large", stored=False), KEY, refreshed=False)
        ),
        pytest.param(("miss", None), cache_status(lookup(), KEY, refreshed=True), id="refreshed"),
        pytest.param(
            ("coalesced", None), cache_status(lookup(outcome="coalesced"), KEY, refreshed=False), id="coalesced"
        ),
        pytest.param(
            ("bypass", "request"),
            cache_status(lookup(outcome="bypass", bypass_reason="request"), KEY, refreshed=False),
            id="bypass",
        ),
        pytest.param((None, None), "", id="nothing"),
        pytest.param((None, None), "recoup", id="no parameter"),
    ],
)
def test_the_outcome_is_what_the_service_says(expected: tuple[str | None, str | None], text: str) -> None:
    """The texts are the service's own, so that a change there is noticed here."""
    said = answers.outcome_fields(header(cache_status=text))
    assert expected == (said["outcome"], said["reason"])


@pytest.mark.parametrize(
    ("expected", "timing"),
    [
        pytest.param(0.5, server_timing(lookup(), 0.6), id="generated"),
        pytest.param(None, server_timing(lookup(outcome="coalesced"), 0.6), id="not generated for this one"),
        pytest.param(None, "", id="nothing"),
    ],
)
def test_the_generation_is_what_the_service_took_for_this_answer(expected: float | None, timing: str) -> None:
    assert expected == answers.outcome_fields(header(server_timing=timing))["generation_seconds"]


@pytest.mark.parametrize(
    ("expected", "text"),
    [(2.0, "2"), (None, "Fri, 01 Jan 2027 00:00:00 GMT"), (None, "-1"), (None, "")],
    ids=["seconds", "date", "negative", "empty"],
)
def test_retry_after_is_read_in_seconds(expected: float | None, text: str) -> None:
    assert expected == answers.outcome_fields(header(retry_after=text))["retry_after"]


def test_a_whole_answer_is_recorded_with_all_that_it_says() -> None:
    said = header(cache_status="recoup; fwd=uri-miss; stored; detail=cold", content_length="4")
    request = answers.answered(CALL, SENT, 200, said, [b"me", b"sh"])
    assert (1000.0, 0.25, "generate", "item") == (request.at, request.seconds, request.kind, request.item)
    assert (200, "miss", "cold", 4, True, None) == (
        request.status,
        request.outcome,
        request.reason,
        request.bytes,
        request.allowed,
        request.error,
    )


def test_equal_bodies_have_equal_digests_and_others_have_not() -> None:
    one, same, other = (
        answers.answered(CALL, SENT, 200, header(), body).digest for body in ([b"ab"], [b"a", b"b"], [b"b"])
    )
    assert one == same != other


def test_a_status_that_the_contract_does_not_have_is_not_allowed() -> None:
    refused = Call("item", "/", allowed=frozenset({503}))
    assert (True, False) == tuple(
        answers.answered(refused, SENT, status, header(), []).allowed for status in (503, 200)
    )


def test_a_body_that_is_not_whole_is_no_answer() -> None:
    request = answers.answered(CALL, SENT, 200, header(content_length="5"), [b"me", b"sh"])
    assert (0, False, "4 of 5 bytes came") == (request.status, request.allowed, request.error)


def test_no_body_is_expected_where_there_is_none() -> None:
    head = Call("item", "/", method="HEAD")
    assert 200 == answers.answered(head, SENT, 200, header(content_length="5"), []).status
    assert 304 == answers.answered(CALL, SENT, 304, header(content_length="5"), []).status


@pytest.mark.parametrize("allowed", [True, False])
def test_no_answer_is_recorded_with_its_error(allowed: bool) -> None:
    request = answers.unanswered(CALL, SENT, "refused", allowed=allowed)
    assert (0, "refused", allowed) == (request.status, request.error, request.allowed)
