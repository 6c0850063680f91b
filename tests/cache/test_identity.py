"""No call is answered with what belongs to another: whatever can tell two calls apart belongs to the key."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import ipaddress
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.cache import LRUCache, cached_result, digest
from recoup.cache.call_keys import CallKeys
from recoup.errors import ConfigurationError, KeyDigestError


@pytest.fixture
def cache() -> LRUCache:
    return LRUCache()


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    def _fetch(self, item: str) -> str:
        return f"{item} of {self.name}"

    async def _afetch(self, item: str) -> str:
        return f"{item} of {self.name}"

    @classmethod
    def make(cls, item: str) -> str:
        return f"{item} by {cls.__name__}"


class Bakery(Shop):
    """Inherits `make`, whose name stays that of `Shop`."""


def test_bound_methods_belong_to_their_instance(cache: LRUCache) -> None:
    ada, bob = (cached_result(cache=cache)(Shop(name)._fetch) for name in ("Ada", "Bob"))

    assert ("bread of Ada", "bread of Bob", "bread of Ada") == (ada("bread"), bob("bread"), ada("bread"))
    assert (1, 2) == (ada.cache_info().hits, ada.cache_info().misses)


def test_bound_coroutine_methods_too(cache: LRUCache) -> None:
    ada, bob = (cached_result(cache=cache)(Shop(name)._afetch) for name in ("Ada", "Bob"))

    async def main() -> list[str]:
        return [await ada("bread"), await bob("bread")]

    assert ["bread of Ada", "bread of Bob"] == asyncio.run(main())


def test_class_methods_belong_to_their_class(cache: LRUCache) -> None:
    shop, bakery = (cached_result(cache=cache)(kind.make) for kind in (Shop, Bakery))

    assert ("bread by Shop", "bread by Bakery") == (shop("bread"), bakery("bread"))


def test_a_bound_methods_own_key_is_its_instances_own(cache: LRUCache) -> None:
    ada, bob = (cached_result(cache=cache, key=lambda item: item)(Shop(name)._fetch) for name in ("Ada", "Bob"))

    assert ("bread of Ada", "bread of Bob") == (ada("bread"), bob("bread"))


def base(x: int) -> int:
    return x


def add(number: int) -> Callable[[Callable[[int], int]], Callable[[int], int]]:
    def decorate(function: Callable[[int], int]) -> Callable[[int], int]:
        @functools.wraps(function)
        def wrapper(x: int) -> int:
            return function(x) + number

        return wrapper

    return decorate


def test_wrappers_of_one_function_are_told_apart(cache: LRUCache) -> None:
    functions = [cached_result(cache=cache)(function) for function in (add(1)(base), add(2)(base), base)]

    assert [11, 12, 10] == [function(10) for function in functions]
    assert [11, 12, 10] == [function(10) for function in functions]
    assert 3 == cache.stats().hits


def scale(x: int, k: int = 1) -> int:
    return x * k


def test_partials_are_told_apart_from_what_they_call(cache: LRUCache) -> None:
    thrice = functools.update_wrapper(functools.partial(scale, k=3), scale)
    functions = [cached_result(cache=cache)(one) for one in (scale, thrice, functools.partial(scale, k=4))]

    assert [5, 15, 20] == [function(5) for function in functions]


def test_one_function_decorated_twice_has_two_accounts(cache: LRUCache) -> None:
    def keyed(**options: Any) -> Any:
        return cached_result(cache=cache, **options)(scale)

    one, other = keyed(pipeline="one"), keyed(pipeline="other")
    assert (6, 6) == (one(2, 3), other(2, 3))
    assert (1, 1) == (one.cache_info().misses, other.cache_info().misses)
    assert one.invalidate(2, 3)
    assert 1 == other.cache_info().entries

    by_x, by_k = keyed(key=lambda x, k: x), keyed(key=lambda x, k: k)
    assert (6, 15) == (by_x(2, 3), by_k(5, 3))
    assert 14 == by_x(7, 2)


class By:
    def __init__(self, name: str) -> None:
        self.name = name

    def of(self, x: int, k: int) -> int:
        return {"x": x, "k": k}[self.name]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (By("x").of, By("k").of),
        (lambda x, k: [x for _ in (1,)], lambda x, k: [k for _ in (1,)]),
        (lambda *both: both[:1], lambda both, k: both[:1]),
    ],
    ids=["bound methods", "cells", "parameters"],
)
def test_one_function_with_two_keys_has_two_sets_of_entries(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    assert _prefix(one) != _prefix(other)


def tens(x: int, k: int = 1) -> int:
    return x * 10 + k


def _prefix(key: Callable[..., Any]) -> bytes:
    return CallKeys(tens, "1", key).prefix


class Plain:
    """Nothing tells its instances apart."""

    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Named(Point):
    """A subclass with an attribute that is no field."""

    def __init__(self, x: int, name: str) -> None:
        super().__init__(x)
        self.name = name


class Slotted(Point):
    __slots__ = ("__hidden", "name")

    def __init__(self, x: int, name: str) -> None:
        super().__init__(x)
        self.name = "same"
        self.__hidden = name


@dataclasses.dataclass
class Scaled:
    x: int
    factor: dataclasses.InitVar[int] = 1

    def __post_init__(self, factor: int) -> None:
        self.scaled = self.x * factor


class Labelled(np.ndarray):
    label: str


def labelled(label: str) -> Labelled:
    array = np.arange(3).view(Labelled)
    array.label = label
    return array


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int
    _private: int = pydantic.PrivateAttr(default=0)


class Moment(datetime.datetime):
    pass


class Amount(decimal.Decimal):
    pass


class Ident(uuid.UUID):
    pass


class Deck(collections.deque[int]):
    pass


def local_classes(kind: str) -> tuple[Any, Any]:
    """Instances of two classes that have one name."""
    made = []
    for _ in range(2):
        if kind == "dataclass":

            @dataclasses.dataclass
            class Local:
                x: int = 1

            made.append(Local())
        elif kind == "enum":

            class Choice(enum.Enum):
                A = 1

            made.append(Choice.A)  # type: ignore[arg-type]
        else:
            made.append(collections.namedtuple("Pair", "x y")(1, 2))  # type: ignore[arg-type, call-arg]
    return made[0], made[1]


class Zone(datetime.tzinfo):
    """Says the same of all its instances, but is another class in its subclass."""

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return HOUR

    def dst(self, when: datetime.datetime | None) -> None:
        return None

    def tzname(self, when: datetime.datetime | None) -> str:
        return "zone"

    def __repr__(self) -> str:
        return "zone"


class OtherZone(Zone):
    pass


class Impedance(complex):
    pass


class Secret(bytearray):
    def __bytes__(self) -> bytes:
        return b"***"


class Track(pd.Series):  # type: ignore[misc]
    _metadata: ClassVar[list[str]] = ["label"]


def with_attribute(value: Any, name: str, held: str) -> Any:
    object.__setattr__(value, name, held)
    return value


class Tagged(pathlib.PurePosixPath):
    pass


HOUR = datetime.timedelta(hours=1)
_CET = datetime.timezone(HOUR, "CET")
_NOW = datetime.datetime(2024, 3, 1, 12)
PAIRS: dict[str, tuple[Any, Any]] = {
    "a dataclass' subclass": (Named(1, "a"), Named(1, "b")),
    "slots of a subclass": (Slotted(1, "a"), Slotted(1, "b")),
    "an InitVar": (Scaled(1, 2), Scaled(1, 3)),
    "an array's attribute": (labelled("a"), labelled("b")),
    "an array and its subclass": (np.arange(3), np.arange(3).view(Labelled)),
    "masks": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),  # type: ignore[arg-type]
    "a masked and a plain array": (np.ma.array([1, 2]), np.array([1, 2])),
    "local dataclasses": local_classes("dataclass"),
    "local enums": local_classes("enum"),
    "local named tuples": local_classes("namedtuple"),
    "default factories": (collections.defaultdict(int), collections.defaultdict(list)),
    "a deque's length": (collections.deque([1], 2), collections.deque([1], 3)),
    "a deque and its subclass": (collections.deque([1]), Deck([1])),
    "ranges": (range(3), range(4)),
    "ranges and tuples": (range(2), (0, 1)),
    "patterns' flags": (re.compile("a"), re.compile("a", re.IGNORECASE)),
    "addresses": (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")),
    "an address and its text": (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    "an interface and an address": (ipaddress.ip_interface("10.0.0.1"), ipaddress.ip_address("10.0.0.1")),
    "moments": (Moment(2024, 1, 1), datetime.datetime(2024, 1, 1)),
    "amounts": (Amount("1.0"), Amount("1.00")),
    "an amount and its base": (Amount("1"), decimal.Decimal("1")),
    "identifiers": (Ident(int=1), Ident(int=2)),
    "models": (Model(x=1), Model(x=2)),
    "models' extras": (Model(x=1, y=1), Model(x=1, y=2)),  # type: ignore[call-arg]
    "timestamps' nanoseconds": (pd.Timestamp(_NOW), pd.Timestamp(_NOW) + pd.Timedelta(1, "ns")),
    "timestamps and datetimes": (pd.Timestamp(_NOW), _NOW),
    "frames": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    "frames' columns": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "frames' indexes": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[5])),
    "frames' types": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
    "frames of text": (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]})),
    "frames of objects": (pd.DataFrame({"a": [(1,)]}), pd.DataFrame({"a": [(1.0,)]})),
    "series' names": (pd.Series([1], name="a"), pd.Series([1], name="b")),
    "categories": (pd.Series(["a"], dtype="category"), pd.Series(pd.Categorical(["a"], ["a", "b"]))),
    "index and series": (pd.Index([1]), pd.Series([1])),
    "mapping proxies": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "zones of one name": (datetime.timezone(HOUR, "X"), datetime.timezone(2 * HOUR, "X")),
    "moments in zones of one name": (_NOW.replace(tzinfo=_CET), _NOW.replace(tzinfo=zoneinfo.ZoneInfo("CET"))),
    "timestamps in zones of one name": (pd.Timestamp(_NOW, tz=_CET), pd.Timestamp(_NOW, tz=zoneinfo.ZoneInfo("CET"))),
    "zones of two classes": (_NOW.replace(tzinfo=Zone()), _NOW.replace(tzinfo=OtherZone())),
    "signs of zeros": (Impedance(1, -0.0), Impedance(1, 0.0)),
    "bytes that say something else": (Secret(b"a"), Secret(b"b")),
    "paths' attributes": (with_attribute(Tagged("a"), "tag", "x"), with_attribute(Tagged("a"), "tag", "y")),
    "series' attributes": (with_attribute(Track([1]), "label", "x"), with_attribute(Track([1]), "label", "y")),
    "frames' attributes": tuple(with_attribute(pd.DataFrame({"a": [1]}), "unit", unit) for unit in ("kg", "lb")),
    "slices": (slice(1), slice(2)),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_values_that_differ_have_keys_that_differ(one: Any, other: Any) -> None:
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Named(1, "a"),
        lambda: Model(x=1, y=[1]),  # type: ignore[call-arg]
        lambda: pd.DataFrame({"a": [1.5, None], 2: ["x", None]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        lambda: pd.Series(pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin")),
        lambda: pd.date_range("2024-01-01", periods=3),
        lambda: np.ma.array([1.5, 2], mask=[0, 1]),  # type: ignore[arg-type]
        lambda: Moment(2024, 1, 1, tzinfo=datetime.timezone.utc),
        lambda: re.compile(b"a+"),
        lambda: ipaddress.ip_network("10.0.0.0/8"),
    ],
)
def test_values_that_are_alike_have_one_key(make: Callable[[], Any]) -> None:
    assert digest(make()) == digest(make())


def test_what_nothing_can_tell_is_refused() -> None:
    with pytest.raises(KeyDigestError, match="key="):
        digest(Plain())


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.sampled_from([0, 0.0, -0.0, False, "", b"", 1, 1.0, True, "1", b"1", "T", "N"])
)  # fmt: skip
_ARGUMENTS = st.lists(st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2).map(tuple)), max_size=3)


def typed(value: Any) -> Any:
    """A value with the types of all its parts, so that `==` tells 1 from True and 0.0 from -0.0."""
    if isinstance(value, (tuple, list)):
        return type(value), [typed(part) for part in value]
    return type(value), repr(value)


@settings(deadline=None)
@given(one=_ARGUMENTS, other=_ARGUMENTS)
def test_simple_arguments_have_one_key_each(one: list[Any], other: list[Any]) -> None:
    cache = LRUCache()
    padded_one, padded_other = ([*args, *["pad"] * (3 - len(args))] for args in (one, other))
    function = cached_result(cache=cache)(three)
    function(*padded_one)
    function(*padded_other)

    assert (1 if typed(padded_one) == typed(padded_other) else 2) == function.cache_info().entries


def three(a: Any, b: Any, c: Any = "pad", *, d: int = 0) -> int:
    return 1


@settings(deadline=None)
@given(a=_SCALARS, b=_SCALARS, c=_SCALARS)
def test_one_call_has_one_key_in_whatever_way_it_is_written(a: Any, b: Any, c: Any) -> None:
    function = cached_result(cache=LRUCache())(three)
    for call in (
        lambda: function(a, b, c),
        lambda: function(a, b, c=c),
        lambda: function(a, c=c, b=b),
        lambda: function(d=0, c=c, b=b, a=a),
    ):
        call()

    assert (1, 3) == (function.cache_info().misses, function.cache_info().hits)


def test_calls_that_the_function_does_not_take_are_refused_as_it_refuses_them() -> None:
    function: Any = cached_result(cache=LRUCache())(three)
    for args, kwargs in (((1,), {}), ((1, 2, 3, 4), {}), ((1, 2), {"e": 1}), ((1, 2), {"a": 1}), ((), {"b": 1})):
        with pytest.raises(TypeError, match="argument"):
            function(*args, **kwargs)


class Adder:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, x: int) -> int:
        return x + self.number


class Page:
    def __init__(self, text: str) -> None:
        self.text = text
        self.reached = 0

    @cached_result(cache=LRUCache())  # type: ignore[prop-decorator]
    @property
    def above(self) -> str:
        self.reached += 1
        return self.text

    @property
    @cached_result(cache=LRUCache())
    def below(self) -> str:
        self.reached += 1
        return self.text


@pytest.mark.parametrize("name", ["above", "below"])
def test_properties_belong_to_their_instance(name: str) -> None:
    one, other = Page("one"), Page("other")

    assert ["one", "one", "other"] == [getattr(page, name) for page in (one, one, other)]
    assert (1, 1) == (one.reached, other.reached)


def test_callable_objects_are_told_by_their_identity(cache: LRUCache) -> None:
    one, two = (cached_result(cache=cache)(Adder(number)) for number in (1, 2))

    assert (11, 12, 11) == (one(10), two(10), one(10))
    assert 1 == cache.stats().hits


def test_a_decorator_below_may_inject_an_argument(cache: LRUCache) -> None:
    def inject(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function("session", *args, **kwargs)

        return wrapper

    @cached_result(cache=cache)
    @inject
    def query(session: str, x: int, y: int = 2) -> list[Any]:
        return [session, x, y]

    assert (["session", 5, 2], ["session", 5, 1]) == (query(5), query(5, 1))
    assert query(5) is query(5)


@pytest.mark.parametrize("thing", [60, "name", None.__class__, functools.cached_property(len)])
def test_what_is_no_function_is_refused_with_what_to_do(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"ttl_seconds=|decorate a"):
        cached_result(thing)
