"""The URL of an upstream: checked, and taken apart into what a request needs."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
#: What stays as it is in a path or a query (RFC 3986, 3.3 and 3.4), and what is encoded already.
_SAFE = "/?%:@!$&'()*+,;=~"


class UpstreamURL(NamedTuple):
    """Where an upstream is, and what is asked of it.

    Attributes:
        tls: Whether it is `https`.
        host: Its host name in ASCII, or its address, without brackets.
        port: Its port.
        authority: What the header `Host` says.
        target: Path and query, encoded.
        members: The names of the query's members, decoded.
    """

    tls: bool
    host: str
    port: int
    authority: str
    target: str
    members: frozenset[str]


def parse_upstream_url(url: str) -> UpstreamURL:
    """An `http` or `https` URL with a host, without a user, a password or a fragment.

    Raises:
        ValueError: It is another URL, or none.
    """
    if _UNPRINTABLE.search(url) or "#" in url:
        raise ValueError("a URL without spaces and without a fragment is expected")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an http or https URL with a host, without a user, is expected")
    default = _PORTS[parts.scheme]
    port = default if parts.port is None else parts.port
    host, written = _host(parts.hostname)
    path, query = quote(parts.path or "/", _SAFE), quote(parts.query, _SAFE)
    return UpstreamURL(
        tls=parts.scheme == "https",
        host=host,
        port=port,
        authority=written if port == default else f"{written}:{port}",
        target=f"{path}?{query}" if query else path,
        members=frozenset(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)),
    )


def _host(name: str) -> tuple[str, str]:
    """A host as it is looked up, and as it is written."""
    if ":" in name:
        return name, f"[{ipaddress.IPv6Address(name.partition('%')[0])}]"
    ascii_name = name if name.isascii() else name.encode("idna").decode()
    if not _HOST.fullmatch(ascii_name):
        raise ValueError("a host name is expected")
    return ascii_name, ascii_name
