"""The keys of function calls: one key for one meaning, however a call is written."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import threading
import types
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from recoup.cache.keys import digest
from recoup.errors import KeyDigestError

_VALUES = (type, types.ModuleType, enum.Enum, tuple, str, bytes, int, float, complex, frozenset)


_known_code: dict[str, types.CodeType | None] = {}
_known_code_lock = threading.Lock()


def _namesake(name: str, function: Callable[..., Any]) -> str:
    """What tells a function from others of its name: nothing for the first of a module, a token for all others.

    Lambdas and functions inside functions share their names, and so do a function and its successor in a notebook.
    They must not share results, so each of them has keys of its own, which hold in this process alone.
    """
    code: types.CodeType | None = getattr(inspect.unwrap(function), "__code__", None)
    if "<" not in name:
        with _known_code_lock:
            if _known_code.setdefault(name, code) == code:
                return ""
    return "#" + uuid.uuid4().hex


class CallKeys:
    """Makes the keys of one function's calls.

    Positional or by keyword, in whatever order, a default given or left out: it is the same call.

    Args:
        function: The function.
        version: Part of every key.
        key: Gives what tells one call from another, from the call's own arguments; by default all of them.
    """

    def __init__(self, function: Callable[..., Any], version: str, key: Callable[..., Any] | None) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._version = version + _namesake(self._name, function)
        self._key = key
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        plain = all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
        #: How many positional arguments are a whole call; -1: no number is.
        self._whole = len(self._signature.parameters) if plain else -1

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
            return digest(self._name, self._version, self._key(*arguments, **keywords))
        values = self._bound(arguments, keywords)
        if instance is not None and not _is_value(instance):
            values = (_identity(instance), *values[1:])
        try:
            return digest(self._name, self._version, values)
        except KeyDigestError as error:
            raise KeyDigestError(f"{self._name}(): {error}") from None

    def _bound(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        if not keywords and len(arguments) == self._whole:
            return arguments
        bound = self._signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        return tuple(bound.arguments.values())


def _is_value(instance: Any) -> bool:
    """Whether an instance is told by its value: an immutable one, or one that says so with `__recoup_key__`."""
    kind = type(instance)
    if hasattr(kind, "__recoup_key__") or isinstance(instance, _VALUES):
        return True
    return dataclasses.is_dataclass(kind) and bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


_identities: dict[int, tuple[weakref.ref[Any], str]] = {}
_identities_lock = threading.RLock()


def _identity(instance: Any) -> str:
    """A token for an instance that is told by its identity: unique for ever, also among processes."""
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
                f"an instance of {type(instance).__qualname__} can be told neither by its value nor by its identity: "
                "pass key=..., give the class a method __recoup_key__(), or add __weakref__ to its __slots__"
            ) from None
        return token


def _forget(number: int, gone: weakref.ref[Any]) -> None:
    with _identities_lock:
        known = _identities.get(number)
        if known is not None and known[0] is gone:
            del _identities[number]
