"""`cached_result`: a function's results, kept."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, overload

from recoup.cache.call_keys import CallKeys, KnownKeys, all_distinct, function_name
from recoup.cache.config import DEFAULT, NO_GROUPS, Default, checked_groups, checked_pipeline, checked_ttl
from recoup.cache.lru import ResultCache
from recoup.cache.singleton import announce, get_cache
from recoup.cache.stats import PipelineStats
from recoup.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R = TypeVar("R", covariant=True)
    S = TypeVar("S")
else:
    from typing import ParamSpec, TypeVar

    P, Q, R, S = ParamSpec("P"), ParamSpec("Q"), TypeVar("R", covariant=True), TypeVar("S")


class CachedFunction(Protocol[P, R]):
    """A decorated function: what it offers beside the call."""

    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[P, R]:
        """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result, from the cache or from the function."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> CachedFunction[P, R]: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> CachedFunction[Q, R]: ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of one call; whether there was one."""

    def cache_clear(self) -> int:
        """Forget the results of this function's pipeline; how many there were."""

    def cache_info(self) -> PipelineStats:
        """The figures of this function's pipeline."""


class Decorator(Protocol):
    """What `cached_result` with arguments gives."""

    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: classmethod[S, P, R], /) -> classmethod[S, P, R]: ...
    @overload
    def __call__(self, function: property, /) -> property: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...


@overload
def cached_result(function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap]
@overload
def cached_result(function: classmethod[S, P, R], /) -> classmethod[S, P, R]: ...
@overload
def cached_result(function: property, /) -> property: ...
@overload
def cached_result(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached_result(
    *,
    ttl_seconds: float | Default | None = DEFAULT,
    key: Callable[..., Any] | None = None,
    pipeline: str | None = None,
    cache: ResultCache[Any] | None = None,
    version: str = "1",
    wait_seconds: float | None = None,
    store_if: Callable[[Any], object] | None = None,
    groups: Collection[str] | Callable[..., Collection[str]] = NO_GROUPS,
) -> Decorator: ...
def cached_result(
    function: Any = None,
    /,
    *,
    ttl_seconds: float | Default | None = DEFAULT,
    key: Callable[..., Any] | None = None,
    pipeline: str | None = None,
    cache: ResultCache[Any] | None = None,
    version: str = "1",
    wait_seconds: float | None = None,
    store_if: Callable[[Any], object] | None = None,
    groups: Collection[str] | Callable[..., Collection[str]] = NO_GROUPS,
) -> Any:
    """Keep the results of a function, a coroutine function, a method, a property, a partial or a callable object.

    Concurrent calls with one meaning share one generation. The decorated function offers `.invalidate(*args)`,
    `.cache_clear()`, `.cache_info()` and `.__wrapped__`, see `CachedFunction`. A method belongs to its instance: by
    value where the instance is immutable or has `__recoup_key__()`, by identity otherwise.

    Args:
        function: The function, where the decorator is used without parentheses.
        ttl_seconds: Seconds until a result expires; None or 0: it never does. By default as the cache is configured.
        key: A function of the call's arguments that gives what tells one call from another.
        pipeline: The name that the calls are counted for; by default the function's module and name.
        cache: The cache; by default the process-wide one.
        version: Part of every key: change it when the function's results change.
        wait_seconds: How long a call waits for another one's generation; None: as long as it takes.
        store_if: Whether to keep and share a result, from the result; by default every one is.
        groups: Names that results can be purged by (`ResultCache.purge`), or a function of the call's arguments, of a
            method's with the instance, that gives them. It is called for what is generated.

    Raises:
        ConfigurationError: The function is a generator: what it yields cannot be kept. Or an argument cannot be used.
        KeyDigestError: On a call: an argument has no canonical form. Says which, and what to do.
        OneShotResultError: On a call: the result can be read only once.
        FlightTimeoutError: On a call: waited `wait_seconds`.
    """
    if not isinstance(version, str):
        raise ConfigurationError(f"version={version!r}: expected text")
    options = _Options(
        ttl_seconds if isinstance(ttl_seconds, Default) else checked_ttl(ttl_seconds),
        key,
        None if pipeline is None else checked_pipeline(pipeline),
        cache,
        version,
        wait_seconds,
        store_if,
        groups if callable(groups) else checked_groups(groups),
    )
    if function is None:
        return functools.partial(_decorate, options)
    return _decorate(options, function)


class _Options:
    """What a decorator was given."""

    __slots__ = ("_groups", "cache", "key", "pipeline", "store_if", "ttl", "version", "wait")

    def __init__(
        self,
        ttl: float | Default | None,
        key: Callable[..., Any] | None,
        pipeline: str | None,
        cache: ResultCache[Any] | None,
        version: str,
        wait: float | None,
        store_if: Callable[[Any], object] | None,
        groups: tuple[str, ...] | Callable[..., Collection[str]],
    ) -> None:
        self.ttl = ttl
        self.key = key
        self.pipeline = pipeline
        self.cache = cache
        self.version = version
        self.wait = wait
        self.store_if = store_if
        self._groups = groups

    def groups(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Collection[str]:
        """The groups of a call's result."""
        return self._groups(*args, **kwargs) if callable(self._groups) else self._groups


def _decorate(options: _Options, function: Any, /) -> Any:
    if isinstance(function, staticmethod):
        # Decorated from the outside in: the kind of method stays the outer one.
        return staticmethod(_decorate(options, function.__func__))
    if isinstance(function, classmethod):
        return _ClassMethod(_decorate(options, function.__func__))
    if isinstance(function, property):
        if function.fget is None:
            raise ConfigurationError("a property without a getter cannot be decorated")
        return property(_Method(_Calls(function.fget, options)).of_instance, function.fset, function.fdel)
    if isinstance(function, (functools.partialmethod, functools.singledispatchmethod)):
        raise ConfigurationError(
            f"a {type(function).__name__} is no function before it is in a class: decorate what it calls, or a method "
            "that calls it"
        )
    if not callable(function):
        raise ConfigurationError(
            f"cached_result({function!r}): expected a function; options have names, as in "
            "@cached_result(ttl_seconds=60)"
        )
    if isinstance(function, functools.cached_property):
        raise ConfigurationError("a cached_property keeps its value itself: decorate a property or a method")
    called: Any = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if isinstance(function, type):
        raise ConfigurationError(f"{function.__qualname__} is a class: decorate a function that makes its instances")
    if any(
        inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, called, _inner(function))
    ):
        raise ConfigurationError(f"{function_name(function)} is a generator: return a list or a tuple to have it kept")
    calls = _Calls(function, options)
    home = getattr(function, "__qualname__", "").rpartition(".")[0]
    is_method = inspect.isfunction(function) and bool(home) and not home.endswith("<locals>")
    return _Method(calls) if is_method else calls.offered(calls.wrapper())


def _inner(function: Any) -> Any:
    """What a partial calls in the end."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or (
        not inspect.isroutine(function) and inspect.iscoroutinefunction(vars(type(function)).get("__call__"))
    )


class _Calls:
    """The calls of one decorated function."""

    def __init__(self, function: Callable[..., Any], options: _Options) -> None:
        self.function = function
        self.pipeline = options.pipeline or function_name(function)
        self.keys = CallKeys(function, options.version, options.key, self.pipeline)
        self._cache = options.cache
        self._options = options
        if options.cache is None:
            announce(self.pipeline)
        else:
            options.cache.register(self.pipeline)

    @property
    def cache(self) -> ResultCache[Any]:
        return get_cache() if self._cache is None else self._cache

    def wrapper(self, is_instance: Callable[[Any], bool] | None = None) -> Callable[..., Any]:
        """A function like the decorated one; `is_instance` tells whether a first argument is `self`."""
        function, pipeline, fixed, make_key = self.function, self.pipeline, self._cache, self.keys.key
        # The keys of small calls are looked up: making one would be half of a hit.
        whole = -1 if is_instance is not None else self.keys.whole
        known = KnownKeys()
        known_key = known.keys.get

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
            instance = args[0] if is_instance is not None and args and is_instance(args[0]) else None
            key = make_key(args, kwargs, instance)
            if not kwargs and len(args) == whole:
                known.remember(args, key)
            return key

        if _is_coroutine_function(function):
            afetch = self._afetch

            async def acall(*args: Any, **kwargs: Any) -> Any:
                cache = get_cache() if fixed is None else fixed
                clock = cache.clock
                started = clock()
                key = known_key(args) if not kwargs and all_distinct(map(type, args)) else None
                if key is None:
                    key = key_of(args, kwargs)
                entry = cache.try_hit(key)
                if entry is None:
                    return await afetch(cache, key, started, args, kwargs)
                cache.record_request(pipeline, "hit", clock() - started)
                return entry.value

            return functools.update_wrapper(acall, function)

        fetch = self._fetch

        def call(*args: Any, **kwargs: Any) -> Any:
            cache = get_cache() if fixed is None else fixed
            clock = cache.clock
            started = clock()
            key = known_key(args) if not kwargs and all_distinct(map(type, args)) else None
            if key is None:
                key = key_of(args, kwargs)
            entry = cache.try_hit(key)
            if entry is None:
                return fetch(cache, key, started, args, kwargs)
            cache.record_request(pipeline, "hit", clock() - started)
            return entry.value

        return functools.update_wrapper(call, function)

    def _fetch(
        self, cache: ResultCache[Any], key: str, started: float, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        function, options = self.function, self._options
        lookup = cache.fetch(
            key,
            lambda: function(*args, **kwargs),
            pipeline=self.pipeline,
            ttl_seconds=options.ttl,
            wait_seconds=options.wait,
            store_if=options.store_if,
            groups=options.groups(args, kwargs),
        )
        cache.record_request(self.pipeline, lookup.outcome, cache.clock() - started)
        return lookup.value

    async def _afetch(
        self, cache: ResultCache[Any], key: str, started: float, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        function, options = self.function, self._options
        lookup = await cache.afetch(
            key,
            lambda: function(*args, **kwargs),
            pipeline=self.pipeline,
            ttl_seconds=options.ttl,
            wait_seconds=options.wait,
            store_if=options.store_if,
            groups=options.groups(args, kwargs),
        )
        cache.record_request(self.pipeline, lookup.outcome, cache.clock() - started)
        return lookup.value

    def invalidate(self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: Any = None) -> bool:
        return self.cache.delete(self.keys.key(args, kwargs, instance))

    def cache_clear(self) -> int:
        """Forget the results of this function's pipeline; how many there were."""
        return self.cache.clear(self.pipeline)

    def cache_info(self) -> PipelineStats:
        """The figures of this function's pipeline."""
        return self.cache.pipeline_stats(self.pipeline)

    def offered(self, wrapper: Any) -> Any:
        """Give a wrapper what every decorated function offers."""

        def invalidate(*args: Any, **kwargs: Any) -> bool:
            """Forget the result of one call; whether there was one."""
            return self.invalidate(args, kwargs)

        wrapper.invalidate = invalidate
        wrapper.cache_clear = self.cache_clear
        wrapper.cache_info = self.cache_info
        return wrapper


class _Bound(functools.partial[Any]):
    """A decorated method of an instance: a partial, which tools such as `inspect` know what to make of."""

    _method: _Method

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return types.MethodType(self._method.calls.function, self.args[0])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call; whether there was one."""
        return bool(self._method.invalidate(*self.args, *args, **kwargs))


class _Method:
    """A decorated function in a class: tells `self` from an ordinary first argument."""

    def __init__(self, calls: _Calls) -> None:
        self.calls = calls
        self._name = calls.function.__name__
        self._function = calls.wrapper(self._has_this_method)
        functools.update_wrapper(self, calls.function)
        self.cache_clear = calls.cache_clear
        self.cache_info = calls.cache_info
        self._offered = calls.offered(self._function)
        self._offered.invalidate = self.invalidate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            # The plain function, which tools such as `inspect` know what to make of.
            return self._offered
        bound = _Bound(self._function, instance)
        bound._method = self
        bound.__dict__["__doc__"] = self.__doc__
        return bound

    def of_instance(self, instance: Any) -> Any:
        """The result of a property's getter."""
        return self._function(instance)

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of one call; whether there was one. Takes the instance first."""
        instance = args[0] if args and self._has_this_method(args[0]) else None
        return self.calls.invalidate(args, kwargs, instance)

    def _has_this_method(self, candidate: Any) -> bool:
        return any(self._is_in(vars(kind).get(self._name)) for kind in type(candidate).__mro__)

    def _is_in(self, attribute: Any) -> bool:
        """Whether a class' attribute is this method, or something around it: a property, another decorator."""
        while attribute is not None and attribute is not self:
            if isinstance(attribute, property):
                attribute = attribute.fget
            elif getattr(attribute, "__self__", None) is self:
                return True
            else:
                attribute = vars(attribute).get("__wrapped__") if hasattr(attribute, "__dict__") else None
        return attribute is self


class _ClassMethod:
    """A decorated class method: belongs to the class that it is called on."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        owner = type(instance) if owner is None else owner
        return self._method.__get__(owner, type(owner))
