"""Paths that pipelines and passthroughs are served at: what they may be, what they match, and when two conflict."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from recoup.errors import BadRequestError

#: What Recoup itself answers: exact paths, and beginnings of paths. They go before everything that is configured.
OWN_PATHS = ("/", "/api/pipelines", "/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/console")
OWN_PREFIXES = ("/api/generate/", "/api/cache/", "/api/results/", "/docs/", "/console/")

PATH_RULE = (
    'a path such as "/v1/chat/completions", or one that ends in "/*"; visible ASCII, without "?", "#", "%", "." '
    'segments or another "*"'
)
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@-]*)+(/\*)?|/\*")
_SENT = re.compile(rb"/[!-~]*")
_QUERY = re.compile(rb"[!-\"$-~\x80-\xff]*")
_DOTS = re.compile(rb"(^|/|%2f|\\|%5c)(\.|%2e){1,2}($|/|;|%2f|\\|%5c)", re.IGNORECASE)


class PathPattern(NamedTuple):
    """A path, or all paths below one.

    Attributes:
        text: As it is written.
        prefix: The path; of all below one: up to its last slash.
        open: Whether it is all paths below `prefix`.
    """

    text: str
    prefix: str
    open: bool

    def rest(self, path: str) -> str | None:
        """What of a path follows the prefix; empty for the path itself; None: it does not match."""
        if not self.open:
            return "" if path == self.prefix else None
        return path[len(self.prefix) :] if path.startswith(self.prefix) else None


def parse_path(text: str) -> PathPattern:
    """A path as it is configured.

    Raises:
        ValueError: It is none; `PATH_RULE` says what is expected.
    """
    if _PATH.fullmatch(text) is None or any(part in (".", "..") for part in text.split("/")):
        raise ValueError("a path is expected")
    is_open = text.endswith("/*")
    return PathPattern(text, text[:-1] if is_open else text, is_open)


def is_own_path(path: str) -> bool:
    """Whether Recoup itself answers a path."""
    return path in OWN_PATHS or path.startswith(OWN_PREFIXES)


def conflict(one: PathPattern, methods: Iterable[str], other: PathPattern, others: Iterable[str]) -> str | None:
    """A method that two pipelines would both answer at the same path; None: there is none.

    A path goes before all paths below one, and a longer prefix before a shorter one; so only equal ones conflict.
    """
    if (one.prefix, one.open) != (other.prefix, other.open):
        return None
    return next((method for method in methods if method in set(others)), None)


def sent_query(raw: bytes) -> str:
    """A query as it was sent, checked: it can be sent on as it is. A byte is a character.

    Raises:
        BadRequestError: It has characters that no query has.
    """
    if _QUERY.fullmatch(raw) is None:
        raise BadRequestError("The query has characters that must be escaped.")
    return raw.decode("latin-1")


def sent_path(raw: bytes) -> str:
    """A path as it was sent, checked: it can be sent on as it is, and means nothing outside of itself.

    Raises:
        BadRequestError: It has characters that no path has, or segments that lead out of it.
    """
    if _SENT.fullmatch(raw) is None or b"#" in raw:
        raise BadRequestError("The path has characters that must be escaped.")
    if _DOTS.search(raw):
        raise BadRequestError("The path has a segment '.' or '..', which could lead out of what is served here.")
    return raw.decode("ascii")
