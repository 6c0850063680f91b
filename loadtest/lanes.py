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

    Whoever feeds a lane moves batches from its stream to those that are due: the clock where it has a pace, else the
    user who takes one.

    Args:
        lane: As planned.
        offered: Called with the number of requests as they become due: at their pace, or else when they are sent.
    """

    def __init__(self, lane: Lane, offered: Offered) -> None:
        self.lane = lane
        self._offered = offered
        self._changed = threading.Condition()
        # The first is made before the phase begins: a stream may take its time over it.
        stream = lane.batches()
        self._stream = chain(list(islice(stream, 1)), stream)
        self._due: deque[Batch] = deque()
        self._meets = self._ended = self._closed = False
        #: Batches that were begun and are not yet answered.
        self.under_way = 0

    def start(self) -> None:
        """Begin to make batches due, where they have a pace."""
        if self.lane.rate is not None:
            threading.Thread(target=self._pace, args=(self.lane.rate,), daemon=True).start()

    def take(self) -> Batch | None:
        """The next batch, as soon as it may be sent; None: there is none any more. `answered` has to follow."""
        with self._changed:
            while not self._closed:
                if not self._due and self.lane.rate is None:
                    self._feed()
                if self._due:
                    self.under_way += 1
                    return self._due.popleft()
                if self._ended:
                    break
                self._changed.wait()
            return None

    def answered(self) -> None:
        """Say that the last answer to a batch is there."""
        with self._changed:
            self.under_way -= 1
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

    def _is_over(self) -> bool:
        return not self.under_way and (self._closed or (self._ended and not self._due))

    def _is_clear(self) -> bool:
        return not self.under_way and not self._due

    def _feed(self) -> bool:
        """Make the next batch due; False: the stream has ended, or all before has to be answered first."""
        while not self._ended and (not self._meets or self._is_clear()):
            item = next(self._stream, None)
            self._meets, self._ended = isinstance(item, Rendezvous), item is None
            if not self._meets:
                self._changed.notify_all()
            if isinstance(item, tuple):
                self._due.append(item)
                self._offered(len(item))
                return True
        return False

    def _pace(self, rate: float) -> None:
        """Make batches due at their times, whether there is a user for them or not."""
        begun, number = time.monotonic(), 0
        with self._changed:
            while not (self._closed or self._ended):
                self._changed.wait_for(lambda: self._closed, max(0.0, begun + number / rate - time.monotonic()))
                self._changed.wait_for(lambda: self._closed or not self._meets or self._is_clear())
                number += not self._closed and self._feed()


class PhaseRunner:
    """Runs one phase after another: hands its lanes to waiting users, each lane as often as it may have users."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._phase: Phase | None = None
        self._free: deque[OpenLane] = deque()
        self.lanes: tuple[OpenLane, ...] = ()

    def start(self, phase: Phase, offered: Offered) -> None:
        """Begin a phase: users who wait get its lanes."""
        lanes = tuple(OpenLane(lane, offered) for lane in phase.lanes)
        for lane in lanes:
            lane.start()
        with self._changed:
            self._phase, self.lanes = phase, lanes
            self._free = deque(lane for lane in lanes for _ in range(lane.lane.users))
            self._changed.notify_all()

    def next_lane(self) -> tuple[Phase, OpenLane]:
        """Wait for a lane of a phase that has room for one more user."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            assert self._phase is not None  # noqa: S101  # it came with the lanes
            return self._phase, self._free.popleft()

    def close(self) -> None:
        """Begin nothing more, and give nobody a lane."""
        with self._changed:
            self._free.clear()
        for lane in self.lanes:
            lane.close()

    def wait_until_over(self, seconds: float) -> bool:
        """Wait until every lane is over; False: they are not, after so long."""
        deadline = time.monotonic() + seconds
        return all(lane.wait_until_over(deadline - time.monotonic()) for lane in self.lanes)

    def under_way(self) -> int:
        """Batches that were begun and are not yet answered."""
        return sum(lane.under_way for lane in self.lanes)
