"""Admission: how many requests may wait for generations at one time.

Nothing that waits holds a thread. It holds a connection and some kilobytes; so the bounds are numbers of requests, and
their sum stays below the number of connections, so that hits always find one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from recoup.errors import QueueFullError

#: Seconds after which a refused caller may try again: a place becomes free with every generation that ends.
_RETRY_SECONDS = 2
#: Share of all places that followers may take, and the followers of one pipeline. Leaders, of which each pipeline's own
#: limiter allows a certain number, find the rest free: a crowd before one key locks nobody out.
_FOLLOWERS, _FOLLOWERS_OF_ONE = 7 / 8, 1 / 2


class Admission:
    """Counts the requests that wait. Of one event loop, which alone calls it.

    Args:
        places: Requests that may wait at one time.
    """

    def __init__(self, places: int) -> None:
        self.places = max(4, places)
        self._most_followers = int(self.places * _FOLLOWERS)
        self._most_of_one = int(self.places * _FOLLOWERS_OF_ONE)
        self._waiting = 0
        self._followers: Counter[str] = Counter()
        self._closed = False
        self._on_close: list[Callable[[], None]] = []

    @property
    def waiting(self) -> int:
        """Requests that wait now, leaders and followers."""
        return self._waiting

    @property
    def closed(self) -> bool:
        """Whether it takes nobody any more, because the service is shutting down."""
        return self._closed

    def close(self) -> None:
        """Take nobody any more. Those who wait stay until they are done."""
        self._closed = True
        for call in self._on_close:
            call()

    def on_close(self, call: Callable[[], None]) -> None:
        """Have something called once nobody is taken any more."""
        self._on_close.append(call)

    def enter_leader(self) -> None:
        """Let in a request that generates, or waits for its turn to.

        Raises:
            QueueFullError: All places are taken, or it is closed.
        """
        self._refuse_if(self._waiting >= self.places)
        self._waiting += 1

    def leave_leader(self) -> None:
        """The end of what `enter_leader` let in."""
        self._waiting -= 1

    def enter_follower(self, pipeline: str) -> None:
        """Let in a request that waits for what another one generates.

        Raises:
            QueueFullError: All places for followers are taken, or it is closed.
        """
        full = self._waiting >= self._most_followers or self._followers[pipeline] >= self._most_of_one
        self._refuse_if(full)
        self._waiting += 1
        self._followers[pipeline] += 1

    def leave_follower(self, pipeline: str) -> None:
        """The end of what `enter_follower` let in."""
        self._waiting -= 1
        self._followers[pipeline] -= 1

    def _refuse_if(self, full: bool) -> None:
        if self._closed:
            raise QueueFullError("The service is shutting down.", retry_after_seconds=_RETRY_SECONDS)
        if full:
            raise QueueFullError(
                f"{self._waiting} requests wait for generations already.", retry_after_seconds=_RETRY_SECONDS
            )
