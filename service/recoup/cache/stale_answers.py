"""Answers from results that have expired: at once, while they are generated anew, or in the place of an error."""

from __future__ import annotations

from typing import Any

from recoup.cache.entry import CacheEntry
from recoup.cache.lookup_steps import Request
from recoup.cache.staleness import is_failure
from recoup.cache.state import CacheState
from recoup.cache.stats import Lookup, Outcome

_NEVER = float("inf")


def answered(entry: CacheEntry[Any], outcome: Outcome, now: float) -> Lookup[Any]:
    """The lookup that an entry answered."""
    left = entry.expires_at - now
    return Lookup(
        entry.value,
        outcome,
        cost_seconds=entry.cost_seconds,
        price=entry.price,
        age_seconds=max(0.0, now - entry.created_at),
        expires_in_seconds=None if left == _NEVER else left,
    )


def stale_answer(state: CacheState, entry: CacheEntry[Any], pipeline: str, now: float) -> Lookup[Any]:
    """The answer of an entry that has expired, counted. Under the lock."""
    counters = state.store.of(pipeline)
    counters.stale += 1
    counters.count_recouped(entry.cost_seconds, entry.price)
    state.store.count_stale_read(entry, now)
    return answered(entry, "stale", now)


def answer_instead(state: CacheState, request: Request, error: BaseException) -> Lookup[Any] | None:
    """The answer of an entry that may stand in for an error (RFC 5861, section 4), counted; None: there is none.

    Not for a caller who would have no stale result: one who asked for a new one, or for one of a certain age.
    Under the lock.
    """
    if request.mode != "default" or not request.allow_stale or not is_failure(error):
        return None
    entry = state.find(request.key, state.clock())
    return None if entry is None else stand_in(state, entry, request.pipeline)


def stand_in(state: CacheState, entry: CacheEntry[Any], pipeline: str) -> Lookup[Any] | None:
    """The answer of an entry, if it may stand in for an error now, counted. Under the lock."""
    now = state.clock()
    if not may_stand_in(entry, now):
        return None
    state.reads.drain_locked()
    return stale_answer(state, entry, pipeline, now)


def may_stand_in(entry: CacheEntry[Any], now: float) -> bool:
    """Whether an entry that has expired may answer where its generation fails."""
    return 0.0 <= now - entry.expires_at < entry.staleness.if_error_seconds
