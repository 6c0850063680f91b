"""What `GET /metrics` answers: a registry of its own, and its text as the scraper asks for it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from recoup.in_flight import InFlight
from recoup.telemetry.collector import CacheCollector, HasStats
from recoup.telemetry.http import HttpCounter
from recoup.telemetry.in_flight import InFlightCollector
from recoup.telemetry.log_collector import LogCollector
from recoup.telemetry.threads import ThreadCollector

#: Versions of the text formats that scrapers ask for and prometheus-client writes.
_VERSIONS = frozenset({"", "0.0.1", "0.0.4", "1.0.0"})


def build_registry(
    cache: HasStats, http: HttpCounter | None = None, in_flight: InFlight | None = None
) -> CollectorRegistry:
    """A new registry with the figures of a cache, of its HTTP requests, and of the process and its Python.

    Args:
        cache: Whose statistics are read at every scrape.
        http: Counts requests; None: their family is not exported.
        in_flight: The budget of what is on its way; None: its families are not exported.
    """
    registry = CollectorRegistry()
    registry.register(CacheCollector(cache))
    if http is not None:
        registry.register(http)
    if in_flight is not None:
        registry.register(InFlightCollector(in_flight))
    registry.register(LogCollector())
    ProcessCollector(registry=registry)
    registry.register(ThreadCollector())
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry, accept_header: str | None) -> tuple[bytes, str]:
    """The registry's figures as text, and the text's content type.

    OpenMetrics (1.0.0, with exemplars) where the `Accept` header asks for it, else Prometheus text (0.0.4).
    """
    encode, content_type = choose_encoder(_readable(accept_header or ""))
    return encode(registry), content_type


def _readable(accept_header: str) -> str:
    # choose_encoder raises TypeError on `version=x`, and takes any version of the future for its own.
    return ",".join(media for media in accept_header.split(",") if _version(media) in _VERSIONS)


def _version(media: str) -> str:
    for parameter in media.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "version":
            return value.strip()
    return ""
