"""Keys: one for one meaning, never one for two, in whatever process."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import math
import pathlib
import uuid
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup import LRUCache, cached_result
from recoup.cache import digest
from recoup.cache.call_keys import CallKeys, KnownKeys
from recoup.errors import KeyDigestError

from .support import in_a_new_process


class Quality(enum.Enum):
    PREVIEW = 1
    FINE = 2
    BEST = 2  # noqa: PIE796  # an alias


class Colour(enum.Enum):
    PREVIEW = 1


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Size(NamedTuple):
    width: int
    depth: int


class Extent(NamedTuple):
    width: int
    depth: int


class Masked(str):
    def __str__(self) -> str:
        return "***"


class Rounded(float):
    def __float__(self) -> float:
        return 0.0


class Tagged(str):
    tag: str

    @classmethod
    def of(cls, text: str, tag: str) -> Tagged:
        tagged = cls(text)
        tagged.tag = tag
        return tagged


class Own:
    def __init__(self, name: str) -> None:
        self.name = name

    def __recoup_key__(self) -> str:
        return self.name


class OwnToo(Own):
    pass


@dataclasses.dataclass
class Photo:
    name: str
    data: Any = None
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Print:
    name: str
    data: Any = None


UTC = datetime.timezone.utc
DIFFERENT = [
    None, True, False, 0, 1, -1, 2**70, 0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 1j, complex(1), "1", "", "None",
    b"1", b"", bytearray(b"1"), "é", "e\u0301", "\ud800", (), (1,), (1, 2), ((1,), 2), ((1, 2),), [], [1], [1, 2],
    [[1], 2], {}, {1: 2}, {"1": 2}, {1: "2"}, {1.0: 2}, set(), {1}, {1.0}, {"1"}, frozenset(), frozenset({1}),
    {(1, "a")},
    Quality.PREVIEW, Quality.FINE, Colour.PREVIEW, Level.LOW, Rights.READ, Rights.READ | Rights.WRITE,
    Rights.READ | Rights.RUN, Rights(0), Size(1, 2), Extent(1, 2), Masked("a"), Masked("b"), Rounded(1.0), Rounded(2.0),
    Tagged("a"), Tagged.of("a", "de"), Tagged.of("a", "fr"), Own("a"), Own("b"), OwnToo("a"), Photo("a"), Photo("b"),
    Photo("a", 1), Print("a"), int, str, Quality, Photo, ("class", "builtins", "int"), decimal.Decimal("1"),
    decimal.Decimal("1.0"), fractions.Fraction(1), fractions.Fraction(1, 2), datetime.date(2026, 1, 1),
    datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2026, 1, 1, fold=1),
    datetime.time(1), datetime.timedelta(1), datetime.timedelta(0, 1), uuid.UUID(int=1), pathlib.PurePosixPath("a/b"),
    pathlib.PureWindowsPath("a/b"), "a/b", collections.OrderedDict([(1, 2), (3, 4)]),
    collections.OrderedDict([(3, 4), (1, 2)]), {1: 2, 3: 4}, collections.Counter({1: 2, 3: 4}), np.array([1, 2]),
    np.array([1, 2], dtype=np.int32), np.array([1.0, 2.0]), np.array([[1, 2]]), np.array([[1], [2]]), np.array([]),
    np.array(1.0), np.float64(1.0), np.int64(1), np.float32(1.0), np.bool_(True), np.array([1, 2], dtype=">i8"),
    np.zeros(1, dtype=[("a", "<i4"), ("b", "<i4")]), np.zeros(1, dtype=[("a", "<i4"), ("c", "<i4")]),
    np.zeros(1, "<i8"),
    np.array(["1"]), np.array(["2026-01-01"], "datetime64[D]"), np.array(["2026-01-01"], "datetime64[s]"),
]  # fmt: skip


def test_different_values_have_different_keys() -> None:
    keys: dict[str, Any] = {}
    for value in DIFFERENT:
        assert keys.setdefault(digest(value), value) is value, f"{value!r} has the key of {keys[digest(value)]!r}"
    assert len(DIFFERENT) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"z", 1, None, (2,), 3.0}, {3.0, (2,), None, 1, "z"}),
        ({1: "a", "1": "b", None: "c", (1,): "d"}, {(1,): "d", None: "c", "1": "b", 1: "a"}),
        (Quality.FINE, Quality.BEST),
        (math.nan, -math.nan),
        (Photo("a", note="x"), Photo("a", note="y")),
        (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]], order="F")),
        (np.arange(6)[::2], np.array([0, 2, 4])),
        (pathlib.PurePosixPath("a//b"), pathlib.PurePosixPath("a/b")),
        ([True, [b"x"]], [True, [b"x"]]),
    ],
)
def test_what_means_the_same_has_one_key(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


def test_a_key_is_a_128_bit_digest_in_hexadecimal() -> None:
    assert 32 == len(digest()) == len(digest("a", 1))
    assert set(digest("a")) <= set("0123456789abcdef")


def test_the_parts_of_a_key_are_told_apart() -> None:
    parts = [(), ("a",), ("a", "b"), ("ab",), ("a", None), (("a", "b"),), ("a", ""), ("", "a"), (["a", "b"],)]

    assert len(parts) == len({digest(*one) for one in parts})


PROGRAM = """
import datetime, decimal, json, pathlib, uuid
from recoup.cache import digest
print(digest(
    {"b", "a", 1, None, (2, "x")}, {"x": {"y", "z"}, 3: [1.5, b"q"]}, frozenset("hello"), uuid.UUID(int=7),
    datetime.datetime(2026, 1, 1), decimal.Decimal("1.50"), pathlib.PurePosixPath("a"), int, json.JSONDecoder,
))
"""


def test_a_key_is_the_same_in_every_process_whatever_the_hash_seed() -> None:
    keys = {in_a_new_process(PROGRAM, PYTHONHASHSEED=seed) for seed in ("0", "1", "4711")}

    assert 1 == len(keys)
    assert 33 == len(keys.pop())


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False)
    | st.sampled_from([0.0, 1.0, 2.0])
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=6,
)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal in type and value, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        one, other = list(one.items()), list(other.items())
    elif isinstance(one, (set, frozenset)):
        one, other = list(one), list(other)
    else:
        return one == other
    return len(one) == len(other) and all(any(alike(item, candidate) for candidate in other) for item in one)


@settings(max_examples=400, deadline=None)
@given(VALUES, VALUES)
def test_two_values_share_a_key_exactly_when_they_are_alike(one: Any, other: Any) -> None:
    assert alike(one, other) is (digest(one) == digest(other))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([0, 1, True, 1.0, "", "1", (), (1,), [], [1], [[1]], None, b"1"]), max_size=4))
def test_nesting_is_told_apart(items: list[Any]) -> None:
    forms = [items, tuple(items), [items], [[*items, None]], [*items, None], {"a": items}]

    assert len(forms) == len({digest(form) for form in forms})


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, iter([]), (number for number in [1]), np.array([object()]), open, [1, {"deep": object()}]],
    ids=["object", "function", "iterator", "generator", "array of objects", "built-in", "deep inside"],
)
def test_what_has_no_canonical_form_is_refused_with_what_to_do(value: Any) -> None:
    with pytest.raises(KeyDigestError, match="key=") as caught:
        digest(value)
    assert isinstance(caught.value, TypeError)


def test_a_class_made_in_a_function_is_refused() -> None:
    def make(number: int) -> type:
        class Local:
            value = number

        return Local

    with pytest.raises(KeyDigestError, match="key="):
        digest(make(1))


@pytest.mark.parametrize("kind", [list, dict])
def test_what_contains_itself_is_refused(kind: type) -> None:
    value: Any = kind()
    if kind is list:
        value.append(value)
    else:
        value["self"] = value

    with pytest.raises(KeyDigestError, match="contains itself"):
        digest(value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(KeyDigestError, match="nested too deeply"):
        digest(value)
    while value:  # taken apart here, step by step
        value = value.pop()


def generate(image: bytes, quality: str = "standard", *sizes: int, invert: bool = False, **more: Any) -> None:
    """A function to make keys of."""


def plain(image: bytes, quality: str = "standard") -> None:
    """Another one, whose parameters are all plain."""


def test_one_call_has_one_key_however_it_is_written() -> None:
    keys = CallKeys(generate, "1", None)
    ways = [
        ((b"x",), {}),
        ((), {"image": b"x"}),
        ((b"x", "standard"), {}),
        ((b"x",), {"quality": "standard"}),
        ((), {"quality": "standard", "image": b"x"}),
        ((b"x",), {"invert": False}),
    ]
    assert 1 == len({keys.key(*way) for way in ways})  # type: ignore[arg-type]
    assert keys.key((b"x",), {"b": 1, "a": 2}) == keys.key((b"x",), {"a": 2, "b": 1})
    keys = CallKeys(plain, "1", None)
    assert 1 == len({keys.key(*way) for way in ways[:5]})  # type: ignore[arg-type]


def test_calls_that_differ_have_keys_that_differ() -> None:
    keys = CallKeys(generate, "1", None)
    ways = [
        ((b"x",), {}),
        ((b"y",), {}),
        (("x",), {}),
        ((b"x", "fine"), {}),
        ((b"x", "fine", 1), {}),
        ((b"x", "fine", 1, 2), {}),
        ((b"x", "fine", (1, 2)), {}),
        ((b"x",), {"invert": True}),
        ((b"x",), {"invert": 0}),
        ((b"x",), {"more": 1}),
        ((b"x",), {"other": 1}),
    ]
    digests = [keys.key(*way) for way in ways]  # type: ignore[arg-type]
    digests += [CallKeys(generate, "2", None).key(*ways[0]), CallKeys(plain, "1", None).key(*ways[0])]  # type: ignore[arg-type]

    assert len(ways) + 2 == len(set(digests))


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations([1, 1.0, True, "1", b"1", None, np.int64(1)], 2))
)
def test_arguments_are_typed(one: Any, other: Any) -> None:
    keys = CallKeys(plain, "1", None)

    assert keys.key((one,), {}) != keys.key((other,), {})


def test_an_argument_that_cannot_be_digested_is_an_error_that_names_the_function() -> None:
    with pytest.raises(KeyDigestError, match=r"plain\(\).*object.*key="):
        CallKeys(plain, "1", None).key((object(),), {})


def test_arguments_that_the_function_does_not_take_are_its_own_error() -> None:
    with pytest.raises(TypeError, match="image"):
        CallKeys(plain, "1", None).key((), {})


class TestKnownKeys:
    @pytest.mark.parametrize("order", [(1, True, 1.0), (True, 1.0, 1), (1.0, 1, True)])
    def test_equal_arguments_of_other_types_stay_other_calls(self, order: tuple[object, ...]) -> None:
        @cached_result(cache=LRUCache())
        def kind(value: object) -> type:
            return type(value)

        for _ in range(3):
            assert [type(value) for value in order] == [kind(value) for value in order]

    def test_a_call_is_known_from_its_second_time_on(self) -> None:
        known = KnownKeys()
        known.remember((1, "a", b"b", None), "key")
        assert {(1, "a", b"b", None): "key"} == known.keys

    @pytest.mark.parametrize("argument", [True, 1.0, "x" * 512, (1,), 10**2000])
    def test_what_is_large_or_equal_to_others_is_not_kept(self, argument: object) -> None:
        known = KnownKeys()
        known.remember((argument,), "key")
        assert {} == known.keys

    def test_the_calls_that_are_known_are_bounded(self) -> None:
        known = KnownKeys()
        for number in range(5000):
            known.remember((number,), str(number))
        assert len(known.keys) <= 1024
