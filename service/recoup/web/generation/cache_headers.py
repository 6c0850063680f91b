"""The headers of HTTP caching: what a request asks of the cache, and what an answer tells of it.

Cache-Control directives and Age are those of RFC 9111, Cache-Status of RFC 9211, entity tags of RFC 9110; Server-Timing
is the W3C's.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from recoup.cache.stats import Lookup

#: The name of this cache in `Cache-Status`.
CACHE_NAME = "recoup"

_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=("(?:[^"\\]|\\.)*"|[^\s,"]*))?""")
_ENTITY_TAG = re.compile(rb'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Directives:
    """What a request's `Cache-Control` asks.

    Attributes:
        no_store: Generate past the cache, and store nothing.
        only_if_cached: A stored result or none.
        max_age: Seconds that a result may be old; 0: generate anew; None: any age does.
    """

    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None


NO_DIRECTIVES = Directives()


@lru_cache(maxsize=64)
def request_directives(header: str) -> Directives:
    """The directives of a request's `Cache-Control` header, as Latin-1; those that it may ignore, it ignores."""
    given = {name.lower(): value.strip('"') for name, value in _DIRECTIVE.findall(header)}
    return Directives(
        no_store="no-store" in given,
        only_if_cached="only-if-cached" in given,
        max_age=0 if "no-cache" in given else _seconds(given.get("max-age")),
    )


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    # An age that cannot be read allows none; one past all bounds allows any (RFC 9111, section 1.2.2).
    return int(text[:10]) if text.isascii() and text.isdigit() else 0


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Whether an `If-None-Match` header names an entity tag: `*`, or a list, by weak comparison."""
    if if_none_match.strip() == b"*":
        return True
    return etag.removeprefix(b"W/") in _ENTITY_TAG.findall(if_none_match)


def hit_status(expires_in_seconds: float, key: str, tier: str | None = None) -> str:
    """`Cache-Status` of a hit; stale where the seconds are negative, without a ttl where they are infinite.

    Args:
        expires_in_seconds: See above.
        key: Its key.
        tier: The tier beyond memory that had it; None: memory had it.
    """
    detail = "" if tier is None else f"; detail={tier}"
    if expires_in_seconds == math.inf:
        return f'{CACHE_NAME}; hit{detail}; key="{key}"'
    return f'{CACHE_NAME}; hit; ttl={math.floor(expires_in_seconds)}{detail}; key="{key}"'


def cache_status(lookup: Lookup[Any], key: str, *, refreshed: bool, kept_out: str = "") -> str:
    """`Cache-Status` of a lookup.

    Args:
        lookup: The lookup.
        key: Its key.
        refreshed: Whether it was made because the request would have no stored result.
        kept_out: What kept its result from being stored, as a word; empty: nothing did.
    """
    if lookup.outcome in ("hit", "stale"):
        left = math.inf if lookup.expires_in_seconds is None else lookup.expires_in_seconds
        return hit_status(left, key, lookup.tier)
    why = f"; not-stored={kept_out}" if kept_out and lookup.outcome == "miss" else ""
    return f'{CACHE_NAME}; {_forwarded(lookup, refreshed=refreshed)}{why}; key="{key}"'


def _forwarded(lookup: Lookup[Any], *, refreshed: bool) -> str:
    if lookup.outcome == "bypass":
        return f"fwd=bypass; detail={lookup.bypass_reason}"
    forwarded = f"fwd={'request' if refreshed else 'uri-miss'}"
    if lookup.outcome == "coalesced":
        return f"{forwarded}; collapsed"
    stored = f"{forwarded}; stored" if lookup.stored else forwarded
    return stored if refreshed else f"{stored}; detail={lookup.reason}"


def hit_timing(outcome: str, seconds: float, cost_seconds: float) -> str:
    """`Server-Timing` of an answer that needed no generation of its own: what it took, and what it recouped."""
    return f'cache;desc="{outcome}";dur={seconds * 1e3:.3f}, recouped;dur={cost_seconds * 1e3:.1f}'


def server_timing(lookup: Lookup[Any], seconds: float) -> str:
    """`Server-Timing` of a lookup that took `seconds`; `cache` and `generate` together are all of them."""
    if lookup.outcome in ("miss", "bypass"):
        rest = max(0.0, seconds - lookup.cost_seconds)
        return f'cache;desc="{lookup.outcome}";dur={rest * 1e3:.3f}, generate;dur={lookup.cost_seconds * 1e3:.1f}'
    return hit_timing(lookup.outcome, seconds, lookup.cost_seconds)
