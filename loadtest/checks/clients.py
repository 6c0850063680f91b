"""What the clients saw of a phase: their outcomes, their waiting, and how often they were answered from the cache."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from statistics import median as middle

from loadtest import journal
from loadtest.journal import Phase, Request

HITS = ("hit", "stale")


def outcomes(requests: Iterable[Request]) -> Counter[str]:
    """Requests by outcome; those without one are left out."""
    return Counter(request.outcome for request in requests if request.outcome is not None)


def reasons(requests: Iterable[Request]) -> Counter[str]:
    """Misses by reason."""
    return Counter(request.reason for request in requests if request.outcome == "miss" and request.reason is not None)


def hit_ratio(requests: Iterable[Request]) -> float | None:
    """Hits by lookups, without bypasses; None: there were none."""
    return journal.hit_ratio(outcomes(requests))


def waited(requests: Iterable[Request], *of: str) -> list[float]:
    """What the senders waited for whole answers, in seconds; only those with one of the outcomes, if any is named."""
    return [request.seconds for request in requests if request.status == 200 and (not of or request.outcome in of)]


def generated(requests: Iterable[Request], outcome: str) -> float | None:
    """What generations took in the mean, as the service told each of their callers; None: it told nobody."""
    told = (request.generation_seconds for request in requests if request.outcome == outcome)
    return mean([seconds for seconds in told if seconds is not None])


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return fmean(values) if values else None


def median(values: Sequence[float]) -> float | None:
    """The median; None without values."""
    return middle(values) if values else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least value that so large a share of them does not exceed (the nearest rank); None without values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def generations(requests: Iterable[Request], *, cached: bool = False) -> list[Request]:
    """The requests for a generation; with `cached` without those that went past the cache."""
    return [one for one in requests if one.kind == "generate" and not (cached and one.outcome == "bypass")]


def answered_within(requests: Iterable[Request], begin: float, end: float) -> list[Request]:
    """The requests whose answers were there after `begin` and until `end`."""
    return [request for request in requests if begin < request.at + request.seconds <= end]


def count(requests: Iterable[Request], which: Callable[[Request], bool]) -> int:
    """How many requests are of a kind."""
    return sum(map(which, requests))


def ends_of(phase: Phase) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first and the last third of a phase's time."""
    third = (phase.end - phase.begin) / 3
    return (phase.begin, phase.begin + third), (phase.end - third, phase.end)


def halves(phase: Phase) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first and the second half of a phase's time."""
    middle = (phase.begin + phase.end) / 2
    return (phase.begin, middle), (middle, phase.end)
