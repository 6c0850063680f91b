"""JSON read strictly: its values, its bounds, and what is said of what it refuses."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.errors import BadRequestError
from recoup.pipelines.canonical_json import canonical_json, exact_form
from recoup.strict_json import MAX_DEPTH, MAX_MEMBERS, MAX_VALUES, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WAYS: list[Callable[[bytes], Any]] = [parse, canonical_json, exact_form]


@settings(max_examples=50)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_was_written_is_read(value: Any, escaped: bool, indent: int | None) -> None:
    assert value == parse(json.dumps(value, ensure_ascii=escaped, indent=indent).encode())


@given(st.binary(max_size=60) | st.text('{}[]:,"\\ue1-.0', max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_refused(body: bytes) -> None:
    """Nothing else is ever raised."""
    for way in WAYS:
        with suppress(BadRequestError):
            way(body)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        pytest.param(nested(MAX_DEPTH), nested(MAX_DEPTH + 1), id="levels"),
        pytest.param(b"[" + b"[]," * (MAX_MEMBERS - 2) + b"[]]", b"[" + b"[]," * MAX_MEMBERS + b"[]]", id="arrays"),
        pytest.param(
            json.dumps(dict.fromkeys(map(str, range(MAX_MEMBERS - 1)), 0)).encode(),
            json.dumps(dict.fromkeys(map(str, range(MAX_MEMBERS)), 0)).encode(),
            id="members",
        ),
        pytest.param(b"[" + b"0," * (MAX_VALUES - 2) + b"0]", b"[" + b"0," * MAX_VALUES + b"0]", id="values"),
    ],
)
def test_a_bound_is_taken_and_what_is_beyond_it_refused(
    way: Callable[[bytes], Any], within: bytes, beyond: bytes
) -> None:
    way(within)
    with pytest.raises(BadRequestError, match="expected at most"):
        way(beyond)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "text", ["[{," * 10**6, '\\"[{,:' * 10**6, "\\\\" * 10**6, '\\\\\\"[' * 10**6], ids=lambda text: ascii(text[:6])
)
def test_what_is_within_a_string_does_not_count(way: Callable[[bytes], Any], text: str) -> None:
    way(json.dumps(["[", text, "]"]).encode())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"[]," * 10**7 + b"[]]", id="ten million empty arrays"),
        pytest.param(b"[" + b'{"a":0},' * 3 * 10**6 + b"0]", id="three million objects"),
        pytest.param(b"[" + b'"a",' * 7 * 10**6 + b"0]", id="seven million strings"),
        pytest.param(b"[" * 3 * 10**7, id="thirty million levels"),
    ],
)
def test_a_body_that_would_become_large_is_refused_before_it_does(way: Callable[[bytes], Any], body: bytes) -> None:
    """Of what could become 75 times the body, no more than the body itself is held."""
    tracemalloc.start()
    try:
        with pytest.raises(BadRequestError):
            way(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 3 * len(body)


@pytest.mark.parametrize("way", [canonical_json, exact_form])
def test_the_largest_that_is_taken_stays_small(way: Callable[[bytes], Any]) -> None:
    body = json.dumps({f"member {number}": [] for number in range(MAX_MEMBERS // 2 - 1)}).encode()
    tracemalloc.start()
    try:
        way(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 60 * 2**20


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("members", [10_000, 90_000])
def test_a_member_twice_is_found_without_comparing_each_with_each(way: Callable[[bytes], Any], members: int) -> None:
    """Quadratic, the smaller took 6 s and the larger ten minutes, past the time limit of a test."""
    text = ",".join(f'"member {number}":0' for number in [*range(members), members - 1])
    with pytest.raises(BadRequestError, match=f"'member {members - 1}' twice"):
        way(f"{{{text}}}".encode())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"%s":1,"%s":2}' % (b"x" * 10**6, b"x" * 10**6), id="a long name twice"),
        pytest.param(b"1" * 10**6 + b"e400", id="a long number"),
        pytest.param(b"9" * 10**6, id="a long integer"),
        pytest.param(b'"' + b"x" * 10**6, id="a string without an end"),
        pytest.param(b"x" * 10**6, id="no JSON"),
        pytest.param(b'"\xff' + b"x" * 10**6 + b'"', id="not UTF-8"),
    ],
)
def test_a_refusal_repeats_little_of_what_was_sent(way: Callable[[bytes], Any], body: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        way(body)
    assert len(str(caught.value)) <= 200
