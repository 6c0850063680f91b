"""Clients of Redis and Valkey: from a URL, with a time limit on every operation, and without ever showing a secret."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from recoup.errors import ConfigurationError
from recoup.fields import refusal

AVAILABLE: bool
try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    AVAILABLE = True
except ImportError:  # the library alone, without the extra that names it
    AVAILABLE = False

#: What operations of a client raise.
FAILURES: Final[tuple[type[Exception], ...]] = (OSError, ValueError, *((redis.RedisError,) if AVAILABLE else ()))
#: Schemes of URLs, and what the library calls them. With an `s`, over TLS.
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
EXPECTED: Final = "a URL that begins with redis://, rediss://, valkey://, valkeys:// or unix://"


class RedisUrl:
    """Where a server is, and how to sign in there. Its text has no secret in it.

    Args:
        text: `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `valkey://`, `valkeys://`, or
            `unix://[user:password@]/path?db=0`. Further options are the library's: `?ssl_ca_certs=/path`.

    Raises:
        ConfigurationError: It is none of these. What it holds is not shown.
    """

    def __init__(self, text: str) -> None:
        refused = ConfigurationError(refusal("url", "(not shown)", EXPECTED))
        try:
            parts = urlsplit(text)
            scheme = SCHEMES.get(parts.scheme)
            where = parts.path if scheme == "unix" else parts.hostname
            port = parts.port
        except (ValueError, AttributeError):
            raise refused from None
        if scheme is None or not where:
            raise refused
        self._text = parts._replace(scheme=scheme).geturl()
        self._shown = f"unix://{where}" if scheme == "unix" else f"{parts.scheme}://{where}:{port or 6379}{parts.path}"

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"<RedisUrl {self._shown}>"

    def client(self, timeout_seconds: float) -> Any:
        """A client; its connections are made when they are needed.

        Args:
            timeout_seconds: How long one answer of the server may take.

        Raises:
            ConfigurationError: The library is not installed, or does not take the URL's options.
        """
        if not AVAILABLE:
            raise ConfigurationError("the shared tier needs the library redis: install recoup[shared]")
        try:
            return redis.Redis.from_url(
                self._text,
                protocol=2,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                socket_keepalive=True,
                # A failure is known at once, and tried again behind the scenes.
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
            )
        except (ValueError, TypeError):
            raise ConfigurationError(refusal("url", "(not shown)", f"{EXPECTED}, with options that it has")) from None


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the server cannot be reached, hangs, does not let us in, or answers nonsense."""
    if isinstance(error, (OSError, TimeoutError)):
        return True
    return AVAILABLE and isinstance(
        error, (redis.ConnectionError, redis.TimeoutError, redis.exceptions.InvalidResponse)
    )
