"""`cached_result`: a function's results, kept."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from recoup.cache.call_keys import CallKeys
from recoup.cache.config import DEFAULT, Default
from recoup.cache.lru import ResultCache
from recoup.cache.singleton import get_cache
from recoup.cache.stats import PipelineStats
from recoup.errors import ConfigurationError

_F = TypeVar("_F", bound=Callable[..., Any])


class CachedFunction(Protocol):
    """What a decorated function offers beside the call."""

    __wrapped__: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result, from the cache or from the function."""

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call; whether there was one."""

    def cache_clear(self) -> int:
        """Forget the results of this function's pipeline; how many there were."""

    def cache_info(self) -> PipelineStats:
        """The figures of this function's pipeline."""


@overload
def cached_result(function: _F, /) -> _F: ...
@overload
def cached_result(
    *,
    ttl_seconds: float | Default | None = DEFAULT,
    key: Callable[..., Any] | None = None,
    pipeline: str | None = None,
    cache: ResultCache | None = None,
    version: str = "1",
    wait_seconds: float | None = None,
) -> Callable[[_F], _F]: ...
def cached_result(
    function: Callable[..., Any] | None = None,
    /,
    *,
    ttl_seconds: float | Default | None = DEFAULT,
    key: Callable[..., Any] | None = None,
    pipeline: str | None = None,
    cache: ResultCache | None = None,
    version: str = "1",
    wait_seconds: float | None = None,
) -> Any:
    """Keep the results of a function, a coroutine function or a method.

    Concurrent calls with one meaning share one generation. The decorated function offers `.invalidate(*args)`,
    `.cache_clear()`, `.cache_info()` and `.__wrapped__`, see `CachedFunction`. A method belongs to its instance: by
    value where the instance is immutable or has `__recoup_key__()`, by identity otherwise.

    Args:
        function: The function, where the decorator is used without parentheses.
        ttl_seconds: Seconds that a result lives; None or 0: it never expires. By default as the cache is configured.
        key: A function of the call's arguments that gives what tells one call from another.
        pipeline: The name that the calls are counted for; by default the function's module and name.
        cache: The cache; by default the process-wide one.
        version: Part of every key: change it when the function's results change.
        wait_seconds: How long a call waits for another one's generation; None: as long as it takes.

    Raises:
        ConfigurationError: The function is a generator: what it yields cannot be kept.
        KeyDigestError: On a call: an argument has no canonical form. Says which, and what to do.
        FlightTimeoutError: On a call: waited `wait_seconds`.
    """
    decorate = functools.partial(
        _decorate, ttl=ttl_seconds, key=key, pipeline=pipeline, cache=cache, version=version, wait=wait_seconds
    )
    return decorate if function is None else decorate(function)


def _decorate(
    function: Callable[..., Any],
    *,
    ttl: float | Default | None,
    key: Callable[..., Any] | None,
    pipeline: str | None,
    cache: ResultCache | None,
    version: str,
    wait: float | None,
) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        # Decorated from the outside in: the kind of method stays the outer one.
        inner = _decorate(
            function.__func__, ttl=ttl, key=key, pipeline=pipeline, cache=cache, version=version, wait=wait
        )
        return staticmethod(inner) if isinstance(function, staticmethod) else _ClassMethod(inner)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{function.__qualname__} is a generator: return a list or a tuple to have it kept")
    name = pipeline or f"{function.__module__}.{function.__qualname__}"
    calls = _Calls(function, CallKeys(function, version, key), name, cache, ttl, wait)
    home = function.__qualname__.rpartition(".")[0]
    in_a_class = bool(home) and not home.endswith("<locals>")
    return _Method(calls) if in_a_class else _with_offers(calls.wrapper(), calls)


class _Calls:
    """The calls of one decorated function."""

    def __init__(
        self,
        function: Callable[..., Any],
        keys: CallKeys,
        pipeline: str,
        cache: ResultCache | None,
        ttl: float | Default | None,
        wait: float | None,
    ) -> None:
        self.function = function
        self.keys = keys
        self.pipeline = pipeline
        self._cache = cache
        self._ttl = ttl
        self._wait = wait

    @property
    def cache(self) -> ResultCache:
        return get_cache() if self._cache is None else self._cache

    def wrapper(self, is_instance: Callable[[Any], bool] = lambda _: False) -> Callable[..., Any]:
        """A function like the decorated one; `is_instance` tells whether a first argument is `self`."""
        if inspect.iscoroutinefunction(self.function):

            async def acall(*args: Any, **kwargs: Any) -> Any:
                return await self.acall(args, kwargs, args[0] if args and is_instance(args[0]) else None)

            return functools.update_wrapper(acall, self.function)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.call(args, kwargs, args[0] if args and is_instance(args[0]) else None)

        return functools.update_wrapper(call, self.function)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: Any) -> Any:
        cache, function = self.cache, self.function
        started = cache.clock()
        key = self.keys.key(args, kwargs, instance)
        entry = cache.try_hit(key)
        if entry is not None:
            cache.record_request(self.pipeline, "hit", cache.clock() - started)
            return entry.value
        lookup = cache.fetch(
            key,
            lambda: function(*args, **kwargs),
            pipeline=self.pipeline,
            ttl_seconds=self._ttl,
            wait_seconds=self._wait,
        )
        cache.record_request(self.pipeline, lookup.outcome, cache.clock() - started)
        return lookup.value

    async def acall(self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: Any) -> Any:
        cache, function = self.cache, self.function
        started = cache.clock()
        lookup = await cache.afetch(
            self.keys.key(args, kwargs, instance),
            lambda: function(*args, **kwargs),
            pipeline=self.pipeline,
            ttl_seconds=self._ttl,
            wait_seconds=self._wait,
        )
        cache.record_request(self.pipeline, lookup.outcome, cache.clock() - started)
        return lookup.value

    def invalidate(self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: Any) -> bool:
        return self.cache.delete(self.keys.key(args, kwargs, instance))

    def cache_clear(self) -> int:
        """Forget the results of this function's pipeline; how many there were."""
        return self.cache.clear(self.pipeline)

    def cache_info(self) -> PipelineStats:
        """The figures of this function's pipeline."""
        cache = self.cache
        return cache.pipeline_stats(self.pipeline)


def _with_offers(wrapper: Callable[..., Any], calls: _Calls, instance: Any = None, bound: tuple[Any, ...] = ()) -> Any:
    """Give a wrapper what every decorated function offers."""

    def invalidate(*args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call; whether there was one."""
        return calls.invalidate((*bound, *args), kwargs, instance)

    offers: Any = wrapper
    offers.invalidate = invalidate
    offers.cache_clear = calls.cache_clear
    offers.cache_info = calls.cache_info
    return offers


class _Method:
    """A decorated function in a class: tells `self` from an ordinary first argument."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._function = calls.wrapper(self._has_this_method)
        self._name = calls.function.__name__
        functools.update_wrapper(self, calls.function)
        self.cache_clear = calls.cache_clear
        self.cache_info = calls.cache_info
        self._offered = _with_offers(self._function, calls)
        self._offered.invalidate = self.invalidate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            # The plain function, which tools such as `inspect` know what to make of.
            return self._offered
        bound: Any = functools.partial(self._function, instance)
        functools.update_wrapper(bound, self._calls.function)
        bound.__wrapped__ = types.MethodType(self._calls.function, instance)
        told_apart = instance if self._has_this_method(instance) else None
        return _with_offers(bound, self._calls, told_apart, (instance,))

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call; whether there was one. Takes the instance first."""
        instance = args[0] if args and self._has_this_method(args[0]) else None
        return self._calls.invalidate(args, kwargs, instance)

    def _has_this_method(self, candidate: Any) -> bool:
        return any(vars(kind).get(self._name) is self for kind in type(candidate).__mro__)


class _ClassMethod:
    """A decorated class method: belongs to the class that it is called on."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        owner = type(instance) if owner is None else owner
        return self._method.__get__(owner, type(owner))
