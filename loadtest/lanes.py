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
        offered: Called with the number of requests as they become due: at their pace, or else when they are sent.
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
