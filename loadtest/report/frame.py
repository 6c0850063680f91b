"""The axes of the report's charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Margins(NamedTuple):
    """What labels take of a graph's sides."""

    left: float = 64
    right: float = 6
    top: float = 8
    bottom: float = 18


MARGINS = Margins()


class Frame:
    """The axes of a graph: seconds to the right, values upwards, logarithmic or not."""

    def __init__(
        self, width: float, height: float, span: tuple[float, float], logarithmic: bool, margins: Margins = MARGINS
    ) -> None:
        self.width, self.height, self.span, self._log = width, height - margins.bottom, span, logarithmic
        self.margins = margins
        self.low, self.high = 0.0, 1.0

    def fit(self, values: list[float], most: float | None) -> None:
        """Choose the range of the values."""
        if self._log:
            above = [value for value in values if value > 0] or [0.1, 1]
            self.low, self.high = (float(round_(math.log10(limit))) for round_, limit in _decades(above))
            self.high = max(self.high, self.low + 1)
        else:
            self.high = most if most is not None else (max(values, default=0) * 1.08 or 1.0)

    def x(self, at: float) -> float:
        """Where a moment is."""
        start, end = self.span
        return self.margins.left + (at - start) / (end - start) * (self.width - self.margins.left - self.margins.right)

    def y(self, value: float) -> float:
        """Where a value is."""
        place = (math.log10(max(value, 10**self.low)) if self._log else value) - self.low
        return self.height - min(max(place / (self.high - self.low), 0), 1.02) * (self.height - self.margins.top)

    def ticks(self, unit: str) -> list[float]:
        """Values for the labels of the value axis: round ones, about five."""
        if self._log:
            powers = range(int(self.low), int(self.high) + 1, max(1, math.ceil((self.high - self.low) / 5)))
            return [10.0**power for power in powers]
        step = _round(self.high / 4, 1024 if unit == "bytes" else 10)
        return [step * number for number in range(int(self.high / step) + 1)]


def _round(value: float, base: int) -> float:
    """The next larger number that is round to that base."""
    size = float(base) ** math.floor(math.log(value, base))
    steps = (1, 2, 2.5, 5, 10) if base == 10 else [2.0**power for power in range(11)]
    return next((size * step for step in steps if size * step >= value), size * base)


def _decades(values: list[float]) -> tuple[tuple[Callable[[float], int], float], ...]:
    return (math.floor, min(values)), (math.ceil, max(values))


def unbroken(points: Sequence[tuple[float, float]]) -> Iterator[slice]:
    """Where a line goes on: between two of these parts it has a gap, much longer than from point to point."""
    gap = 8 * min((b[0] - a[0] for a, b in pairwise(points)), default=1)
    begin = 0
    for number, (one, next_one) in enumerate(pairwise(points), start=1):
        if next_one[0] - one[0] > gap:
            yield slice(begin, number)
            begin = number
    if points:
        yield slice(begin, len(points))
