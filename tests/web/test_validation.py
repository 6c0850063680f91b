"""What a body and a query may be, and what is said of one that may not."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recoup.errors import BadRequestError, UnsupportedMediaError
from recoup.fields import Choice, Flag, Number, Text, UnusableError, Whole
from recoup.strict_json import parse as parse_json
from recoup.web.responses import encode
from recoup.web.validation import Field, check_object, check_query, require_json_type

SIZE = Field("size", Whole(1, 100), "A size.")
SHARE = Field("share", Number(0, 1, "share", above=True), "A share.")
LIFE = Field("life", Number(0, 10**9, "seconds"), "A life.", nullable=True)
ON = Field("on", Flag(), "On or off.")
SORT = Field("sort", Choice(("up", "down")), "An order.", default="up")
NAME = Field("name", Text(), "A name.")
FIELDS = (SIZE, SHARE, LIFE, ON, SORT, NAME)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="open"),
        pytest.param(b"{} {}", id="two"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": NaN}', id="nan"),
        pytest.param(b'{"a": Infinity}', id="infinity"),
        pytest.param(b'{"a": -Infinity}', id="negative infinity"),
        pytest.param(b'{"a": 1e999}', id="too large"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="too long"),
        pytest.param(b'{"a": 1, "a": 1}', id="a member twice"),
        pytest.param(b'{"b": {"a": 1, "a": 2}}', id="an inner member twice"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="utf-16"),
        pytest.param(b'{"a": "\xff"}', id="not utf-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b"[" * 60_000, id="nested deeply"),
        pytest.param(b'{"a":' * 10_000, id="objects nested deeply"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"^The body is n"):
        check_object(parse_json(body), (Field("a", Whole(0, 10), ""),))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_what_is_json_is_read_as_it_was_written(value: Any) -> None:
    assert value == parse_json(encode(value))


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """Nothing else is ever raised."""
    with suppress(BadRequestError):
        parse_json(body)


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_a_body_must_be_an_object(value: Any) -> None:
    with pytest.raises(BadRequestError, match=r"^The body must be a JSON object, not "):
        check_object(value, FIELDS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", True),
        ("size", "5"),
        ("size", 5.5),
        ("size", None),
        ("size", 0),
        ("size", 101),
        ("size", 10**400),
        ("size", []),
        ("share", "0.5"),
        ("share", False),
        ("share", 0),
        ("share", 1.5),
        ("share", {}),
        ("life", -1),
        ("life", "never"),
        ("on", 1),
        ("on", "true"),
        ("on", None),
        ("sort", "left"),
        ("sort", 1),
        ("name", ""),
        ("name", " "),
        ("name", 1),
        ("other", 1),
        ("", 1),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_object({name: value}, FIELDS)
    (fault,) = caught.value.errors
    assert f"/{name}" == fault["pointer"]
    assert fault["detail"] in str(caught.value)
    assert ("size", "share", "life", "on", "sort", "name") == caught.value.allowed


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 1), ("size", 100), ("share", 1), ("share", 1e-9), ("life", None), ("life", 0), ("on", False)],
)
def test_a_value_on_the_edge_is_taken(name: str, value: Any) -> None:
    assert {name: value} == check_object({name: value}, FIELDS)


def test_a_number_without_a_fraction_is_an_integer() -> None:
    """JSON knows no other difference between 5 and 5.0."""
    checked = check_object({"size": 5.0}, FIELDS)
    assert "5" == repr(checked["size"])


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_object({"size": "5", "a/b~c": 1, "on": 0}, FIELDS)
    assert ["/size", "/a~1b~0c", "/on"] == [fault["pointer"] for fault in caught.value.errors]


def test_a_long_value_is_cut_where_it_is_repeated() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_object({"x" * 10_000: 1, "sort": "y" * 10_000}, FIELDS)
    assert len(str(caught.value)) < 500


@given(st.dictionaries(st.sampled_from([*(field.name for field in FIELDS), "other"]), st.from_type(object)))
def test_any_object_is_checked_or_refused(value: dict[str, Any]) -> None:
    """Nothing else is ever raised."""
    with suppress(BadRequestError):
        assert value == check_object(value, FIELDS)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@given(value=st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
def test_the_schema_allows_exactly_what_the_check_allows(field: Field, value: Any) -> None:
    try:
        field.check(value)
    except UnusableError:
        taken = False
    else:
        taken = True
    assert Draft202012Validator(field.schema()).is_valid(value) == taken


def test_a_query_has_its_defaults() -> None:
    assert {"size": None, "sort": "up"} == check_query({}, (SIZE, SORT))
    assert {"size": 7, "sort": "down"} == check_query({"size": ["7"], "sort": ["down"]}, (SIZE, SORT))


@pytest.mark.parametrize(
    "values",
    [["0"], ["101"], ["-1"], ["+500"], ["5.0"], ["five"], [""], ["5 "], ["٥"], ["1_0"], ["9" * 5000], ["5", "5"]],
    ids=lambda values: values[0][:5],
)
def test_a_query_member_that_is_not_allowed_is_refused_and_named(values: list[str]) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_query({"size": values}, (SIZE, SORT))
    assert ["size"] == [fault["parameter"] for fault in caught.value.errors]


def test_an_unknown_query_member_is_refused_and_named() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_query({"sizes": ["1"]}, (SIZE, SORT))
    assert (["sizes"], ("size", "sort")) == ([f["parameter"] for f in caught.value.errors], caught.value.allowed)


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        ("size=0: expected a whole number from 1 to 100", {"size": 0}),
        ("size=true: expected a whole number from 1 to 100", {"size": True}),
        ("share='x': expected a number above 0 and up to 1 (share)", {"share": "x"}),
        ("life=an array: expected a number from 0 to 1000000000 (seconds), or null", {"life": []}),
        ("sort='left': expected one of up, down", {"sort": "left"}),
        ("on=null: expected true or false", {"on": None}),
        ("unknown field sise; did you mean size?", {"sise": 1}),
        ("unknown field zzz; expected one of life, name, on, share, size, sort", {"zzz": 1}),
        ("size=an integer of very many digits: expected a whole number from 1 to 100", {"size": 10**4000}),
    ],
)
def test_a_refusal_says_name_value_and_what_is_expected(expected: str, body: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_object(body, FIELDS)
    assert f"Unusable body: {expected}." == str(caught.value)


@pytest.mark.parametrize("known", [True, False])
def test_a_query_of_a_million_members_is_refused_in_few_words(known: bool) -> None:
    query = {"size": ["1"] * 10**6} if known else {f"size{number}": ["1"] for number in range(10**4)}
    with pytest.raises(BadRequestError) as caught:
        check_query(query, (SIZE,))
    assert len(str(caught.value)) < 500
    assert len(caught.value.errors) <= 100


@pytest.mark.parametrize("header", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_may_say_so_in_any_case(header: str) -> None:
    require_json_type(header)


@pytest.mark.parametrize(
    "header", [None, "", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/json2"]
)
def test_another_type_than_json_is_refused(header: str | None) -> None:
    with pytest.raises(UnsupportedMediaError) as caught:
        require_json_type(header)
    assert ("application/json",) == caught.value.allowed
