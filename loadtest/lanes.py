"""Hands the batches of a phase to its users: how many at one time, at what pace, until when.

Standard library only. Its threads are Locust's greenlets where Locust has patched the library, and threads elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import chain, islice

from loadtest.plan import Batch, Lane, Phase, Rendezvous

#: Tells how many requests became due.
Offered = Callable[[int], None]


class OpenLane:
    """One lane while its phase runs. Every method may be called from any thread.

    Args:
        lane: As planned.
        offered: Told of requests as they become due: at their pace, or else when they are sent.
    """

    def __init__(self, lane: Lane, offered: Offered) -> None:
        self.lane = lane
        self._offered = offered
        self._changed = threading.Condition()
        # The first is made before the phase begins: a stream may take its time over it.
        stream = lane.batches()
        self._batches = chain(list(islice(stream, 1)), stream)
        self._due: deque[Batch] = deque()
        self._under_way = 0
        self._meeting = False
        self._ended = self._closed = False

    def start(self) -> None:
        """Begin to make batches due, where they have a pace."""
        if self.lane.rate is not None:
            threading.Thread(target=self._pace, args=(self.lane.rate,), daemon=True).start()

    def take(self) -> Batch | None:
        """The next batch, as soon as it may be sent; None: there is none any more. `answered` has to follow."""
        with self._changed:
            while not self._closed:
                batch = self._due.popleft() if self._due else self._next_unpaced()
                if batch is not None:
                    self._under_way += 1
                    return batch
                if self._ended:
                    return None
                self._changed.wait()
            return None

    def answered(self) -> None:
        """Say that the last answer to a batch is there."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def pause(self) -> None:
        """Wait as long as a user of this lane does after a refusal, but not past the lane's end."""
        if self.lane.pause_seconds:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self.lane.pause_seconds)

    def close(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_until_over(self, seconds: float) -> bool:
        """Wait until all is sent (or the lane is closed) and answered; False: it is not, after so long."""
        with self._changed:
            return self._changed.wait_for(self._is_over, max(0.0, seconds))

    @property
    def under_way(self) -> int:
        """Batches that were begun and are not yet answered."""
        return self._under_way

    def _is_over(self) -> bool:
        return not self._under_way and (self._closed or (self._ended and not self._due))

    def _next_unpaced(self) -> Batch | None:
        if self.lane.rate is not None or self._ended:
            return None
        if self._meeting and self._under_way:
            return None
        batch = self._pull()
        if batch is not None:
            self._offered(len(batch))
        return batch

    def _pull(self) -> Batch | None:
        """The next of the stream; None: it has ended, or all before has to be answered first."""
        self._meeting = False
        for item in self._batches:
            if not isinstance(item, Rendezvous):
                return item
            if self._under_way or self._due:
                self._meeting = True
                return None
        self._ended = True
        self._changed.notify_all()
        return None

    def _pace(self, rate: float) -> None:
        """Make batches due at their times, whether there is a user for them or not."""
        begun, number = time.monotonic(), 0
        with self._changed:
            while not self._closed and not self._ended:
                self._changed.wait_for(lambda: self._closed, max(0.0, begun + number / rate - time.monotonic()))
                self._changed.wait_for(lambda: self._closed or not self._meeting or self._is_clear())
                batch = None if self._is_closed() else self._pull()
                if batch is not None:
                    number += 1
                    self._offered(len(batch))
                    self._due.append(batch)
                    self._changed.notify_all()

    def _is_closed(self) -> bool:
        return self._closed

    def _is_clear(self) -> bool:
        return not self._under_way and not self._due


class OpenPhase:
    """The lanes of one phase while it runs, and the seats in them: one for each user that a lane may have."""

    def __init__(self, phase: Phase, offered: Offered) -> None:
        self.phase = phase
        self.lanes = tuple(OpenLane(lane, offered) for lane in phase.lanes)
        self._seats = deque(lane for lane in self.lanes for _ in range(lane.lane.users))

    def start(self) -> None:
        """Begin."""
        for lane in self.lanes:
            lane.start()

    def seat(self) -> OpenLane | None:
        """A seat that nobody has yet; None: all are taken."""
        return self._seats.popleft() if self._seats else None

    def close(self, *, background_only: bool = False) -> None:
        """Begin nothing more."""
        for lane in self._select(background=True) if background_only else self.lanes:
            lane.close()

    def wait_until_over(self, seconds: float) -> bool:
        """Wait until every lane that holds the phase open is over; with none such, so long. False: they are not."""
        deadline = time.monotonic() + seconds
        foreground = self._select(background=False)
        if not foreground and self.lanes:
            foreground = list(self.lanes)
        return all(lane.wait_until_over(deadline - time.monotonic()) for lane in foreground)

    def wait_until_answered(self, seconds: float) -> int:
        """Wait, once closed, until nothing is under way; gives the batches that still are after so long."""
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            lane.wait_until_over(deadline - time.monotonic())
        return sum(lane.under_way for lane in self.lanes)

    def _select(self, *, background: bool) -> list[OpenLane]:
        return [lane for lane in self.lanes if lane.lane.background is background]


class PhaseRunner:
    """Where users wait for a phase, and find their seat in it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: OpenPhase | None = None

    def open(self, phase: OpenPhase) -> None:
        """Let users in."""
        phase.start()
        with self._changed:
            self._open = phase
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._open = None

    def next_lane(self) -> tuple[Phase, OpenLane]:
        """Wait for a seat."""
        with self._changed:
            while True:
                seat = self._open.seat() if self._open is not None else None
                if self._open is not None and seat is not None:
                    return self._open.phase, seat
                self._changed.wait()


def users(phase: Phase) -> int:
    """Users that a phase needs: those of its lanes together."""
    return sum(lane.users for lane in phase.lanes)
