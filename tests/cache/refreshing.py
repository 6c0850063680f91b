"""What the tests of results near their end share: refreshes that run when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recoup import LRUCache
from recoup.cache import RefreshClaim, Staleness

WHILE_REVALIDATING = Staleness(while_revalidate_seconds=60)
IF_ERROR = Staleness(if_error_seconds=60)
AHEAD = Staleness(refresh_ahead=0.8)
BOTH = Staleness(while_revalidate_seconds=10, if_error_seconds=60)


class Refreshing:
    """Takes what is to be generated anew, and does it when a test says so."""

    def __init__(self, cache: LRUCache) -> None:
        self.cache = cache
        self.claims: list[RefreshClaim] = []

    def __call__(self, claim: RefreshClaim) -> None:
        self.claims.append(claim)

    def run(self, generate: Callable[[], Any], staleness: Staleness = WHILE_REVALIDATING, **options: Any) -> bool:
        """Generate anew what was taken first."""
        return self.cache.refresh(self.claims.pop(0), generate, staleness=staleness, **options)


def fail(error: Exception) -> Callable[[], Any]:
    def generate() -> Any:
        raise error

    return generate


def ask(cache: LRUCache, begin: Refreshing, staleness: Staleness = WHILE_REVALIDATING, **options: Any) -> Any:
    return cache.fetch(
        "a", options.pop("generate", lambda: "generated"), staleness=staleness, begin_refresh=begin, **options
    )


def seen(lookup: Any) -> tuple[Any, str]:
    return lookup.value, lookup.outcome
