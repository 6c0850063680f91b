"""What is passed on as it is, in both directions, and never stored: `[[passthrough]]`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from recoup.pipelines.connection import Body
from recoup.pipelines.exchange import Answer, Upstream
from recoup.pipelines.paths import PathPattern
from recoup.pipelines.upstream_url import parse_upstream_url

#: Connections that are kept open for the next request.
_CONNECTIONS = 64


class Passthrough:
    """One path, or all paths below one, and the upstream that answers there. Of one event loop.

    Args:
        path: Where.
        url: The upstream; if the path is open, it ends where the path's rest is to be added.

    Attributes:
        path: See above.
    """

    def __init__(self, path: PathPattern, url: str) -> None:
        self.path = path
        self._upstream = Upstream(parse_upstream_url(url), connections=_CONNECTIONS)

    async def start(self) -> None:
        """Connections are made when they are needed."""
        await self._upstream.start()

    def close(self) -> None:
        """Close the idle connections."""
        self._upstream.close()

    def exchange(
        self, method: str, rest: str, query: str, headers: Iterable[tuple[bytes, bytes]], body: bytes | Body
    ) -> AbstractAsyncContextManager[Answer]:
        """One exchange; see `Upstream.exchange`. There is no time limit: it ends when its caller leaves."""
        return self._upstream.exchange(method, query, headers, body, rest=rest, plain=True)
