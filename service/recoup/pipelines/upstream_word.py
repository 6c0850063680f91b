"""The upstream's word: what its answer says of being kept, and of answering anybody else (RFC 9111)."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from recoup.cache import Staleness
from recoup.pipelines.hop_by_hop import RawHeaders

#: Whether an upstream's word is taken: the values of the option `upstream_cache_control`.
OBEY, IGNORE = "obey", "ignore"
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?""")
_KEEPING_OUT = ("no-store", "private", "no-cache")
#: RFC 5861's, in the order of `Word`; and what forbids them (RFC 9111, 5.2.2).
_EXTENSIONS = ("stale-while-revalidate", "stale-if-error")
_REVALIDATING = ("must-revalidate", "proxy-revalidate")
#: Recoup asks for no coding but one, so an answer cannot depend on this.
_CONSTANT = frozenset({"accept-encoding"})
_LONGEST_SECONDS = 10**9


class Word(NamedTuple):
    """What an answer says.

    Attributes:
        kept_out: What keeps it from being stored and from answering anybody else; empty: nothing does.
        ttl_seconds: How long it may be kept; None: it does not say.
        while_revalidate_seconds: How long past that it may answer while it is asked for again (RFC 5861); likewise.
        if_error_seconds: And where that fails; likewise.
        revalidate: Whether it must not answer past that, whatever else is configured.
    """

    kept_out: str = ""
    ttl_seconds: float | None = None
    while_revalidate_seconds: float | None = None
    if_error_seconds: float | None = None
    revalidate: bool = False

    def staleness(self, configured: Staleness) -> Staleness:
        """What may be done with the answer near its end and past it; what it does not say is as it is configured."""
        if self.revalidate:
            return Staleness(refresh_ahead=configured.refresh_ahead)
        if self.while_revalidate_seconds is None and self.if_error_seconds is None:
            return configured
        return Staleness(
            configured.while_revalidate_seconds
            if self.while_revalidate_seconds is None
            else self.while_revalidate_seconds,
            configured.if_error_seconds if self.if_error_seconds is None else self.if_error_seconds,
            configured.refresh_ahead,
        )


def word_of(headers: RawHeaders, key_headers: Container[str]) -> Word:
    """What an answer says.

    Args:
        headers: Of the answer, names in lower case.
        key_headers: The request headers that belong to the key, in lower case: an answer may depend on these.
    """
    given = _directives(headers)
    for name in _KEEPING_OUT:
        if name in given:
            return Word(name)
    ttl = _ttl(given, headers)
    if ttl is not None and ttl <= 0:
        return Word("max-age=0", 0.0)
    if any(name == b"set-cookie" for name, _ in headers):
        return Word("set-cookie")
    if not all(name in key_headers or name in _CONSTANT for name in _vary(headers)):
        return Word("vary")
    while_revalidate, if_error = (float(_seconds(given[name])) if name in given else None for name in _EXTENSIONS)
    return Word("", ttl, while_revalidate, if_error, any(name in given for name in _REVALIDATING))


def _directives(headers: RawHeaders) -> dict[str, str]:
    text = ", ".join(value.decode("latin-1") for name, value in headers if name == b"cache-control")
    found: dict[str, str] = {}
    for name, value in _DIRECTIVE.findall(text):
        # Of a directive that is there twice, the first counts (RFC 9111, 4.2.1).
        found.setdefault(name.lower(), value.strip('"'))
    return found


def _ttl(given: dict[str, str], headers: RawHeaders) -> float | None:
    text = given.get("s-maxage", given.get("max-age"))
    if text is None:
        return None
    ages = [_seconds(value.decode("latin-1").strip()) for name, value in headers if name == b"age"]
    return float(_seconds(text) - max(ages, default=0))


def _seconds(text: str) -> int:
    """Seconds of a directive or a header; 0 for what is no number: it allows nothing (RFC 9111, 4.2.1)."""
    return min(int(text[:10]), _LONGEST_SECONDS) if text.isascii() and text.isdigit() else 0


def _vary(headers: RawHeaders) -> set[str]:
    values = (value.decode("latin-1") for name, value in headers if name == b"vary")
    return {name.strip().lower() for value in values for name in value.split(",") if name.strip()}
