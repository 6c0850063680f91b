"""One declaration of a field: what it takes from a text, what as a value, and what it says of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recoup.errors import ConfigurationError, SettingError
from recoup.fields import Choice, Flag, Kind, Number, Text, UnusableError, Whole, closest, echo, unknown
from recoup.pipelines.definition import OptionTable
from recoup.settings import SETTINGS
from recoup.web.management.fields import CONFIG_FIELDS

KINDS = [
    Whole(1, 100),
    Number(0, 5, "seconds"),
    Number(0, 5, "seconds", above=True),
    Choice(("up", "down")),
    Flag(),
    Text(),
]
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.integers(-2, 102), st.floats(), st.floats(0, 5), st.text()),
    *(st.sampled_from(["up", "UP", " ", "1", "5", 10**400, -(10**400)]), st.binary(), st.lists(st.integers())),
)


def taken(kind: Kind[Any], value: object) -> bool:
    try:
        checked = kind.check(value)
    except UnusableError:
        return False
    assert checked == value
    assert type(checked) is type(value)
    return True


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@given(value=VALUES.filter(lambda value: not isinstance(value, (bytes, float)) or value == value))
def test_a_value_is_taken_as_it_is_or_refused_and_the_schema_says_which(kind: Kind[Any], value: Any) -> None:
    whole_float = isinstance(kind, Whole) and isinstance(value, float)  # one number to JSON, two to Python
    if not isinstance(value, bytes) and not whole_float:
        assert Draft202012Validator(kind.schema()).is_valid(value) == taken(kind, value)
    else:
        assert not taken(kind, value)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@given(text=st.text() | st.from_regex(r"[+-]?[0-9.]{1,6}(e[+-]?[0-9]{1,4})?", fullmatch=True))
def test_a_text_becomes_a_value_of_the_kind_or_is_refused(kind: Kind[Any], text: str) -> None:
    try:
        value = kind.parse(text)
    except UnusableError:
        return
    assert taken(kind, value)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, b"x" * 10**7, 10**5000, -(10**5000), ["x"] * 1000, True, "\ud800"],
    ids=lambda value: type(value).__name__,
)
def test_what_is_repeated_of_a_value_is_short(value: object) -> None:
    assert len(echo(value)) <= 80


def test_an_unknown_name_is_told_the_one_that_was_meant_or_all_there_are() -> None:
    known = ("max_size", "enabled")
    assert "unknown field max_sise; did you mean max_size?" == unknown("field", "max_sise", known)
    assert "unknown field zzz; expected one of enabled, max_size" == unknown("field", "zzz", known)
    assert len(unknown("field", "m" * 10**7, known)) < 200
    assert closest("q" * 10**7, known) is None


@pytest.mark.parametrize(
    ("variable", "member"),
    [
        ("CACHE_MAX_SIZE", "max_size"),
        ("CACHE_MAX_MEMORY_MB", "max_memory_mb"),
        ("CACHE_TTL_SECONDS", "ttl_seconds"),
        ("DISABLE_RESULT_CACHE", "enabled"),
    ],
)
def test_environment_and_management_have_one_kind_for_one_setting(variable: str, member: str) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == variable)
    field = next(field for field in CONFIG_FIELDS if field.name == member)
    assert setting.kind == field.kind


def test_one_mistake_reads_alike_wherever_it_is_made(tmp_path: Any) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == "CACHE_MAX_SIZE")
    with pytest.raises(SettingError) as in_environment:
        setting.parse("x")
    options = OptionTable(tmp_path, "llm", {"max_size": "x"})
    options.take("max_size", setting.kind, 1)
    with pytest.raises(ConfigurationError) as in_toml:
        options.finish()
    field = next(field for field in CONFIG_FIELDS if field.name == "max_size")
    with pytest.raises(UnusableError) as in_json:
        field.check("x")
    with pytest.raises(UnusableError) as in_query:
        field.parse(["x"])
    said = "='x': expected a whole number from 1 to 1000000000"
    assert ["CACHE_MAX_SIZE" + said, "max_size" + said, "max_size" + said] == [
        str(error.value) for error in (in_environment, in_json, in_query)
    ]
    assert f"{tmp_path}: pipeline 'llm': max_size{said}" == str(in_toml.value)
