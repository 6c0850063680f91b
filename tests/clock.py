"""The one clock of the tests: seconds that pass only when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class FakeClock:
    """Monotonic seconds that stand still. `now` may be set; `advance` lets some pass."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def costing(self, seconds: float, result: T) -> Callable[[], T]:
        """A generator that takes so many seconds."""

        def generate() -> T:
            self.now += seconds
            return result

        return generate
