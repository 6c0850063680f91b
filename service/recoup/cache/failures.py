"""How a generation fails: the word for it, the error that each follower gets, and results that cannot be kept."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
from typing import Any

from recoup.errors import GENERATION_ERROR_KINDS, OneShotResultError


def failure_kind(error: BaseException) -> str:
    """The word for a failed generation: the error's own `kind`, else by its class."""
    kind = getattr(error, "kind", None)
    if kind in GENERATION_ERROR_KINDS:
        return str(kind)
    if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    cancelled = isinstance(error, concurrent.futures.CancelledError) or not isinstance(error, Exception)
    return "cancelled" if cancelled else "error"


def own_error(error: BaseException) -> BaseException:
    """An error for one follower: of the leader's type, with the leader's as its cause.

    One error that is raised in many threads would grow its traceback with each.
    """
    try:
        own = copy.copy(error)
        if type(own) is not type(error):
            raise TypeError(f"the copy of a {type(error).__name__} is a {type(own).__name__}")
    except Exception:  # noqa: BLE001  # an error that cannot be copied is made without its own constructor
        own = type(error).__new__(type(error), *error.args)
        own.args = error.args
        own.__dict__.update(error.__dict__)
    own.__cause__ = error
    own.__traceback__ = None
    return own


def refuse_one_shot(value: Any) -> None:
    """Refuse what can be read only once: the second caller would find it read.

    Raises:
        OneShotResultError: It is a generator, an iterator, a coroutine or an open file.
    """
    kind = type(value)
    if kind in _PLAIN_RESULTS:
        return
    if hasattr(kind, "__await__") or inspect.iscoroutine(value):
        if inspect.iscoroutine(value):
            value.close()
        raise OneShotResultError(f"the result is a {kind.__qualname__}: decorate a coroutine function, or await it")
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        raise OneShotResultError(
            f"the result is a {kind.__qualname__}, which can be read only once: return a list, a tuple or bytes"
        )


_PLAIN_RESULTS = frozenset({bytes, str, int, float, bool, type(None), list, tuple, dict, set, frozenset})
