"""The collector is for anybody's registry: prometheus-client is all it needs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["structlog"] = None
from prometheus_client import CollectorRegistry
from recoup import LRUCache
from recoup.telemetry import CacheCollector, build_registry, render
registry = CollectorRegistry()
registry.register(CacheCollector(LRUCache()))
assert b"recoup_enabled 1.0" in render(registry, None)[0]
assert b"recoup_enabled 1.0" in render(build_registry(LRUCache()), None)[0]
"""


def test_the_collector_needs_no_structlog() -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": ":".join(filter(None, sys.path))}, check=True, timeout=120
    )
