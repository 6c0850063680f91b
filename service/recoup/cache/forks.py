"""Forks: the child has what its parent's caches hold, and locks of its own that nobody has taken."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recoup.cache.state import CacheState

_states: weakref.WeakSet[CacheState] = weakref.WeakSet()
_fork_lock = threading.Lock()
_held: list[CacheState] = []


def watch_forks(state: CacheState) -> None:
    """Have the state of a cache whole in every process that is forked from now on."""
    _states.add(state)


def _before_fork() -> None:
    # As the logging module does: no thread is in the middle of a write when the process is copied.
    _fork_lock.acquire()
    _held[:] = list(_states)
    for state in _held:
        state.lock.acquire()


def _after_fork_in_parent() -> None:
    for state in _held:
        state.lock.release()
    _held.clear()
    _fork_lock.release()


def _after_fork_in_child() -> None:
    global _fork_lock
    _fork_lock = threading.Lock()
    for state in _held:
        state.begin_after_fork()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
