"""The application factory: the one place that knows every part of the service."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars, unbind_contextvars

from recoup.cache import LRUCache
from recoup.pipelines.protocol import Pipeline
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings
from recoup.telemetry import HttpCounter, RequestLog, build_registry, render
from recoup.web.account import Account, Told
from recoup.web.catalog import catalog_blueprint
from recoup.web.front import Front, handed
from recoup.web.generating import generation_blueprint
from recoup.web.generation import GENERATE_ROUTE, Generation, Wait
from recoup.web.health import health_blueprint
from recoup.web.limits import WaitingRoom, places_for
from recoup.web.management import management_blueprint
from recoup.web.openapi import openapi_blueprint
from recoup.web.problems import register_error_handlers

METRICS_ROUTE = "/metrics"
#: Where an application keeps its `Service` in `Flask.extensions`.
EXTENSION = "recoup"


@dataclass(frozen=True)
class Service:
    """The parts of one application, for whoever runs it: `app.extensions["recoup"]`.

    Attributes:
        settings: What it was made with.
        cache: Holds the results.
        pipelines: By name.
        room: Where requests wait for generations; once closed, the service drains and is not ready.
    """

    settings: Settings
    cache: LRUCache
    pipelines: Mapping[str, Pipeline]
    room: WaitingRoom

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether it can serve now, and what was checked."""
        draining = self.room.closed
        checks: dict[str, Any] = {name: bool(pipeline.ready()) for name, pipeline in self.pipelines.items()}
        return not draining and all(checks.values()), {"pipelines": checks, "draining": draining}


def create_app(
    settings: Settings | None = None,
    cache: LRUCache | None = None,
    pipelines: Mapping[str, Pipeline] | None = None,
) -> Flask:
    """The service as a WSGI application.

    Args:
        settings: None: read from the environment.
        cache: None: a new one, as the settings say.
        pipelines: By name, started by the caller. None: those that the settings name; they are started here, and
            ended with the process.

    Raises:
        SettingError: A variable of the environment cannot be used.
        ConfigurationError: The pipelines cannot be used.
    """
    settings = Settings.from_environment() if settings is None else settings
    cache = LRUCache(**settings.cache_options()) if cache is None else cache
    pipelines = _own_pipelines(settings) if pipelines is None else pipelines
    service = Service(settings, cache, pipelines, WaitingRoom(places_for(settings.threads)))
    app = Flask("recoup", static_folder=None)
    app.extensions[EXTENSION] = service
    _set_up(app, service)
    return app


def _own_pipelines(settings: Settings) -> PipelineRegistry:
    pipelines = load_pipelines(settings.pipelines, relief_workers=settings.workers)
    pipelines.start()
    atexit.register(pipelines.close, 0.0)
    return pipelines


#: A rate begins with a counter's second sample: these are there before the first generation fails.
_FAILURES = [(GENERATE_ROUTE, "POST", status) for status in (502, 503, 504)]


def _set_up(app: Flask, service: Service) -> None:
    settings, cache = service.settings, service.cache
    max_body_bytes = int(settings.max_body_mb * 2**20)
    generation = Generation(cache, service.pipelines, Wait(settings.wait_seconds, service.room))
    # What forms are read with; all other bodies are read within the same limit by hand.
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    register_error_handlers(app)
    app.register_blueprint(generation_blueprint(generation, max_body_bytes))
    app.register_blueprint(catalog_blueprint(service.pipelines))
    app.register_blueprint(management_blueprint(cache, settings.admin_token, _describe))
    app.register_blueprint(health_blueprint(service.ready))
    app.register_blueprint(openapi_blueprint(service.pipelines, metrics=settings.telemetry))
    account = None
    if settings.telemetry:
        http = HttpCounter(known=[*_successes(app), *_FAILURES, (METRICS_ROUTE, "GET", 200)])
        account = Account(cache, http, RequestLog(settings.log_hits_per_second))
        _serve_metrics(app, account, build_registry(cache, http))
    _tell_of_requests(app, account)
    app.wsgi_app = Front(app.wsgi_app, generation, account, max_body_bytes)  # type: ignore[method-assign]


def _successes(app: Flask) -> Iterator[tuple[str, str, int]]:
    """What a request that succeeds is counted as: route, method and status, for every route."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.rule, method, 204 if method == "DELETE" else 200


def _describe(value: Any) -> dict[str, Any]:
    """What a page of entries tells of a result beyond what the cache knows."""
    return {"content_type": getattr(value, "content_type", None)}


def _serve_metrics(app: Flask, account: Account, registry: CollectorRegistry) -> None:
    def metrics() -> Response:
        account.settle()
        body, content_type = render(registry, request.headers.get("Accept"))
        return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})

    app.add_url_rule(METRICS_ROUTE, "recoup_metrics", metrics, methods=["GET"])


def _tell_of_requests(app: Flask, account: Account | None) -> None:
    """Give every request an id, and tell of it when it is answered."""

    @app.before_request
    def begin() -> None:
        known = handed(request.environ)
        g.told = known.told if known is not None else Told(request.environ)
        # Whatever is logged on the way to the answer, by whatever part, tells whose it is.
        bind_contextvars(request_id=g.told.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        told: Told = g.told
        response.headers["X-Request-Id"] = told.request_id
        if account is not None:
            route = None if request.url_rule is None else request.url_rule.rule
            account.tell(told, request.environ, route, response.status_code, response.content_length)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        unbind_contextvars("request_id")
