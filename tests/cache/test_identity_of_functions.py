"""Functions that look alike have results of their own: other globals, other defaults, other objects that are called."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.cache import LRUCache, cached_result
from recoup.errors import ConfigurationError

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.sampled_from([0, 0.0, -0.0, False, "", b"", 1, 1.0, True, "1", b"1", "T", "N"])
)  # fmt: skip
_ARGUMENTS = st.lists(st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2).map(tuple)), max_size=3)


@pytest.fixture
def cache() -> LRUCache:
    return LRUCache()


def typed(value: Any) -> Any:
    """A value with the types of all its parts, so that `==` tells 1 from True and 0.0 from -0.0."""
    if isinstance(value, (tuple, list)):
        return type(value), [typed(part) for part in value]
    return type(value), repr(value)


def scale(x: int, k: int = 1) -> int:
    return x * k


PLUGIN = """
def scaled(x, extra=0):
    return x * FACTOR + extra

def which(x, extra=0):
    return x % FACTOR
"""


def plugin(factor: int, *, name: str = "plugin", module: types.ModuleType | None = None) -> types.ModuleType:
    """A module of one name and one text that reads another global."""
    module = types.ModuleType(name) if module is None else module
    module.__dict__["FACTOR"] = factor
    exec(PLUGIN, module.__dict__)
    return module


@pytest.mark.parametrize("is_registered", [False, True])
@settings(deadline=None)
@given(factors=st.lists(st.integers(1, 9), min_size=1, max_size=5), x=st.integers(0, 99))
def test_functions_of_one_text_and_other_globals_are_told_apart(
    is_registered: bool, factors: list[int], x: int
) -> None:
    cache = LRUCache()
    with pytest.MonkeyPatch.context() as patch:
        functions = []
        for factor in factors:
            module = plugin(factor)
            if is_registered:
                patch.setitem(sys.modules, "plugin", module)
            functions.append(cached_result(cache=cache, pipeline="one")(module.scaled))

        assert [x * factor for factor in factors] == [function(x) for function in functions]


@pytest.mark.parametrize("is_registered", [False, True])
def test_so_are_functions_that_make_keys(cache: LRUCache, is_registered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for factor in (2, 5):
        module = plugin(factor, name="keys_of")
        if is_registered:
            monkeypatch.setitem(sys.modules, "keys_of", module)
        function = cached_result(cache=cache, pipeline="one", key=module.which)(scale)
        results += [function(number) for number in (3, 4)]

    assert [3, 4, 3, 4] == results, "3 % 2 is not 4 % 2, and 4 % 5 is not 4 % 2"
    assert 0 == cache.stats().hits


def test_a_module_that_is_loaded_again_keeps_its_results(cache: LRUCache, monkeypatch: pytest.MonkeyPatch) -> None:
    module = plugin(3, name="reloaded")
    monkeypatch.setitem(sys.modules, "reloaded", module)
    for _ in range(2):
        assert 12 == cached_result(cache=cache)(module.scaled)(4)
        plugin(3, module=module)

    assert 1 == cache.stats().hits


@settings(deadline=None)
@given(defaults=st.lists(_SCALARS, min_size=2, max_size=4), in_keywords=st.booleans())
def test_functions_that_differ_in_defaults_are_told_apart_whatever_their_key(
    defaults: list[Any], in_keywords: bool
) -> None:
    cache = LRUCache()

    def with_default(value: Any) -> Callable[..., Any]:
        function = types.FunctionType((with_keyword if in_keywords else with_last).__code__, globals(), "with_default")
        function.__qualname__ = "with_default"
        if in_keywords:
            function.__kwdefaults__ = {"last": value}
        else:
            function.__defaults__ = (value,)
        return cached_result(cache=cache, pipeline="one", key=lambda x: x)(function)

    got = [with_default(value)(1) for value in defaults]
    assert [typed(value) for value in defaults] == [typed(value) for value in got]


def with_last(x: int, last: Any = None) -> Any:
    return last


def with_keyword(x: int, *, last: Any = None) -> Any:
    return last


class Held:
    """Can be referenced weakly by nobody, and is no value."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def plus(self, x: int) -> int:
        return self.number + x

    def __call__(self, x: int) -> int:
        return self.number + x


def dispatched(number: int) -> Callable[[int], int]:
    @functools.singledispatch
    def of(x: object) -> int:
        raise TypeError

    of.register(int, lambda x: x + number)
    return of


ALIKE: dict[str, Callable[[int], Callable[..., Any]]] = {
    "built-in bound methods": lambda number: [number].count,
    "methods of what nobody references": lambda number: Held(number).plus,
    "callables that nobody references": Held,
    "partials of bound methods": lambda number: functools.partial(Held.plus, Held(number)),
    "partials": lambda number: functools.partial(scale, k=number),
    "cached by functools": lambda number: functools.lru_cache(lambda x: x + number),
    "cached by functools, of bound methods": lambda number: functools.lru_cache(Held(number).plus),
    "single dispatch": dispatched,
    "partial methods": lambda number: type("T", (), {"m": functools.partialmethod(lambda _, n, x: n + x, number)})().m,
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_callables_of_one_name_are_told_apart(cache: LRUCache, make: Callable[[int], Callable[..., Any]]) -> None:
    plain = [make(number) for number in (3, 4)]
    functions = [cached_result(cache=cache, pipeline="one")(function) for function in plain]

    for _ in range(2):
        assert [function(3) for function in plain] == [function(3) for function in functions]
    assert (2, 2) == (cache.stats().misses, cache.stats().hits)


SIGNATURELESS = {
    "a method of text": ("abc".startswith, ("a",), True),
    "itemgetter": (operator.itemgetter(1), ("abc",), "b"),
    "max": (max, (1, 2), 2),
    "a partial of a class": (functools.partial(int, base=2), ("10",), 2),
}


@pytest.mark.parametrize(("function", "args", "expected"), SIGNATURELESS.values(), ids=SIGNATURELESS)
def test_what_has_no_signature_is_refused_or_given_a_key(
    cache: LRUCache, function: Any, args: tuple[Any, ...], expected: Any
) -> None:
    try:
        inspect.signature(function)
    except ValueError:  # some versions of Python give it one
        with pytest.raises(ConfigurationError, match=r"no signature.*key=lambda \*args: args"):
            cached_result(cache=cache)(function)
    keyed = cached_result(cache=cache, key=lambda *args: args)(function)

    assert [expected, expected] == [keyed(*args), keyed(*args)]
    assert 1 == cache.stats().hits


@pytest.mark.parametrize("function", ["abc".startswith, str.upper, len, {}.get, int.from_bytes])
def test_functions_in_c_have_a_name_with_a_module(cache: LRUCache, function: Any) -> None:
    cached_result(cache=cache, key=lambda *args: args)(function)

    assert [f"builtins.{function.__qualname__}"] == [name for name in cache.stats().pipelines if name]


@pytest.mark.parametrize("kind", [functools.partialmethod, functools.singledispatchmethod])
def test_descriptors_are_refused_with_what_to_do(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{kind.__name__} .*: decorate"):
        cached_result(kind(scale))
