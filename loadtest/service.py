"""The service as the run itself asks it, beside its users: management, and the counters of `/metrics`."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from loadtest.plan import Call
from loadtest.processes import ProcessError

#: Seconds that one answer may take; the service may be busy.
_PATIENCE_SECONDS = 30.0


#: Among the counters of a phase: what reached the paced upstream.
UPSTREAM_REQUESTS = "loadtest_upstream_requests_total"


class ServiceClient:
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


def counters(text: str) -> dict[str, float]:
    """Every series of a text in Prometheus' format, but buckets, by its name and its labels as `series` has them."""
    return {
        series(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def series(name: str, labels: Mapping[str, str]) -> str:
    """A series as Prometheus' text has it, with labels in alphabetical order."""
    if not labels:
        return name
    inside = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
    return f"{name}{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_CONFIG = "/api/cache/config"


def preflight(service: str, token: str | None) -> None:
    """Make sure that a service answers, and lets the run configure its cache.

    Args:
        service: Its base URL.
        token: The bearer token of its management API; empty or None: none was given.

    Raises:
        ProcessError: It does not; says what is missing.
    """
    status, body = ServiceClient(service, token).send(Call(_CONFIG, _CONFIG, method="GET"))
    if status == 401:
        what = "is not the one that it knows" if token else "is not set"
        raise ProcessError(
            f"{service} does not let the load test configure its cache: RECOUP_ADMIN_TOKEN {what}.\n"
            "Start the service with a token, and the load test with the same one."
        )
    if status != 200:
        raise ProcessError(f"{service}{_CONFIG} was answered with {status or 'nothing'}: {body[:500]!r}")
