"""How old a result may be that answers a request, as its `Cache-Control` says, held against what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recoup.cache import Mode, ResultCache
from recoup.errors import NotCachedError
from recoup.web.generation.request import GenerationRequest


def asks_for_new(request: GenerationRequest) -> bool:
    """Whether a request that is generated is so because it says how old a result may be."""
    return request.max_age is not None and request.mode == "default"


def mode_by_age(cache: ResultCache, request: GenerationRequest) -> Mode:
    """The mode of a request that says how old a result may be.

    Raises:
        NotCachedError: It takes a stored result or none, and there is none of that age.
    """
    if request.max_age is None or request.mode == "bypass":
        return request.mode
    known = cache.inspect(request.key) if request.max_age else None
    if known is not None and known["age_seconds"] <= request.max_age and not _has_expired(known):
        return request.mode
    if request.mode == "only_if_cached":
        raise NotCachedError("The request takes a stored result of a certain age or none, and there is none.")
    return "refresh"


def _has_expired(known: Mapping[str, Any]) -> bool:
    """Whether an entry, as `inspect` gives it, has expired: who says how old a result may be takes none that has."""
    left = known["expires_in_seconds"]
    return left is not None and left <= 0
