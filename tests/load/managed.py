"""A cache with its management API and its metrics over HTTP, in this process: a service without generators."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flask import Flask
from prometheus_client import CollectorRegistry, generate_latest

from recoup import LRUCache
from recoup.telemetry import CacheCollector
from recoup.web import management_blueprint

PATIENCE = 20.0


def application(cache: LRUCache, token: str | None = None) -> Flask:
    registry = CollectorRegistry()
    registry.register(CacheCollector(cache))
    app = Flask("managed")
    app.register_blueprint(management_blueprint(cache, token))
    app.add_url_rule("/metrics", "metrics", lambda: generate_latest(registry))
    return app


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def managed(cache: LRUCache, token: str | None = None) -> Iterator[str]:
    """Its URL."""
    server: WSGIServer = make_server("127.0.0.1", 0, application(cache, token), handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()
