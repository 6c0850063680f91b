"""How long a result may answer past its time to live, and when it is generated anew behind an answer (RFC 5861)."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

#: Seconds until a refresh that failed is tried again: the first time, doubled each time, at most.
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 1.0, 60.0
#: The most of what a failed generation itself asks for, in seconds (`Retry-After`).
_LONGEST_ASKED = 600.0
#: The statuses that are an error in the sense of RFC 5861, section 4.
_ERROR_STATUSES = (500, 502, 503, 504)
#: So long after its failure may be retried, a generation counts as one that has just failed.
JUST_FAILED_SECONDS: Final = 60.0
#: Seconds until a refresh that found no room is tried again.
POSTPONED_SECONDS: Final = 1.0


class Staleness(NamedTuple):
    """What may be done with a result near its end and past it.

    Attributes:
        while_revalidate_seconds: For so long past its expiry it answers at once, and is generated anew behind.
        if_error_seconds: For so long past its expiry it answers where its generation fails.
        refresh_ahead: From this share of its time to live on, a hit has it generated anew behind it; None: none does.
    """

    while_revalidate_seconds: float = 0.0
    if_error_seconds: float = 0.0
    refresh_ahead: float | None = None

    @property
    def kept_seconds(self) -> float:
        """How long past its expiry a result is kept."""
        return max(self.while_revalidate_seconds, self.if_error_seconds)

    def refresh_at(self, stored_at: float, expires_at: float) -> float:
        """When a hit or a stale answer first has the result generated anew; infinity: never."""
        if self.refresh_ahead is not None and expires_at < math.inf:
            return stored_at + self.refresh_ahead * (expires_at - stored_at)
        return expires_at if self.while_revalidate_seconds else math.inf


#: A result that answers until it expires, and not a moment longer.
NEVER_STALE: Final = Staleness()


def is_failure(error: BaseException) -> bool:
    """Whether a stale result may stand in for an error: it is the generator's, not its caller's, and no cancelling.

    An error that has an HTTP `status` decides by it; any other exception is an error of the generator.
    """
    status = getattr(error, "status", 500)
    return isinstance(error, Exception) and (not isinstance(status, int) or status in _ERROR_STATUSES)


def back_off(failures: int, error: BaseException | None) -> float:
    """Seconds until a result is generated anew again that could not be `failures` times in a row."""
    asked = getattr(error, "retry_after_seconds", None)
    least = min(float(asked), _LONGEST_ASKED) if isinstance(asked, (int, float)) else 0.0
    return max(least, min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2.0 ** min(failures - 1, 10)))
