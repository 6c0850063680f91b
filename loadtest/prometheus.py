"""Ask a Prometheus, directly or through the Grafana that people look at."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from grafana.queries import DASHBOARDS, duration, read

TIMEOUT_SECONDS = 30
#: The recorded rule whose window all five-minute panels share.
WINDOW_RULE = "job:recoup_hit_ratio:rate5m"
_RANGE = re.compile(r"\[((?:\d+(?:ms|[smhdwy]))+)\]")
_UNIT = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class AskError(Exception):
    """Prometheus or Grafana could not be asked, or refused; says what it said."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its points (seconds since the epoch, value, which may be NaN)."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Source(ABC):
    """A Prometheus that can be asked."""

    @abstractmethod
    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        """The data of an answer of Prometheus' API, such as that of `/api/v1/query`.

        Raises:
            AskError: There is none.
        """

    def instant(self, query: str, at: float) -> tuple[Series, ...]:
        """What a query gives at a moment (seconds since the epoch).

        Raises:
            AskError: There is no answer.
        """
        return _series(self.ask("query", {"query": query, "time": f"{at:.3f}"}))

    def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """What a query gives from one moment to another (seconds since the epoch), every `step` seconds.

        Raises:
            AskError: There is no answer.
        """
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return _series(self.ask("query_range", {"query": query, **span}))

    def samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """Samples as they were scraped: a range query would fill gaps with older ones.

        Raises:
            AskError: There is no answer.
        """
        return self.instant(f"{selector}[{duration(max(end - start, 0.001))}]", end)

    def window_seconds(self) -> float:
        """How far the recorded five-minute rules look back here, where they may have been shortened for a trial.

        Raises:
            AskError: Prometheus does not have the rule, or cannot be asked.
        """
        groups = self.ask("rules", {"type": "record"})["groups"]
        for rule in (rule for group in groups for rule in group["rules"]):
            if rule["name"] == WINDOW_RULE:
                # Prometheus tells the expression as it reads it: [150s] comes back as [2m30s].
                window = _RANGE.search(rule["query"])
                if window is not None:
                    return sum(int(count) * _SECONDS[unit] for count, unit in _UNIT.findall(window[1]))
        raise AskError(f"Prometheus has no rule {WINDOW_RULE}: it does not read metrics/rules")


def _series(data: Mapping[str, Any]) -> tuple[Series, ...]:
    return tuple(Series(each["metric"], _points(each.get("values") or [each["value"]])) for each in data["result"])


def _points(found: Iterable[Sequence[Any]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(at), float(value)) for at, value in found)


class Direct(Source):
    """A Prometheus at an address, such as `http://127.0.0.1:9090`."""

    def __init__(self, url: str) -> None:
        self._url = _address(url)

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        """As `Source.ask`."""
        return _data(_fetch(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))


class ThroughGrafana(Source):
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
        AskError: There is no such data source, or Grafana cannot be asked.
    """

    def __init__(self, url: str, token: str, uid: str | None = None) -> None:
        self._url = _address(url)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._uid = self._find() if uid is None else uid

    def _find(self) -> str:
        found = _fetch(f"{self._url}/api/datasources", self._headers)
        known = [each for each in found if each["type"] == "prometheus"]
        if not known:
            raise AskError(f"{self._url} has no data source of type Prometheus")
        return str(max(known, key=lambda each: bool(each.get("isDefault")))["uid"])

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        """As `Source.ask`."""
        proxy = f"{self._url}/api/datasources/proxy/uid/{urllib.parse.quote(self._uid, safe='')}"
        return _data(_fetch(f"{proxy}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", self._headers))

    def annotate(self, begin: float, end: float, text: str, tags: Sequence[str] = ("recoup", "loadtest")) -> int:
        """Mark a span (seconds since the epoch) on every dashboard of Recoup; gives the number of dashboards.

        On each by itself: a dashboard's built-in annotations are those that name it.

        Raises:
            AskError: Grafana refused; a dashboard that it does not have is refused, too.
        """
        span = {"time": round(begin * 1000), "timeEnd": round(end * 1000), "text": text, "tags": list(tags)}
        uids = [read(path)["uid"] for path in sorted(DASHBOARDS.glob("*.json"))]
        for uid in uids:
            _fetch(f"{self._url}/api/annotations", self._headers, {"dashboardUID": uid, **span})
        return len(uids)


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise AskError(f"{url} is no address of a server: it begins with http:// or https://")
    return url.rstrip("/")


def _data(answer: Any) -> Any:
    if not isinstance(answer, dict) or answer.get("status") != "success":
        raise AskError(f"this is no answer of a Prometheus: {str(answer)[:200]}")
    return answer["data"]


def _fetch(url: str, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON that an address answers; with a body, by POST."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Accept": "application/json", **(headers or {}), **({} if data is None else _JSON)}
    request = urllib.request.Request(url, data, sent)  # noqa: S310  # checked by _address
    where = url.partition("?")[0]
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the same
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            said = refused.read(500).decode(errors="replace").strip()
        raise AskError(f"{where} answered {refused.code}: {said}") from None
    except (OSError, HTTPException) as error:
        raise AskError(f"{where} cannot be asked: {error}") from error
    except ValueError as error:
        raise AskError(f"{where} did not answer with JSON: {error}") from error


_JSON = {"Content-Type": "application/json"}
