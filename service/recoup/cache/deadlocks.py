"""Waits that can never end: a generation that waits, through other threads, for its own result.

Looked for only by callers who have waited for a while, in the stacks of all threads: "This is most useful for debugging
deadlock", says the documentation of `sys._current_frames`, since a deadlocked thread's stack stands still.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

from recoup.cache.flights import Flight

#: In these, `self` is what a thread waits for.
_WAITING = {
    concurrent.futures.Future.result.__code__,
    concurrent.futures.Future.exception.__code__,
    threading.Thread.join.__code__,
}
#: In this, `self.future` is what a thread of a pool is to bring.
_WORKING = concurrent.futures.thread._WorkItem.run.__code__


def waits_for_this_thread(flight: Flight, flights: Iterable[Flight]) -> bool:
    """Whether a flight's leader waits for what the calling thread is to bring: directly, or through other threads.

    Args:
        flight: The flight that the caller would wait for.
        flights: All flights in progress.
    """
    stacks = {ident: list(_stack(frame)) for ident, frame in sys._current_frames().items()}
    bringing = {id(thread): thread.ident for thread in threading.enumerate()}
    bringing.update((id(other.future), other.thread) for other in flights if other.task is None)
    for ident, stack in stacks.items():
        bringing.update((id(frame.f_locals["self"].future), ident) for frame in stack if frame.f_code is _WORKING)
    task, leader = flight.task, stacks.get(flight.thread, ())
    awaited = _awaited(leader) if task is None else _awaited_by_task(task, stacks)
    here, looked_at = threading.get_ident(), {flight.thread}
    while awaited:
        thread = bringing.get(awaited.pop())
        if thread == here:
            return True
        if thread is not None and thread not in looked_at:
            looked_at.add(thread)
            awaited += _awaited(stacks.get(thread, ()))
    return False


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _awaited(stack: Iterable[FrameType]) -> list[int]:
    return [id(frame.f_locals["self"]) for frame in stack if frame.f_code in _WAITING and "self" in frame.f_locals]


def _awaited_by_task(task: Any, stacks: dict[int, list[FrameType]]) -> list[int]:
    """The futures of pools, among those being worked on, whose end a task awaits."""
    future = getattr(task, "_fut_waiter", None)
    if future is None:
        return []
    working = [
        frame.f_locals["self"].future for stack in stacks.values() for frame in stack if frame.f_code is _WORKING
    ]
    return [id(source) for source in working if any(_hands_on_to(done, future) for done in source._done_callbacks)]


def _hands_on_to(callback: Any, future: Any) -> bool:
    """Whether a callback of a pool's future hands its result on to a future of an event loop."""
    return any(cell.cell_contents is future for cell in getattr(callback, "__closure__", None) or ())
