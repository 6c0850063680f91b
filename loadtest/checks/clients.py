"""What the clients saw of a phase: their outcomes, their waiting, and how often they were answered from the cache."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median

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


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return fmean(values) if values else None


def middle(values: Sequence[float]) -> float | None:
    """The median; None without values."""
    return median(values) if values else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least value that so large a share of them does not exceed (the nearest rank); None without values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def generations(phase: Phase) -> tuple[Request, ...]:
    """The requests for a generation of a phase."""
    return tuple(request for request in phase.requests if request.kind == "generate")


def answered_within(requests: Iterable[Request], begin: float, end: float) -> list[Request]:
    """The requests whose answers were there after `begin` and until `end`."""
    return [request for request in requests if begin < request.at + request.seconds <= end]


def in_order_of_sending(requests: Iterable[Request]) -> list[Request]:
    """As they were sent."""
    return sorted(requests, key=lambda request: request.at)
