"""The room for requests that wait for a generation, kept smaller than the threads, so that hits always find one."""

from __future__ import annotations

import threading
from types import TracebackType

from recoup.errors import QueueFullError

#: Of so many threads, one is kept for requests that do not wait.
_RESERVE = 8
#: Seconds after which a refused caller may try again: a place becomes free with every generation that ends.
_RETRY_SECONDS = 2


def places_for(threads: int) -> int:
    """How many of `threads` may wait for generations; at least one, and at least one is left for hits."""
    return max(1, threads - max(1, threads // _RESERVE))


class WaitingRoom:
    """A context manager around every wait for a generation: leaders, those in a queue, and followers alike.

    Args:
        places: Requests that may wait at one time.

    Raises:
        QueueFullError: On entering, when all places are taken or the room is closed.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @property
    def inside(self) -> int:
        """Requests that wait now."""
        return self._inside

    @property
    def closed(self) -> bool:
        """Whether it takes nobody any more, because the service is shutting down."""
        return self._closed

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise QueueFullError("The service is shutting down.", retry_after_seconds=_RETRY_SECONDS)
            if self._inside >= self.places:
                raise QueueFullError(
                    f"{self._inside} requests wait for generations already.", retry_after_seconds=_RETRY_SECONDS
                )
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Take nobody any more. Those inside stay until they are done."""
        with self._changed:
            self._closed = True

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait up to `seconds` until nobody is inside, and tell whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._inside, seconds)
