"""The conductor's own way to the service: beside the load, on a connection of its own, and not counted by Locust."""

from __future__ import annotations

import urllib3

from loadtest.counters import counters
from loadtest.plan import Call

#: Seconds that one answer may take; the service may be busy.
_PATIENCE_SECONDS = 30.0


#: Among the counters of a phase: what reached the paced upstream.
UPSTREAM_REQUESTS = "loadtest_upstream_requests_total"


class Control:
    """Asks the service for what the conductor needs.

    Args:
        url: Its base URL.
        token: The bearer token of its management API, where it has one.
        upstream: The paced generator behind it, where there is one: its count is among the counters.
    """

    def __init__(self, url: str, token: str | None, upstream: str = "") -> None:
        self._url = url.rstrip("/")
        self._authorization = authorization(token)
        self._upstream = upstream
        self._pool = urllib3.PoolManager(retries=False, timeout=_PATIENCE_SECONDS)

    def send(self, call: Call) -> tuple[int, bytes]:
        """The status and the body of an answer; without one 0, and what went wrong."""
        try:
            answer = self._pool.request(
                call.method, self._url + call.path, body=call.body, headers={**call.headers, **self._authorization}
            )
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error).encode()
        return answer.status, answer.data

    def counters(self) -> dict[str, float]:
        """The service's counters, as a phase's in the journal.

        Raises:
            OSError: It does not answer as it should.
        """
        status, body = self.send(Call("/metrics", "/metrics", method="GET"))
        if status != 200:
            raise OSError(f"GET /metrics was answered with {status or 'nothing'}: {body[:500]!r}")
        read = counters(body.decode())
        if self._upstream:
            read[UPSTREAM_REQUESTS] = float(self._pool.request("GET", f"{self._upstream}/count").data)
        return read


def authorization(token: str | None) -> dict[str, str]:
    """The headers that a management token makes."""
    return {"Authorization": f"Bearer {token}"} if token else {}
