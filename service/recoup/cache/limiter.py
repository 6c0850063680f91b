"""A limiter: so many at one time, so many waiting, first come first served, and no more. For threads and for tasks."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

from recoup.errors import ConfigurationError, QueueFullError

#: Weight of the newest passage in the running mean of how long one takes.
_NEWEST_WEIGHT = 0.2


class Turn(Future[None]):
    """A turn that is waited for; `loop` is the event loop of a task; `behind`: it is for work that no caller awaits."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, *, behind: bool = False) -> None:
        super().__init__()
        self.loop = loop
        self.behind = behind
        self.set_running_or_notify_cancel()  # a caller who is cancelled gives up its turn, and nobody else's


class ConcurrencyLimiter:
    """Lets at most `max_concurrent` callers in at one time. Threads and tasks wait in one queue.

    `with limiter:` in a thread and `async with limiter:` in a task, or `admit()` for an admission that is handed about.

    Args:
        max_concurrent: Callers inside at one time, at least 1.
        max_waiting: Callers that may wait for their turn, at least 0.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: A limit is out of its bounds.
        QueueFullError: On entering, when `max_waiting` callers wait already. It estimates when to come again.
    """

    def __init__(self, max_concurrent: int, max_waiting: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if max_concurrent < 1 or max_waiting < 0:
            raise ConfigurationError(
                f"max_concurrent={max_concurrent!r} and max_waiting={max_waiting!r}: "
                "expected max_concurrent >= 1 and max_waiting >= 0"
            )
        self.max_concurrent = max_concurrent
        self.max_waiting = max_waiting
        self._clock = clock
        self._mean_seconds = 0.0
        self._begin()
        _limiters.add(self)

    def _begin(self) -> None:
        """With nobody inside: at first, and in a process that was forked."""
        self._lock = threading.Lock()
        self._waiters: deque[Turn] = deque()
        self._waiters_behind: deque[Turn] = deque()
        self._in_progress_behind = 0
        self._in_progress = 0
        self._inside: dict[object, list[Admission]] = {}

    @property
    def in_progress(self) -> int:
        """Callers inside now."""
        return self._in_progress

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn now."""
        return len(self._waiters)

    def admit(self, *, behind: bool = False) -> Admission:
        """One admission: a context manager for a thread (`with`) or for a task (`async with`), to be entered once.

        Args:
            behind: For work that no caller waits for: it is let in only where no caller waits, and takes at most half
                of the places, at least one, so that callers who come find others.
        """
        return Admission(self, behind=behind)

    def __enter__(self) -> ConcurrencyLimiter:
        admission = self.admit()
        admission.__enter__()
        self._inside.setdefault(threading.get_ident(), []).append(admission)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left(threading.get_ident()).leave()

    async def __aenter__(self) -> ConcurrencyLimiter:
        admission = self.admit()
        await admission.__aenter__()
        self._inside.setdefault(asyncio.current_task(), []).append(admission)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left(asyncio.current_task()).leave()

    def _left(self, caller: object) -> Admission:
        admissions = self._inside[caller]
        admission = admissions.pop()
        if not admissions:
            del self._inside[caller]
        return admission

    # --- for admissions

    def take_or_queue(self, loop: asyncio.AbstractEventLoop | None = None, *, behind: bool = False) -> Turn | None:
        """Let the caller in at once (None), or queue it: it is in when its turn is done. `loop` is a task's.

        Raises:
            QueueFullError: There is no room to wait.
        """
        with self._lock:
            if behind:
                return self._take_or_queue_behind(loop)
            if self._in_progress < self.max_concurrent:
                self._in_progress += 1
                return None
            if len(self._waiters) >= self.max_waiting:
                raise QueueFullError(
                    f"{self._in_progress} are generating and {len(self._waiters)} wait already",
                    retry_after_seconds=self._estimate(),
                )
            turn = Turn(loop)
            self._waiters.append(turn)
            return turn

    def _take_or_queue_behind(self, loop: asyncio.AbstractEventLoop | None) -> Turn | None:
        if self._in_progress < self.max_concurrent and self._has_room_behind():
            self._in_progress += 1
            self._in_progress_behind += 1
            return None
        if len(self._waiters_behind) >= max(1, self.max_waiting):
            raise QueueFullError(
                f"{len(self._waiters_behind)} wait behind all callers already", retry_after_seconds=self._estimate()
            )
        turn = Turn(loop, behind=True)
        self._waiters_behind.append(turn)
        return turn

    def _has_room_behind(self) -> bool:
        return self._in_progress_behind < max(1, self.max_concurrent // 2)

    def give_up(self, turn: Turn) -> None:
        """Leave the queue, or pass on the turn that has just been given."""
        with self._lock:
            waiters = self._waiters_behind if turn.behind else self._waiters
            if turn in waiters:
                waiters.remove(turn)
            else:
                self._in_progress_behind -= turn.behind
                self._pass_on()

    def leave(self, took_seconds: float, *, behind: bool = False) -> None:
        """Leave, and let the next one in."""
        with self._lock:
            mean = self._mean_seconds
            self._mean_seconds = took_seconds if not mean else mean + _NEWEST_WEIGHT * (took_seconds - mean)
            self._in_progress_behind -= behind
            self._pass_on()

    def now(self) -> float:
        """Monotonic seconds of the limiter's clock."""
        return self._clock()

    def _pass_on(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if turn.loop is not None and turn.loop.is_closed():
                continue  # nobody is there any more to take it
            turn.set_result(None)
            return
        while self._waiters_behind and self._has_room_behind():
            turn = self._waiters_behind.popleft()
            if turn.loop is not None and turn.loop.is_closed():
                continue
            self._in_progress_behind += 1
            turn.set_result(None)
            return
        self._in_progress -= 1

    def _estimate(self) -> int:
        rounds = (len(self._waiters) + 1) / self.max_concurrent
        return max(1, math.ceil(self._mean_seconds * rounds))


class Admission:
    """One passage through a limiter."""

    __slots__ = ("_at", "_behind", "_limiter")

    def __init__(self, limiter: ConcurrencyLimiter, *, behind: bool = False) -> None:
        self._limiter = limiter
        self._behind = behind
        self._at = 0.0

    def __enter__(self) -> None:
        turn = self._limiter.take_or_queue(behind=self._behind)
        if turn is not None:
            try:
                turn.result()
            except BaseException:
                self._limiter.give_up(turn)  # an interrupt while waiting
                raise
        self._at = self._limiter.now()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def __aenter__(self) -> None:
        turn = self._limiter.take_or_queue(asyncio.get_running_loop(), behind=self._behind)
        if turn is not None:
            try:
                await asyncio.wrap_future(turn)
            except BaseException:
                self._limiter.give_up(turn)  # cancelled while waiting
                raise
        self._at = self._limiter.now()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the turn back."""
        self._limiter.leave(self._limiter.now() - self._at, behind=self._behind)


_limiters: weakref.WeakSet[ConcurrencyLimiter] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child, nobody who was inside or waited is there any more."""
    for limiter in list(_limiters):
        limiter._begin()


os.register_at_fork(after_in_child=_after_fork)
