"""Ask a Prometheus, directly or through the Grafana that people look at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import urllib3
from grafana.queries import DASHBOARDS, duration, read

TIMEOUT_SECONDS = 30
#: The recorded rule whose window all five-minute panels share.
WINDOW_RULE = "job:recoup_hit_ratio:rate5m"
#: The window of a query, as Prometheus tells it: [150s] comes back as [2m30s].
RANGE = re.compile(r"\[((?:\d+(?:ms|[smhdwy]))+)\]")
_UNIT = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def seconds_of(duration: str) -> float:
    """A length of time as Prometheus writes it, such as `2m30s`."""
    return sum(int(count) * _SECONDS[unit] for count, unit in _UNIT.findall(duration))


class QueryError(Exception):
    """Prometheus or Grafana could not be asked, or refused; says what it said."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its points (seconds since the epoch, value, which may be NaN)."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """A Prometheus that can be asked.

    Args:
        url: Where its API is, such as `http://127.0.0.1:9090`.
        headers: Sent with each request.

    Raises:
        QueryError: The URL is no address of a server.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._api = _Api(url, headers or {})

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        """The data of an answer of Prometheus' API, such as that of `/api/v1/query`.

        Raises:
            QueryError: There is none.
        """
        answer = self._api.request("GET", f"/api/v1/{path}", fields=dict(parameters))
        if not isinstance(answer, dict) or answer.get("status") != "success":
            raise QueryError(f"this is no answer of a Prometheus: {str(answer)[:200]}")
        return answer["data"]

    def instant(self, query: str, at: float) -> tuple[Series, ...]:
        """What a query gives at a moment (seconds since the epoch).

        Raises:
            QueryError: There is no answer.
        """
        return _series(self.ask("query", {"query": query, "time": f"{at:.3f}"}))

    def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """What a query gives from one moment to another (seconds since the epoch), every `step` seconds.

        Raises:
            QueryError: There is no answer.
        """
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return _series(self.ask("query_range", {"query": query, **span}))

    def samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """Samples as they were scraped: a range query would fill gaps with older ones.

        Raises:
            QueryError: There is no answer.
        """
        return self.instant(f"{selector}[{duration(max(end - start, 0.001))}]", end)

    def window_seconds(self) -> float:
        """How far the recorded five-minute rules look back here, where they may have been shortened for a trial.

        Raises:
            QueryError: Prometheus does not have the rule, or cannot be asked.
        """
        groups = self.ask("rules", {"type": "record"})["groups"]
        for rule in (rule for group in groups for rule in group["rules"]):
            window = RANGE.search(rule["query"])
            if rule["name"] == WINDOW_RULE and window is not None:
                return seconds_of(window[1])
        raise QueryError(f"Prometheus has no rule {WINDOW_RULE}: it does not read metrics/rules")


class ThroughGrafana(Prometheus):
    """The Prometheus that a Grafana reads, asked with Grafana's address and a token of it alone.

    Through the data source proxy (`/api/datasources/proxy/uid/<uid>/`), because it passes on Prometheus' own API: the
    same queries with the same steps, and the rules. Grafana's other way, `/api/ds/query`, answers with data frames of
    queries that it rewrites itself, and has no rules. The token needs to read and to query data sources, and, for
    `annotate`, to create annotations: a service account with the role Editor and the permission `datasources:read`.

    Args:
        url: Grafana's address.
        token: Of a service account.
        uid: The data source; None: the default one of type Prometheus, else the first of that type.

    Raises:
        QueryError: There is no such data source, or Grafana cannot be asked.
    """

    def __init__(self, url: str, token: str, uid: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._grafana = _Api(url, headers)
        source = quote(uid or self._data_source(url), safe="")
        super().__init__(f"{url.rstrip('/')}/api/datasources/proxy/uid/{source}", headers)

    def _data_source(self, url: str) -> str:
        sources = [one for one in self._grafana.request("GET", "/api/datasources") if one["type"] == "prometheus"]
        if not sources:
            raise QueryError(f"{url} has no data source of type Prometheus")
        return str(max(sources, key=lambda source: bool(source.get("isDefault")))["uid"])

    def annotate(self, begin: float, end: float, text: str, tags: Sequence[str] = ("recoup", "loadtest")) -> int:
        """Mark a span (seconds since the epoch) on every dashboard of Recoup; gives the number of dashboards.

        On each by itself: a dashboard's built-in annotations are those that name it.

        Raises:
            QueryError: Grafana refused; a dashboard that it does not have is refused, too.
        """
        span = {"time": round(begin * 1000), "timeEnd": round(end * 1000), "text": text, "tags": list(tags)}
        uids = [read(path)["uid"] for path in sorted(DASHBOARDS.glob("*.json"))]
        for uid in uids:
            self._grafana.request("POST", "/api/annotations", json={"dashboardUID": uid, **span})
        return len(uids)


class _Api:
    """JSON over HTTP, with one kind of error."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        if not url.startswith(("http://", "https://")):
            raise QueryError(f"{url} is no address of a server: it begins with http:// or https://")
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(headers={"Accept": "application/json", **headers}, retries=False)

    def request(self, method: str, path: str, **content: Any) -> Any:
        where = self._url + path
        headers = self._pool.headers if "json" not in content else {**self._pool.headers, **_JSON}
        try:
            answer = self._pool.request(method, where, timeout=TIMEOUT_SECONDS, headers=headers, **content)
            if not 200 <= answer.status < 300:
                text = answer.data[:500].decode(errors="replace").strip()
                raise QueryError(f"{where} answered {answer.status}: {text}")
            return json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise QueryError(f"{where} cannot be asked: {error}") from error
        except ValueError as error:
            raise QueryError(f"{where} did not answer with JSON: {error}") from error


_JSON = {"Content-Type": "application/json"}


def _series(data: Mapping[str, Any]) -> tuple[Series, ...]:
    return tuple(
        Series(one["metric"], tuple((float(at), float(value)) for at, value in one.get("values") or [one["value"]]))
        for one in data["result"]
    )
