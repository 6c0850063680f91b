"""Options of a pipeline: what becomes of its results near their end and past it, and which refusals are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recoup.cache import NEVER_STALE, Staleness
from recoup.fields import STALE_SECONDS, Number, UnusableError

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable

#: The names of the options of every configured pipeline.
STALE_OPTIONS = ("stale_while_revalidate_seconds", "stale_if_error_seconds", "refresh_ahead")
_SHARE = Number(0, 1, "a share of the time to live", above=True)
_SHARE_RULE = "a number above 0 and below 1 (a share of the time to live)"
_NEGATIVE_TTL = Number(0, 10**9, "seconds", above=True)
#: Refusals that are about who asks, not about what is asked for.
_OF_A_CALLER = (401, 403, 407)
#: And those that are about the moment.
_OF_A_MOMENT = (408, 425, 429)
_STATUS_RULE = "a table of statuses and seconds: { 404 = 30 }"
_STATUSES = (
    "a status from 400 to 499, none of 401, 403 and 407, which answer a caller, nor of 408, 425 and 429, which are of "
    "a moment"
)


def staleness(options: OptionTable) -> Staleness:
    """What may be done with the results of a pipeline near their end and past it."""
    share: float | None = None
    if "refresh_ahead" in options:
        share = float(options.take("refresh_ahead", _SHARE, 0.5))
        if share == 1.0:
            options.mistakes.append(options.refused("refresh_ahead", _SHARE_RULE))
    given = Staleness(
        float(options.take("stale_while_revalidate_seconds", STALE_SECONDS, 0.0)),
        float(options.take("stale_if_error_seconds", STALE_SECONDS, 0.0)),
        share,
    )
    return NEVER_STALE if given == NEVER_STALE else given


def negative_ttls(options: OptionTable) -> dict[int, float]:
    """For how long refusals are stored, by their status."""
    name = "negative_ttl_seconds"
    table = options.given(name, {})
    if not isinstance(table, dict):
        options.mistakes.append(options.refused(name, _STATUS_RULE))
        return {}
    ttls: dict[int, float] = {}
    for status, seconds in table.items():
        if not _is_storable(status):
            options.mistakes.append(options.wrong(name, status, _STATUSES))
            continue
        try:
            ttls[int(status)] = float(_NEGATIVE_TTL.check(seconds))
        except UnusableError:
            options.mistakes.append(options.wrong(f"{name}.{status}", seconds, _NEGATIVE_TTL.expected))
    return ttls


def _is_storable(status: str) -> bool:
    if len(status) != 3 or not status.isascii() or not status.isdigit():
        return False
    return 400 <= int(status) < 500 and int(status) not in (*_OF_A_CALLER, *_OF_A_MOMENT)


def describe(staleness: Staleness, negative: Mapping[int, float]) -> dict[str, Any]:
    """What of it was configured, as the options have it."""
    given: dict[str, Any] = {
        "stale_while_revalidate_seconds": staleness.while_revalidate_seconds,
        "stale_if_error_seconds": staleness.if_error_seconds,
        "refresh_ahead": staleness.refresh_ahead,
        "negative_ttl_seconds": {str(status): seconds for status, seconds in negative.items()},
    }
    return {name: value for name, value in given.items() if value}
