"""The service's own counters, as a journal has them: read by metric and labels, and what they grew by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache

from loadtest.journal import Phase

_SERIES = re.compile(r"(?P<name>[^{]+)(?:\{(?P<labels>.*)\})?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@lru_cache(maxsize=4096)
def series(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The name and the labels of a series as Prometheus' text writes it.

    Raises:
        ValueError: It is none.
    """
    match = _SERIES.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no series")
    return match["name"], tuple(_LABEL.findall(match["labels"] or ""))


def select(counters: Mapping[str, float], metric: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
    """The series of a metric with these labels: all their labels, and their values."""
    for text, value in counters.items():
        name, own = series(text)
        if name == metric and labels.items() <= dict(own).items():
            yield dict(own), value


def total(counters: Mapping[str, float], metric: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    return sum(value for _, value in select(counters, metric, **labels))


def has(counters: Mapping[str, float] | None, metric: str) -> bool:
    """Whether there is any series of a metric."""
    return any(True for _ in select(counters or {}, metric))


def growth(phase: Phase, metric: str, **labels: str) -> float:
    """What a metric grew by in a phase; what has no end counts as nothing."""
    if phase.after is None:
        return 0.0
    return total(phase.after, metric, **labels) - total(phase.before, metric, **labels)


def growth_by(phase: Phase, metric: str, label: str, **labels: str) -> Counter[str]:
    """What a counter grew by in a phase, by a label's value; without those that did not grow."""
    grown = Counter[str]()
    for sign, counted in ((1, phase.after), (-1, phase.before)) if phase.after is not None else ():
        for own, value in select(counted or {}, metric, **labels):
            grown[own[label]] += sign * round(value)
    return Counter({name: number for name, number in grown.items() if number})


def mean(phase: Phase, histogram: str, **labels: str) -> float | None:
    """The mean of what a histogram observed in a phase; None: nothing."""
    observed = growth(phase, f"{histogram}_count", **labels)
    return growth(phase, f"{histogram}_sum", **labels) / observed if observed > 0 else None
