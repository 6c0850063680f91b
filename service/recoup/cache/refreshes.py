"""Which results are being generated anew behind their answers: one refresh a key, and none too soon after a failure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from recoup.cache.entry import CacheEntry, KeptEntry
from recoup.cache.staleness import JUST_FAILED_SECONDS, POSTPONED_SECONDS, back_off, is_failure
from recoup.cache.stats import RefreshCause


class RefreshClaim:
    """The right to generate one result anew behind an answer. Whoever has it runs it, or releases it.

    Attributes:
        entry: What is to be replaced.
        cause: `stale`: it has expired; `ahead`: it is about to.
    """

    __slots__ = ("cause", "entry", "retry_at")

    def __init__(self, entry: KeptEntry[Any], cause: RefreshCause) -> None:
        self.entry = entry
        self.cause = cause
        #: When it may be tried again, where it failed.
        self.retry_at: float | None = None

    @property
    def key(self) -> Hashable:
        """The key of the result."""
        return self.entry.key

    @property
    def pipeline(self) -> str:
        """The name of its pipeline."""
        return self.entry.pipeline


class Refreshes:
    """The refreshes that are claimed, by key. Everything here runs under the cache's lock.

    Attributes:
        threads: Threads that run refreshes now.
    """

    def __init__(self) -> None:
        self.threads = 0
        self._claimed: dict[Hashable, RefreshClaim] = {}

    def __len__(self) -> int:
        return len(self._claimed)

    def claim(self, entry: CacheEntry[Any], now: float) -> RefreshClaim | None:
        """The right to generate an entry anew; None: it is not due, or another has it."""
        if now < entry.refresh_at or entry.key in self._claimed or not isinstance(entry, KeptEntry):
            return None
        claim = RefreshClaim(entry, "stale" if now >= entry.expires_at else "ahead")
        self._claimed[entry.key] = claim
        entry.refresh_at = math.inf  # no hit needs to look, as long as it is claimed
        return claim

    def release(self, claim: RefreshClaim, now: float) -> None:
        """End a claim. If the entry is still held, it is due again: after a pause where the refresh failed."""
        if self._claimed.get(claim.key) is not claim:
            return
        del self._claimed[claim.key]
        retry_at = now + POSTPONED_SECONDS if claim.retry_at is None else claim.retry_at
        claim.entry.refresh_at = retry_at

    def note_failure(self, entry: CacheEntry[Any] | None, error: BaseException | None, now: float) -> None:
        """Note that an entry could not be generated anew: with an error, or with a result that is not to be stored."""
        if not isinstance(entry, KeptEntry):
            return
        claim = self._claimed.get(entry.key)
        is_claimed = claim is not None and claim.entry is entry
        if not is_claimed and now < entry.expires_at:
            return  # somebody would have had another one all the same
        entry.failures += 1
        retry_at = now + back_off(entry.failures, error)
        if error is not None and is_failure(error):
            entry.in_error_until = retry_at + JUST_FAILED_SECONDS
        if claim is not None and is_claimed:
            claim.retry_at = retry_at
        else:
            entry.refresh_at = retry_at

    def forget_all(self) -> None:
        """End all claims: who had them is not in this process."""
        for claim in self._claimed.values():
            claim.entry.refresh_at = 0.0
        self._claimed.clear()
        self.threads = 0
