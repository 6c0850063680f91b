"""Telemetry: the catalogue of metrics, the Prometheus collector, the logs. It reads the cache."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recoup.telemetry.catalogue import METRICS, Metric
from recoup.telemetry.collector import CacheCollector
from recoup.telemetry.exposition import build_registry, render
from recoup.telemetry.http import HttpCounter
from recoup.telemetry.tracing import parse_traceparent, request_id

if TYPE_CHECKING:
    from recoup.telemetry.logs import configure_logging
    from recoup.telemetry.request_log import RequestLog

__all__ = [
    "METRICS",
    "CacheCollector",
    "HttpCounter",
    "Metric",
    "RequestLog",
    "build_registry",
    "configure_logging",
    "parse_traceparent",
    "render",
    "request_id",
]

#: Imported when it is asked for: who registers the collector needs prometheus-client alone, not structlog.
_PLACES = {"configure_logging": "recoup.telemetry.logs", "RequestLog": "recoup.telemetry.request_log"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
