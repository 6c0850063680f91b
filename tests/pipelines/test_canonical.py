"""What a request means: the canonical form of bodies and queries, and the keys that come of it."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recoup.cache import digest
from recoup.errors import BadRequestError, UnsupportedMediaError
from recoup.pipelines.canonical import MAX_JSON_DEPTH, canonical_body, canonical_json, is_json
from recoup.pipelines.configured import ConfiguredPipeline, Terms
from recoup.pipelines.protocol import Request

# Values that are alike in one way or another are drawn often, so that a form that confuses them is found.
ALIKE = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 1e16, 10**16, True, False, None, "", "0", "1", "true", "null", "a"])
LEAVES = ALIKE | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "1", ""]), inner),
    max_leaves=12,
)


def spelled(value: Any, rng: random.Random) -> str:
    """A JSON text of the value, with its members in any order and any spacing between."""

    def space() -> str:
        return "".join(rng.choices(" \t\r\n", k=rng.randrange(3)))

    if isinstance(value, dict):
        members = rng.sample(sorted(value.items(), key=lambda member: member[0]), len(value))
        inner = ",".join(f"{space()}{json.dumps(name)}{space()}:{spelled(item, rng)}" for name, item in members)
        text = "{" + (inner or space()) + "}"
    elif isinstance(value, list):
        text = "[" + (",".join(spelled(item, rng) for item in value) or space()) + "]"
    else:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5 or has_surrogates(value))
    return space() + text + space()


def has_surrogates(value: Any) -> bool:
    return isinstance(value, str) and any(0xD800 <= ord(character) < 0xE000 for character in value)


def typed(value: Any) -> Any:
    """The value with the types of its parts, in which 1, 1.0, True and "1" are four things."""
    if isinstance(value, dict):
        return ("dict", sorted((name, typed(item)) for name, item in value.items()).__repr__())
    if isinstance(value, list):
        return ("list", [typed(item) for item in value].__repr__())
    return (type(value).__name__, repr(value))


@given(VALUES, st.randoms(use_true_random=False))
def test_spacing_and_member_order_do_not_matter(value, rng):
    one, two = (digest(canonical_json(spelled(value, rng).encode())) for _ in range(2))
    assert one == two


@given(VALUES, VALUES)
@example(1, 1.0)
@example(1, True)
@example(1, "1")
@example(None, "null")
@example([], {})
@example([[1], 2], [1, [2]])
@example({"a": {"b": 1}}, {"a": 1, "b": 1})
def test_two_values_have_one_key_only_if_they_are_the_same(one, two):
    keys = [digest(canonical_json(json.dumps(value).encode())) for value in (one, two)]
    assert (typed(one) == typed(two)) == (keys[0] == keys[1])


@pytest.mark.parametrize(
    ("one", "two"),
    [("1.0", "1.00"), ("100.0", "1e2"), ('"a"', '"\\u0061"'), ('"/"', '"\\/"'), ('{"a":1}', '{"\\u0061": 1}')],
)
def test_two_spellings_of_one_value_have_one_key(one, two):
    assert digest(canonical_json(one.encode())) == digest(canonical_json(two.encode()))


@pytest.mark.parametrize("text", [str(10**400), "-" + "9" * 4000])
def test_integers_are_read_exactly_however_long(text):
    assert int(text) == canonical_json(text.encode())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"1 2", "not JSON"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e999", "double precision"),
        (b"[-" + b"9" * 400 + b".5]", "double precision"),
        (b'{"a": 1, "b": 2, "a": 1}', "'a' twice"),
        (b'[{"x": {"\\u0061": 1, "a": 2}}]', "'a' twice"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"9" * 5000, "too many digits"),
        (b"[" * (MAX_JSON_DEPTH + 2) + b"]" * (MAX_JSON_DEPTH + 2), "nested too deeply"),
        (b"[" * 500 + b"]" * 500, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_a_body_that_is_no_json_is_refused_and_says_why(body, says):
    with pytest.raises(BadRequestError, match=says):
        canonical_json(body)


@pytest.mark.parametrize("shape", [b'[%s,{"a":[1]}]', b'{"a":%s}'])
def test_the_deepest_body_that_is_taken_can_be_digested(shape):
    body = b"1"
    for _ in range(MAX_JSON_DEPTH - 1):
        body = shape % body
    assert len(digest(canonical_json(body))) == 32


def test_many_containers_side_by_side_are_not_deep():
    body = json.dumps([{"a": [number]} for number in range(10_000)]).encode()
    assert len(canonical_json(body)) == 10_000


@pytest.mark.parametrize(
    ("expected", "content_type"),
    [
        (True, "application/json"),
        (True, "application/ld+json"),
        (False, "application/jsonl"),
        (False, "text/plain"),
        (False, None),
    ],
)
def test_json_is_known_by_its_content_type(expected, content_type):
    assert expected == is_json(content_type)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_any_other_body_is_its_bytes(content_type):
    assert canonical_body(b'{"a":1}', content_type) == b'{"a":1}'


JSON_LIKE = st.lists(st.sampled_from('{}[]:,"\\u0dae1 -.E+nulltrueNaN\n'), max_size=40).map("".join).map(str.encode)
BROKEN = st.tuples(VALUES.map(json.dumps).map(str.encode), st.integers(0, 200), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)


@given(
    body=st.binary() | JSON_LIKE | BROKEN,
    content_type=st.sampled_from(["application/json", "a/b+json", "text/plain", "multipart/form-data", "", None])
    | st.text(),
    query=st.dictionaries(st.text(), st.lists(st.text(), min_size=1, max_size=3).map(tuple), max_size=4),
    headers=st.dictionaries(st.sampled_from(["accept-language", "authorization", "content-type"]), st.text()),
)
def test_whatever_is_sent_gets_a_key_or_a_refusal(body, content_type, query, headers):
    pipeline = ConfiguredPipeline(Terms(name="any", key_headers=("accept-language",)))
    # Whatever else it may raise fails the test.
    with suppress(BadRequestError, UnsupportedMediaError):
        assert len(digest(pipeline.prepare(Request(body, content_type, query, headers)).canonical)) == 32
