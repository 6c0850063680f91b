"""The keys of function calls: one key for one meaning, however a call is written.

A key is the digest of which function it is and of its arguments. Which function: module and name, the decorator's
own `version`, `pipeline` and `key`, and the object that a bound method is bound to. Where that does not tell one from
another (closures, wrappers, lambdas, partials), a token of this process does.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable
from hashlib import blake2b
from marshal import dumps
from sys import getsizeof
from typing import Any, Final

from recoup.cache.keys import class_name, digest
from recoup.errors import ConfigurationError, KeyDigestError

_VALUES = (type, types.ModuleType, enum.Enum, tuple, str, bytes, int, float, complex, frozenset)

#: Arguments of these very types take the short way: what `marshal` writes for them (in its version 0, without
#: references and interning) has the type in it, and one form for one value. It cannot write subclasses' instances.
_SIMPLE: Final = frozenset({int, str, float, bool, bytes, type(None)})
all_simple = _SIMPLE.issuperset
#: Arguments of these very types are equal only where they mean the same; of the simple ones, `1 == 1.0 == True`.
_DISTINCT: Final = frozenset({int, str, bytes, type(None)})
all_distinct = _DISTINCT.issuperset
#: Calls whose keys are kept, for each function, and the bytes that the arguments of one may take.
_MOST_KNOWN: Final = 1024
_MOST_BYTES: Final = 512
_MARSHAL_VERSION: Final = 0
_DIGEST_BYTES: Final = 16
_ANY_ARGUMENTS: Final = inspect.signature(lambda *args, **kwargs: None)

_known_code: dict[str, types.CodeType] = {}
_known_modules: dict[str, weakref.ref[types.ModuleType]] = {}
_known_lock = threading.Lock()


def function_name(function: Callable[..., Any]) -> str:
    """Module and name of a function, of what a partial calls, or of a callable object's class."""
    while isinstance(function, functools.partial) and not hasattr(function, "__qualname__"):
        function = function.func
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    # Functions in C may have no module: their class, or that of what they are bound to, has one.
    home = getattr(named, "__module__", None) or _class_of(named).__module__
    return f"{home}.{named.__qualname__}"


def _class_of(method: Any) -> Any:
    owner = getattr(method, "__self__", None)
    return getattr(method, "__objclass__", None) or (owner if isinstance(owner, type) else type(owner))


def _identity_of(name: str, function: Callable[..., Any]) -> str:
    """What distinguishes a function from others of its name: nothing for the first of a module, a token for all others.

    Lambdas, functions inside functions and wrappers share their names, and so do a function and its successor in a
    notebook, or functions of two plugins. They must not share results, so each of them has keys of its own, which hold
    in this process alone.
    """
    code = getattr(function, "__code__", None)
    # The cell `__class__` is how `super()` finds its class: it holds nothing that could differ.
    if code is not None and "<" not in name and not set(code.co_freevars).difference({"__class__"}):
        with _known_lock:
            if _is_of_its_module(function) and _known_code.setdefault(name, code) == code:
                # Every program and notebook has a `__main__`, and tiers outlive it: there, the code tells them apart.
                return "@" + _fingerprint(code).hex() if function.__module__ == "__main__" else ""
    return "#" + uuid.uuid4().hex


def _is_of_its_module(function: Callable[..., Any]) -> bool:
    """Whether what a function reads of its globals is what its module's name says; called with the lock held.

    It is not for functions made by `exec` in a namespace of their own, nor for those of a second module of one name.
    """
    module_name = str(getattr(function, "__module__", None))
    module = sys.modules.get(module_name)
    if not isinstance(module, types.ModuleType) or module.__dict__ is not getattr(function, "__globals__", None):
        return False
    return _known_modules.setdefault(module_name, weakref.ref(module))() is module


def _identity_of_key(key: Callable[..., Any] | None) -> str | None:
    """What distinguishes a `key=` from another."""
    if key is None:
        return None
    code = getattr(key, "__code__", None)
    if code is not None and not (inspect.ismethod(key) or code.co_freevars or key.__defaults__ or key.__kwdefaults__):
        with _known_lock:
            if _is_of_its_module(key):
                return f"{function_name(key)}:{_fingerprint(code).hex()}"
    return function_name(key) + "#" + uuid.uuid4().hex


def _defaults_of(function: Callable[..., Any]) -> Any:
    """What distinguishes a function from another that differs in its defaults alone, which its `key=` does not see."""
    function = getattr(function, "__func__", function)
    defaults = (getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None))
    try:
        return digest(defaults)
    except KeyDigestError:
        return "#" + uuid.uuid4().hex


def _fingerprint(code: types.CodeType) -> bytes:
    """A digest of what code does. It differs between versions of Python."""
    hashed = blake2b(digest_size=16)
    hashed.update(code.co_code)
    hashed.update(repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode())
    takes = (code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    hashed.update(repr((takes, getattr(code, "co_exceptiontable", b""))).encode())
    for constant in code.co_consts:
        hashed.update(_fingerprint(constant) if isinstance(constant, types.CodeType) else _written(constant).encode())
    return hashed.digest()


def _written(constant: Any) -> str:
    """The text of a constant. That of a set does not depend on its order, which differs between processes."""
    if isinstance(constant, frozenset):
        return f"frozenset({sorted(map(_written, constant))})"
    if isinstance(constant, tuple):
        return f"tuple({list(map(_written, constant))})"
    return repr(constant)


def simple_key(prefix: bytes, arguments: tuple[Any, ...]) -> str:
    """The key of a call whose arguments are all simple. It has no `person`, so it is none that `digest` gives."""
    return blake2b(prefix + dumps(arguments, _MARSHAL_VERSION), digest_size=_DIGEST_BYTES).hexdigest()


class KnownKeys:
    """The keys of a function's recent calls with a few small arguments, so that they are not made again.

    Bounded, to less than a megabyte, and safe under threads: what one forgets is made again.

    Attributes:
        keys: By positional arguments. Only to be looked into where `all_distinct` holds of their types.
    """

    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: dict[tuple[Any, ...], str] = {}

    def remember(self, arguments: tuple[Any, ...], key: str) -> None:
        """Keep the key of a call, if its arguments are small and equal to none that mean something else."""
        if all_distinct(map(type, arguments)) and sum(map(getsizeof, arguments)) <= _MOST_BYTES:
            if len(self.keys) >= _MOST_KNOWN:
                self.keys.clear()
            self.keys[arguments] = key


class CallKeys:
    """Makes the keys of one function's calls.

    Positional or by keyword, in whatever order, a default given or left out: it is the same call. But what a wrapper
    makes of its arguments is its own: the calls of a wrapper are distinguished by its own signature.

    Args:
        function: The function.
        version: Part of every key.
        key: Gives what tells one call from another, from the call's own arguments; by default all of them.
        pipeline: Part of every key.

    Attributes:
        prefix: Begins what is digested for a call with simple arguments.
        whole: A call with so many positional arguments and no others has all that the key is made of; -1: none has.
    """

    def __init__(
        self, function: Callable[..., Any], version: str, key: Callable[..., Any] | None, pipeline: str | None = None
    ) -> None:
        self._name = function_name(function)
        self._key = key
        owner = getattr(function, "__self__", None) if inspect.ismethod(function) else None
        if owner is None and not inspect.isroutine(function) and not isinstance(function, functools.partial):
            owner = function  # a callable object
        plain = function.__func__ if inspect.ismethod(function) else function
        which = "" if plain is owner else _identity_of(self._name, plain)
        defaults = None if key is None else _defaults_of(function)
        prefix = digest(self._name, version + which, pipeline, _identity_of_key(key), defaults, _owner(owner))
        self.prefix = bytes.fromhex(prefix)
        self._signature = _signature(self._name, function) if key is None else _ANY_ARGUMENTS
        parameters = list(self._signature.parameters.values())
        positional = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        named = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
        self._plain = len(positional) + len(named) == len(parameters)
        self._names = tuple(one.name for one in parameters)
        self._defaults = tuple(one.default for one in parameters)
        #: How many positional arguments a call has at most and, with nothing else, at least; -1: any are bound.
        self._most = len(positional) if self._plain else -1
        required = [place for place, one in enumerate(parameters) if one.default is one.empty]
        self._least = (required[-1] + 1 if required else 0) if self._plain else 0
        self.whole = len(parameters) if self._plain and not named and key is None else -1

    def key(self, arguments: tuple[Any, ...], keywords: dict[str, Any], instance: Any = None) -> str:
        """The key of one call.

        Args:
            arguments: Positional arguments, the instance first for a method.
            keywords: Keyword arguments.
            instance: The instance that a method is called on.

        Raises:
            KeyDigestError: An argument has no canonical form. Names it, and says what to do.
            TypeError: The function does not take these arguments.
        """
        if self._key is not None:
            return digest(self.prefix, self._key(*arguments, **keywords))
        if keywords or len(arguments) != self.whole:
            arguments = self._bound(arguments, keywords)
        if instance is not None and not _is_value(instance):
            arguments = (_identity(instance), *arguments[1:])
        if all_simple(map(type, arguments)):
            return simple_key(self.prefix, arguments)
        try:
            return digest(self.prefix, arguments)
        except KeyDigestError as error:
            raise KeyDigestError(f"{self._name}(): {error}") from None

    def _bound(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        """The values of all parameters, in their order."""
        count = len(arguments)
        if self._plain and count <= self._most:
            if not keywords and count >= self._least:
                return arguments + self._defaults[count:]
            if keywords:
                defaults, left = self._defaults, len(keywords)
                values = list(arguments)
                for place in range(count, len(defaults)):
                    name = self._names[place]
                    if name in keywords:
                        values.append(keywords[name])
                        left -= 1
                    else:
                        values.append(defaults[place])
                if not left and not any(value is inspect.Parameter.empty for value in values):
                    return tuple(values)
        bound = self._signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        return tuple(bound.arguments.values())


def _signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    """The signature that a function's calls are read by: its own, not that of what it wraps.

    Raises:
        ConfigurationError: It has none, as many functions that are written in C.
    """
    for follow_wrapped in (False, True):  # a C wrapper such as that of `lru_cache` takes what it wraps takes
        if follow_wrapped and inspect.isfunction(function):
            break
        try:
            return inspect.signature(function, follow_wrapped=follow_wrapped)
        except (ValueError, TypeError):
            continue
    raise ConfigurationError(
        f"{name} has no signature to tell its arguments by: decorate a function that calls it, "
        "or pass key=lambda *args: args"
    )


def _owner(owner: Any) -> Any:
    """What tells the object that a method is bound to: by its value where it has one, else by its identity."""
    if owner is None:
        return None
    if isinstance(owner, type):
        return ("class", class_name(owner))
    if _is_value(owner):
        return ("value", owner)
    if type(owner).__weakrefoffset__ == 0:
        return ("token", uuid.uuid4().hex)  # nobody else gets these keys, and who decorated it keeps the object
    return ("identity", _identity(owner))


def _is_value(instance: Any) -> bool:
    """Whether an instance is identified by its value: an immutable one, or one that says so with `__recoup_key__`."""
    kind = type(instance)
    if hasattr(kind, "__recoup_key__") or isinstance(instance, _VALUES):
        return True
    return dataclasses.is_dataclass(kind) and bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


_identities: dict[int, tuple[weakref.ref[Any], str]] = {}
_identities_lock = threading.RLock()


def _identity(instance: Any) -> str:
    """A token for an instance that is identified by its identity: unique for ever, also among processes."""
    known = _identities.get(id(instance))
    if known is not None and known[0]() is instance:
        return known[1]
    number = id(instance)
    with _identities_lock:
        known = _identities.get(number)
        if known is not None and known[0]() is instance:
            return known[1]
        token = uuid.uuid4().hex
        try:
            _identities[number] = (weakref.ref(instance, lambda gone: _forget(number, gone)), token)
        except TypeError:
            raise KeyDigestError(
                f"an instance of {type(instance).__qualname__} is no value and cannot be referenced weakly: "
                "pass key=..., give the class a method __recoup_key__(), or add __weakref__ to its __slots__"
            ) from None
        return token


def _forget(number: int, gone: weakref.ref[Any]) -> None:
    with _identities_lock:
        known = _identities.get(number)
        if known is not None and known[0] is gone:
            del _identities[number]
