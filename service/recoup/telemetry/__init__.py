"""Telemetry: the catalogue of metrics, the Prometheus collector, the logs. It reads the cache.

What logs needs structlog, which is imported when it is first asked for: the collector alone needs prometheus-client.
"""

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

_LAZY = {"configure_logging": "recoup.telemetry.logs", "RequestLog": "recoup.telemetry.request_log"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
