"""Telemetry: the catalogue of metrics, the Prometheus collector, the logs. It reads the cache."""

from __future__ import annotations

from recoup.telemetry.catalogue import METRICS, Metric
from recoup.telemetry.collector import CacheCollector
from recoup.telemetry.exposition import build_registry, render
from recoup.telemetry.http import HttpCounter
from recoup.telemetry.logs import configure_logging
from recoup.telemetry.request_log import RequestLog
from recoup.telemetry.tracing import parse_traceparent, request_id

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
