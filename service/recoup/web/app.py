"""The application factory: the one place that knows every part of the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars, unbind_contextvars

from recoup.cache import ResultCache
from recoup.in_flight import InFlight
from recoup.pipelines.passthrough import Passthrough
from recoup.pipelines.protocol import Pipeline
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings
from recoup.telemetry import HttpCounter, RequestLog, build_registry, render, request_id
from recoup.web.asgi import Application, Service
from recoup.web.bridge import FlaskBridge
from recoup.web.catalog import catalog_blueprint
from recoup.web.generation.body import BodyTimeouts
from recoup.web.generation.endpoint import GENERATE_ROUTE, GenerationEndpoint, Limits
from recoup.web.generation.waiting import Admission
from recoup.web.health import health_blueprint
from recoup.web.management import management_blueprint
from recoup.web.openapi import openapi_blueprint
from recoup.web.passing import PassingEndpoint
from recoup.web.problems import register_error_handlers
from recoup.web.recorder import RequestRecord, RequestRecorder
from recoup.web.routing import PathTable
from recoup.web.runbook import runbook_blueprint
from recoup.web.sending import Deliveries
from recoup.web.service_cache import service_cache

METRICS_ROUTE = "/metrics"
#: Where a Flask application keeps its `Service` in `Flask.extensions`.
EXTENSION = "recoup"
#: Requests that may wait for generations, where nobody says how many connections there may be.
MOST_WAITING = 12_288


def create_app(
    settings: Settings | None = None,
    cache: ResultCache | None = None,
    pipelines: Mapping[str, Pipeline] | None = None,
    *,
    most_waiting: int = MOST_WAITING,
) -> Application:
    """The service as an ASGI application, for any ASGI server.

    Args:
        settings: None: read from the environment.
        cache: None: a new one, as the settings say, which ends with the server.
        pipelines: By name, started by the caller on the event loop that serves. None: those that the settings name;
            they are started and ended with the server (ASGI's lifespan).
        most_waiting: Requests that may wait for generations at one time; fewer than the server takes connections.

    Raises:
        SettingError: A variable of the environment cannot be used.
        ConfigurationError: The pipelines cannot be used.
    """
    settings = Settings.from_environment() if settings is None else settings
    own_cache = cache is None
    cache = service_cache(settings) if cache is None else cache
    own = (
        load_pipelines(settings.pipelines, upstream=settings.upstream, relief_workers=settings.workers)
        if pipelines is None
        else None
    )
    budget = InFlight(int(settings.in_flight_mb * 2**20))
    served: Mapping[str, Pipeline] = own or pipelines or {}
    passthrough: tuple[Passthrough, ...] = getattr(served, "passthrough", ())
    service = Service(settings, cache, served, Admission(most_waiting), budget, Deliveries(budget))
    return _assemble(service, own, PathTable(served, passthrough), own_cache=own_cache)


#: A rate begins with a counter's second sample: these are there before the first generation fails.
_FAILURES = [(GENERATE_ROUTE, "POST", status) for status in (502, 503, 504)]


def _assemble(service: Service, own: PipelineRegistry | None, paths: PathTable, *, own_cache: bool) -> Application:
    settings, cache = service.settings, service.cache
    flask = Flask("recoup", static_folder=None)
    flask.extensions[EXTENSION] = service
    _add_blueprints(flask, service)
    recorder = None
    if settings.telemetry:
        http = HttpCounter(known=[*_successes(flask), *_FAILURES, *_path_successes(paths), (METRICS_ROUTE, "GET", 200)])
        recorder = RequestRecorder(cache, http, RequestLog(settings.log_hits_per_second))
        _serve_metrics(flask, recorder, build_registry(cache, http, service.in_flight))
    _record_requests(flask, recorder)
    limits = Limits(settings.wait_seconds, int(settings.max_body_mb * 2**20), settings.body_timeout_seconds)
    endpoint = GenerationEndpoint(
        cache,
        service.pipelines,
        limits,
        admission=service.admission,
        budget=service.in_flight,
        deliveries=service.deliveries,
        recorder=recorder,
    )
    bridge = FlaskBridge(
        flask,
        settings.threads,
        timeouts=BodyTimeouts(settings.body_timeout_seconds),
        budget=service.in_flight,
        deliveries=service.deliveries,
    )
    passing = PassingEndpoint(service.in_flight, service.deliveries, recorder, settings.body_timeout_seconds)
    return Application(
        service,
        flask,
        endpoint=endpoint,
        bridge=bridge,
        paths=paths,
        passing=passing,
        recorder=recorder,
        own_pipelines=own,
        own_cache=own_cache,
    )


def _add_blueprints(flask: Flask, service: Service) -> None:
    register_error_handlers(flask)
    flask.register_blueprint(catalog_blueprint(service.pipelines))
    flask.register_blueprint(management_blueprint(service.cache, service.settings.admin_token, _describe))
    flask.register_blueprint(health_blueprint(service.ready))
    flask.register_blueprint(runbook_blueprint())
    flask.register_blueprint(openapi_blueprint(service.pipelines, metrics=service.settings.telemetry))


def _successes(flask: Flask) -> Iterator[tuple[str, str, int]]:
    """What a request that succeeds is counted as: route, method and status, for every route."""
    yield GENERATE_ROUTE, "POST", 200
    for rule in flask.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.rule, method, 204 if method == "DELETE" else 200


def _path_successes(paths: PathTable) -> Iterator[tuple[str, str, int]]:
    for served in paths.served:
        yield from ((served.pattern.text, method, 200) for method in served.methods or ("GET", "POST"))


def _describe(value: Any) -> dict[str, Any]:
    """What a page of entries tells of a result beyond what the cache knows."""
    return {"content_type": getattr(value, "content_type", None)}


def _serve_metrics(flask: Flask, recorder: RequestRecorder, registry: CollectorRegistry) -> None:
    def metrics() -> Response:
        recorder.settle()
        body, content_type = render(registry, request.headers.get("Accept"))
        return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})

    flask.add_url_rule(METRICS_ROUTE, "recoup_metrics", metrics, methods=["GET"])


def _record_requests(flask: Flask, recorder: RequestRecorder | None) -> None:
    """Give every request that Flask answers an id, and record it when it is answered."""

    @flask.before_request
    def begin() -> None:
        own_id = request_id(request.environ.get("HTTP_X_REQUEST_ID"))
        g.record = RequestRecord(own_id, request.environ.get("HTTP_TRACEPARENT"))
        # Whatever is logged on the way to the answer, by whatever part, tells whose it is.
        bind_contextvars(request_id=own_id)

    @flask.after_request
    def end(response: Response) -> Response:
        record: RequestRecord = g.record
        response.headers["X-Request-Id"] = record.request_id
        if recorder is not None:
            route = None if request.url_rule is None else request.url_rule.rule
            size = response.content_length
            recorder.record(record, request.method, request.path, route, response.status_code, size)
        return response

    @flask.teardown_request
    def forget(_: BaseException | None) -> None:
        unbind_contextvars("request_id")
