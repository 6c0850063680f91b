"""`@cached_result`: functions, coroutine functions and methods, and what they offer once they are decorated."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from clock import FakeClock
from recoup.cache import LRUCache, cached_result, call_keys, set_cache
from recoup.errors import ConfigurationError, FlightTimeoutError, KeyDigestError

from .support import TIME_LIMIT, Threads, together


@pytest.fixture
def cache(clock: FakeClock) -> LRUCache:
    return LRUCache(clock=clock)


@pytest.fixture
def process_cache() -> Iterator[LRUCache]:
    """The process-wide cache, for as long as a test runs."""
    made = LRUCache()
    set_cache(made)
    yield made
    set_cache(None)


@cached_result
def bare(x: Any) -> list[Any]:
    """A docstring."""
    return [x]


@cached_result(ttl_seconds=5, pipeline="named")
async def with_arguments(x: Any) -> list[Any]:
    return [x]


def test_bare_it_uses_the_process_wide_cache_and_its_own_name(process_cache: LRUCache) -> None:
    assert bare(1) is bare(1)
    assert [1.0] == bare(1.0)

    stats = process_cache.stats().pipelines[f"{__name__}.bare"]
    assert (1, 2) == (stats.hits, stats.misses)
    assert 3 == sum(h.count for h in process_cache.stats().histograms[f"{__name__}.bare"].request_duration.values())


def test_with_arguments_it_uses_its_own_pipeline(process_cache: LRUCache) -> None:
    async def main() -> None:
        assert await with_arguments(1) is await with_arguments(x=1)

    asyncio.run(main())
    assert 1 == process_cache.stats().pipelines["named"].hits
    assert 4.0 < process_cache.entries()[0]["expires_in_seconds"] <= 5.0


def test_it_looks_like_the_function() -> None:
    assert ("bare", "A docstring.", __name__) == (bare.__name__, bare.__doc__, bare.__module__)
    assert [1] == bare.__wrapped__(1)
    assert "(x: 'Any') -> 'list[Any]'" == str(inspect.signature(bare))


def counted(cache: LRUCache, **options: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A decorated function, and the calls that reached it."""
    reached: list[Any] = []

    @cached_result(cache=cache, **options)
    def function(*args: Any, **kwargs: Any) -> Any:
        reached.append((args, kwargs))
        return args[0] if args else None

    return function, reached


def test_none_is_a_result(cache: LRUCache) -> None:
    function, reached = counted(cache)

    assert (None, None) == (function(None), function(None))
    assert 1 == len(reached)


def test_errors_are_not_kept(cache: LRUCache) -> None:
    reached: list[int] = []

    @cached_result(cache=cache)
    def function() -> str:
        reached.append(1)
        if len(reached) == 1:
            raise ValueError("no luck")
        return "mesh"

    with pytest.raises(ValueError, match="no luck"):
        function()
    assert ("mesh", "mesh") == (function(), function())
    assert 2 == len(reached)
    assert 1 == function.cache_info().generation_failures["error"]


def test_a_ttl_of_its_own(cache: LRUCache, clock: FakeClock) -> None:
    function, reached = counted(cache, ttl_seconds=5)
    lasting, _ = counted(cache, ttl_seconds=None)
    function(1)
    lasting(2)
    clock.advance(4.75)
    function(1)
    assert 1 == len(reached)
    clock.advance(0.25)
    function(1)

    assert 2 == len(reached)
    assert 1 == function.cache_info().miss_reasons["expired"]  # type: ignore[attr-defined]
    clock.advance(10.0**9)
    assert 2 == lasting(2)


def test_a_key_of_its_own(cache: LRUCache) -> None:
    function, reached = counted(cache, key=lambda image, **_: image.lower())
    function("A", handle=object())
    function("a", handle=object())

    assert 1 == len(reached)
    assert function.invalidate("A", handle=None) is True  # type: ignore[attr-defined]


def test_a_version_is_part_of_the_key(cache: LRUCache) -> None:
    def function(x: int) -> list[int]:
        return [x]

    first, second = (cached_result(cache=cache, version=version)(function) for version in "12")
    assert first(1) is not second(1)


def test_what_it_offers(cache: LRUCache) -> None:
    function, reached = counted(cache, pipeline="mine")
    other, other_reached = counted(cache, pipeline="other")
    for x in (1, 2, 2):
        function(x)
    other(1)

    assert (1, 2, 2) == (function.cache_info().hits, function.cache_info().misses, function.cache_info().entries)  # type: ignore[attr-defined]
    assert function.invalidate(1) is True  # type: ignore[attr-defined]
    assert function.invalidate(1) is False  # type: ignore[attr-defined]
    function(1)
    assert 1 == function.cache_info().miss_reasons["invalidated"]  # type: ignore[attr-defined]
    assert 2 == function.cache_clear()  # type: ignore[attr-defined]
    assert 0 == function.cache_info().entries  # type: ignore[attr-defined]
    other(1)
    assert (3, 1) == (len(reached), len(other_reached))


def test_the_figures_of_a_function_that_was_never_called_are_zeros(cache: LRUCache) -> None:
    function, _ = counted(cache)

    assert (0, None) == (function.cache_info().lookups, function.cache_info().hit_ratio)  # type: ignore[attr-defined]


def test_disabled_every_call_reaches_the_function(cache: LRUCache) -> None:
    function, reached = counted(cache)
    cache.configure(enabled=False)

    assert (1, 1) == (function(1), function(1))
    assert (2, 2) == (len(reached), function.cache_info().bypassed)  # type: ignore[attr-defined]


def test_functions_that_share_a_name_share_no_results(cache: LRUCache) -> None:
    def times(number: int) -> Callable[[int], int]:
        @cached_result(cache=cache)
        def product(x: int) -> int:
            return x * number

        return product

    double, triple = cached_result(cache=cache)(lambda x: 2 * x), cached_result(cache=cache)(lambda x: 3 * x)
    assert (4, 6) == (times(2)(2), times(3)(2))
    assert (4, 6) == (double(2), triple(2))


def test_a_function_that_is_defined_anew_does_not_answer_with_its_predecessors_results(cache: LRUCache) -> None:
    names: dict[str, Any] = {"__name__": "a_notebook", "decorate": cached_result(cache=cache)}
    exec("@decorate\ndef f(x): return x + 1", names)
    assert 2 == names["f"](1)
    exec("@decorate\ndef f(x): return x + 2", names)
    assert 3 == names["f"](1)


def test_what_cannot_be_kept_is_refused_at_once() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def agenerator() -> Any:
        yield 1

    for function in (generator, agenerator):
        with pytest.raises(ConfigurationError, match="generator"):
            cached_result(function)


def test_an_argument_that_cannot_be_digested_is_refused_with_what_to_do(cache: LRUCache) -> None:
    function, reached = counted(cache)
    with pytest.raises(KeyDigestError, match=r"key="):
        function(object())
    assert [] == reached


def test_threads_share_one_call(cache: LRUCache) -> None:
    may_end = threading.Event()
    reached: list[int] = []

    @cached_result(cache=cache)
    def slow(x: int) -> list[int]:
        reached.append(x)
        assert may_end.wait(TIME_LIMIT)
        return [x]

    calling = Threads([lambda: slow(1)] * 20)
    may_end.set()
    results = calling.join()
    assert [1] == reached
    assert {id(results[0])} == set(map(id, results))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [[x % 5] for x in range(100)] == list(pool.map(slow, [x % 5 for x in range(100)]))
    assert [0, 1, 2, 3, 4] == sorted(reached)


def test_a_call_waits_no_longer_than_its_limit(cache: LRUCache) -> None:
    begun, may_end = threading.Event(), threading.Event()

    @cached_result(cache=cache, wait_seconds=0.01)
    def slow() -> None:
        begun.set()
        assert may_end.wait(TIME_LIMIT)

    leader = Threads([slow])
    assert begun.wait(TIME_LIMIT)
    with pytest.raises(FlightTimeoutError):
        slow()
    may_end.set()
    leader.join()


def test_a_recursive_function(cache: LRUCache) -> None:
    reached: list[int] = []

    @cached_result(cache=cache)
    def fibonacci(n: int) -> int:
        reached.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert [832040] == together(lambda: fibonacci(30))
    assert 31 == len(reached)


def test_coroutine_functions(cache: LRUCache) -> None:
    reached: list[int] = []

    @cached_result(cache=cache)
    async def function(x: int) -> list[int]:
        reached.append(x)
        await asyncio.sleep(0)
        return [x]

    async def main() -> None:
        results = await asyncio.gather(*(function(1) for _ in range(100)))
        assert {id(results[0])} == set(map(id, results))
        assert await function(x=1) is results[0]
        assert function.invalidate(1)
        assert await function(1) is not results[0]

    assert inspect.iscoroutinefunction(function)
    asyncio.run(main())
    assert [1, 1] == reached
    assert function.cache_info().lookups == 102


CACHE = LRUCache()


class Artist:
    """An object with a state, told by its identity."""

    def __init__(self, style: str) -> None:
        self.style = style

    @cached_result(cache=CACHE)
    def draw(self, what: str, size: int = 1) -> list[Any]:
        """Draw it."""
        return [self.style, what, size]

    @cached_result(cache=CACHE)
    async def adraw(self, what: str) -> list[Any]:
        return [self.style, what]

    @staticmethod
    @cached_result(cache=CACHE)
    def mix(colour: str) -> list[Any]:
        return [colour]

    @classmethod
    @cached_result(cache=CACHE)
    def school(cls, name: str) -> list[Any]:
        return [cls.__name__, name]

    @cached_result(cache=CACHE)
    @classmethod
    def guild(cls, name: str) -> list[Any]:
        return [cls.__name__, name]

    @cached_result(cache=CACHE)
    @staticmethod
    def blend(colour: str) -> list[Any]:
        return [colour]


class Pupil(Artist):
    @cached_result(cache=CACHE)
    def draw(self, what: str, size: int = 1) -> list[Any]:
        return ["after", *super().draw(what, size)]


class Sculptor(Artist):
    """Overrides nothing."""


@dataclass(frozen=True)
class Camera:
    """An immutable object, told by its value."""

    lens: str

    @cached_result(cache=CACHE)
    def shoot(self, what: str) -> list[Any]:
        return [self.lens, what]


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __recoup_key__(self) -> str:
        return self.name

    @cached_result(cache=CACHE)
    def call(self) -> list[Any]:
        return [self.name]


class Slotted:
    __slots__ = ()

    @cached_result(cache=CACHE)
    def method(self) -> None:
        pass


def test_methods_belong_to_their_instance() -> None:
    one, other = Artist("cubist"), Artist("cubist")

    assert ["cubist", "a horse", 1] == one.draw("a horse")
    assert one.draw("a horse") is one.draw(what="a horse", size=1) is Artist.draw(one, "a horse")
    assert one.draw("a horse") is not other.draw("a horse")


def test_methods_offer_the_same() -> None:
    artist = Artist("naive")
    drawn = artist.draw("a cow")

    assert artist.draw.invalidate("a cow") is True
    assert artist.draw.invalidate("a cow") is False
    assert artist.draw("a cow") is not drawn
    assert Artist.draw.invalidate(artist, "a cow") is True
    assert drawn == artist.draw.__wrapped__("a cow") == Artist.draw.__wrapped__(artist, "a cow")
    assert artist.draw.cache_info() == Artist.draw.cache_info()
    assert ("draw", "Draw it.") == (artist.draw.__name__, artist.draw.__doc__) == (Artist.draw.__name__, "Draw it.")
    artist.draw("a cow")
    assert Artist.draw.cache_clear() >= 1
    assert 0 == artist.draw.cache_info().entries


def test_an_instance_that_changes_keeps_its_results_until_they_are_invalidated() -> None:
    artist = Artist("early")
    artist.draw("a cat")
    artist.style = "late"

    assert ["early", "a cat", 1] == artist.draw("a cat")
    artist.draw.invalidate("a cat")
    assert ["late", "a cat", 1] == artist.draw("a cat")


def test_immutable_instances_are_told_by_their_value() -> None:
    assert Camera("50 mm").shoot("a hat") is Camera("50 mm").shoot("a hat")
    assert ["85 mm", "a hat"] == Camera("85 mm").shoot("a hat")
    assert Named("Ada").call() is Named("Ada").call()
    assert ["Bob"] == Named("Bob").call()


def test_inheritance_and_super() -> None:
    pupil, sculptor = Pupil("baroque"), Sculptor("baroque")

    assert ["after", "baroque", "a dog", 1] == pupil.draw("a dog")
    assert pupil.draw("a dog") is pupil.draw("a dog")
    assert ["baroque", "a dog", 1] == Artist.draw(pupil, "a dog") == sculptor.draw("a dog")
    assert sculptor.draw("a dog") is sculptor.draw("a dog")


def test_static_and_class_methods() -> None:
    for way in (Artist, Artist("modern"), Pupil):
        assert ["red"] == way.mix("red") == way.blend("red")  # type: ignore[call-arg]
        assert way.mix("red") is Artist.mix("red")  # type: ignore[call-arg]
        assert way.blend("red") is Artist.blend("red")  # type: ignore[call-arg]
        assert [getattr(way, "__name__", "Artist"), "Delft"] == way.school("Delft") == way.guild("Delft")  # type: ignore[arg-type, call-arg]
        assert way.school("Delft") is way.school(name="Delft")  # type: ignore[arg-type, call-arg]
        assert way.guild("Delft") is way.guild(name="Delft")  # type: ignore[arg-type, call-arg]
    assert Artist.mix.invalidate("red") is True
    assert Artist.blend.invalidate("red") is True
    assert Artist.guild.invalidate("Delft") is True  # type: ignore[arg-type, call-arg]
    assert Artist.guild.invalidate("Delft") is False  # type: ignore[arg-type, call-arg]
    assert Pupil.guild.invalidate("Delft") is True  # type: ignore[arg-type, call-arg]


def test_methods_that_are_coroutine_functions() -> None:
    artist = Artist("quick")
    assert inspect.iscoroutinefunction(artist.adraw)
    assert inspect.iscoroutinefunction(Artist.adraw)
    assert not inspect.iscoroutinefunction(artist.draw)

    async def main() -> None:
        one, other = await asyncio.gather(artist.adraw("a bee"), artist.adraw("a bee"))
        assert one is other is await Artist.adraw(artist, "a bee")

    asyncio.run(main())


def test_an_instance_that_cannot_be_told_is_refused_with_what_to_do() -> None:
    with pytest.raises(KeyDigestError, match=r"__weakref__"):
        Slotted().method()


def test_instances_are_let_go_and_their_identities_with_them() -> None:
    before = len(call_keys._identities)
    artists = [Artist("mayfly") for _ in range(100)]
    for artist in artists:
        artist.draw("a leaf")
    assert before + 100 == len(call_keys._identities)
    gone = [weakref.ref(artist) for artist in artists]
    del artist
    artists.clear()
    gc.collect()

    assert [None] * 100 == [reference() for reference in gone]
    assert before == len(call_keys._identities)


def test_an_instance_at_the_address_of_one_that_is_gone_is_another() -> None:
    for number in range(200):
        assert [str(number), "a fly", 1] == Artist(str(number)).draw("a fly")


def test_a_decorator_above_it_may_wrap_it_and_below_it_be_wrapped(cache: LRUCache) -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return [function(*args), function(*args)]

        return wrapper

    @twice
    @cached_result(cache=cache)
    def above(x: int) -> list[int]:
        return [x]

    @cached_result(cache=cache)
    @twice
    def below(x: int) -> list[int]:
        return [x]

    assert above(1)[0] is above(1)[1]
    assert below(1) is below(1)
