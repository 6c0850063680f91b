"""What happens to tiers when the program ends, and in a child that was forked."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import Final, Protocol

#: Seconds that the program's end waits for what is still to be written.
_END_SECONDS: Final = 10.0


class Ending(Protocol):
    """A tier, as its lifetime sees it."""

    def close(self, timeout: float | None = None) -> bool:
        """See `Tier.close`."""

    def forget(self) -> None:
        """In a child that was forked: what is open is the parent's."""


class Lifetimes:
    """All tiers of one kind. They end with the program, and a forked child leaves its parent's alone."""

    def __init__(self) -> None:
        self._tiers: weakref.WeakSet[Ending] = weakref.WeakSet()
        atexit.register(self._close_all)
        os.register_at_fork(after_in_child=self._forget_all)

    def add(self, tier: Ending) -> None:
        """Take a new tier in."""
        self._tiers.add(tier)

    def _close_all(self) -> None:
        """Store what waits."""
        ends = time.monotonic() + _END_SECONDS
        for tier in list(self._tiers):
            tier.close(max(0.0, ends - time.monotonic()))

    def _forget_all(self) -> None:
        for tier in list(self._tiers):
            tier.forget()
