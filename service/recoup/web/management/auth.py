"""Who may use the management API.

With a token: callers that send it. Without one: callers on this machine, judged by the socket's peer address alone. A
browser on this machine runs pages of strangers, so a caller without a token must also name this machine as the host
(against DNS rebinding) and must not be another site's page (against cross-site requests). Nor may a proxy on this
machine speak for others: a request that says it was forwarded is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from recoup.errors import ConfigurationError, NotAuthorizedError

#: Headers by which a proxy says that it speaks for somebody else, and how the names of others begin.
_FORWARDED = frozenset(
    {
        "HTTP_FORWARDED",
        "HTTP_VIA",
        "HTTP_X_REAL_IP",
        "HTTP_X_CLIENT_IP",
        "HTTP_X_CLUSTER_CLIENT_IP",
        "HTTP_CLIENT_IP",
        "HTTP_TRUE_CLIENT_IP",
        "HTTP_CF_CONNECTING_IP",
        "HTTP_FASTLY_CLIENT_IP",
    }
)
_FORWARDED_PREFIXES = ("HTTP_X_FORWARDED", "HTTP_X_ORIGINAL_", "HTTP_X_ENVOY_")
_SAFE_METHODS = ("GET", "HEAD")
_HOW_TO_SEND = "Send it as `Authorization: Bearer TOKEN`."
_HOW_TO_SET = "Set a token (RECOUP_ADMIN_TOKEN) and send it as `Authorization: Bearer TOKEN`."

Environ = Mapping[str, Any]


class Access:
    """The check of one management API.

    Args:
        token: The bearer token; None: callers on this machine need none, and all others are refused.

    Raises:
        ConfigurationError: The token is empty, or has space around it, so that no header could carry it.
    """

    def __init__(self, token: str | None = None) -> None:
        if token is not None and (not token or token != token.strip()):
            raise ConfigurationError("the management token must not be empty or have space around it (None: no token)")
        self._token = None if token is None else token.encode("utf-8", "surrogateescape")

    def require(self, environ: Environ) -> None:
        """Let a request through, by its WSGI environment.

        Raises:
            NotAuthorizedError: It may not; says what to do.
        """
        if self._token is not None:
            self._require_token(environ, self._token)
        else:
            _require_this_machine(environ)

    def _require_token(self, environ: Environ, token: bytes) -> None:
        scheme, _, presented = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthorizedError(f"The management API needs its token. {_HOW_TO_SEND}")
        # WSGI hands headers over as Latin-1; bytes also let the comparison take any character.
        if not hmac.compare_digest(presented.strip().encode("latin-1", "replace"), token):
            raise NotAuthorizedError(f"That is not the management API's token. {_HOW_TO_SEND}")


def is_loopback(address: str) -> bool:
    """Whether an IP address is of this machine alone: 127.0.0.0/8, ::1, or the former mapped into IPv6."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def is_local_host(host: str) -> bool:
    """Whether a Host header (or the host of an Origin) names this machine: `localhost`, or a loopback address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    name = name.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


def _require_this_machine(environ: Environ) -> None:
    if not all(is_loopback(address) for address in _peer_addresses(environ)):
        raise NotAuthorizedError(f"Without a token, only callers on this machine are let in. {_HOW_TO_SET}")
    # That the header is there says it, whatever its value: a proxy may pass on bytes that are no text, or none.
    if any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES) for name in environ):
        raise NotAuthorizedError(f"Without a token, no request that a proxy forwarded is let in. {_HOW_TO_SET}")
    if not is_local_host(environ.get("HTTP_HOST", "localhost")):
        raise NotAuthorizedError(
            f"Without a token, the request must name localhost or a loopback address as its host. {_HOW_TO_SET}"
        )
    if _is_cross_site(environ):
        raise NotAuthorizedError(f"Without a token, no request that another site's page makes is let in. {_HOW_TO_SET}")


def _peer_addresses(environ: Environ) -> list[str]:
    """The peer of the socket, and what a proxy middleware of the application made of it, if there is one."""
    original = environ.get("werkzeug.proxy_fix.orig") or {}
    return [environ.get("REMOTE_ADDR") or "", original.get("REMOTE_ADDR") or environ.get("REMOTE_ADDR") or ""]


def _is_cross_site(environ: Environ) -> bool:
    """Whether a browser says that another origin's page makes this request; other clients say nothing of it."""
    origin = environ.get("HTTP_ORIGIN")
    # A page without an origin of its own (`null`: a sandboxed frame, a file) is another one's, too.
    if origin is not None and not _is_own_origin(origin, environ.get("HTTP_HOST", "")):
        return True
    if environ.get("REQUEST_METHOD") in _SAFE_METHODS and environ.get("HTTP_SEC_FETCH_MODE") == "navigate":
        return False  # a link that somebody followed: its page cannot read the answer
    return environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none")


def _is_own_origin(origin: str, host: str) -> bool:
    scheme, _, authority = origin.partition("://")
    return scheme in ("http", "https") and authority.lower() == host.lower()
