"""The application: one door. Generation is answered here, asynchronously; everything else by Flask behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Flask
from structlog.contextvars import bind_contextvars
from werkzeug.exceptions import MethodNotAllowed

from recoup.cache import ResultCache
from recoup.errors import BadRequestError, NotFoundError, NotImplementedHereError
from recoup.in_flight import InFlight
from recoup.pipelines.paths import sent_path
from recoup.pipelines.protocol import Pipeline
from recoup.pipelines.registry import PipelineRegistry
from recoup.settings import Settings
from recoup.telemetry import request_id
from recoup.web.bridge import FlaskBridge, raw_path
from recoup.web.generation.door import Door
from recoup.web.generation.endpoint import GENERATE_PREFIX, GENERATE_ROUTE, GenerationEndpoint
from recoup.web.generation.own_answer import REQUEST_ID, own_problem
from recoup.web.generation.waiting import Admission
from recoup.web.management import THE_REST
from recoup.web.passing import PassingEndpoint
from recoup.web.problems import PATH_CHARACTERS, problem_document
from recoup.web.recorder import RequestRecord, RequestRecorder
from recoup.web.responses import encode, raw_headers
from recoup.web.routing import PathTable, ServedPath
from recoup.web.sending import Deliveries, Receive, Send, send_at_once

_PREFIX_LENGTH = len(GENERATE_PREFIX)
_POLL_SECONDS = 0.02
#: One asks for a connection of its own, the other for its own request back, with headers that a page may not see.
_NOT_PASSED_ON = ("CONNECT", "TRACE")
#: What `OPTIONS` names that asks about no path.
_ASTERISK = b"*"
_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


@dataclass(frozen=True)
class Service:
    """The parts of one application, for the code that runs it.

    Attributes:
        settings: What it was made with.
        cache: Holds the results.
        pipelines: By name.
        admission: Bounds who waits for generations; once closed, the service drains and is not ready.
        in_flight: The budget of bodies, results and upstreams' answers on their way.
        deliveries: Large answers on their way.
    """

    settings: Settings
    cache: ResultCache
    pipelines: Mapping[str, Pipeline]
    admission: Admission
    in_flight: InFlight
    deliveries: Deliveries

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether it can serve now, and what was checked."""
        draining = self.admission.closed
        checks: dict[str, Any] = {name: bool(pipeline.ready()) for name, pipeline in self.pipelines.items()}
        return not draining and all(checks.values()), {"pipelines": checks, "draining": draining}

    async def wait_until_idle(self, seconds: float) -> bool:
        """Wait up to `seconds` until nobody waits and nothing large is being sent, and tell whether that is so."""
        return await _wait_until(lambda: not self.admission.waiting and not self.deliveries.count, seconds)

    async def wait_until_answered(self, seconds: float) -> bool:
        """Wait up to `seconds` until nobody waits, and tell whether that is so."""
        return await _wait_until(lambda: not self.admission.waiting, seconds)


async def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


class Application:
    """The service as an ASGI application.

    Args:
        service: Its parts.
        flask: Answers what is no generation.
        endpoint: Answers generation.
        bridge: Asks `flask`.
        paths: The configured paths.
        passing: Passes on what a passthrough answers.
        recorder: Records what is refused before either is asked; None: nobody does.
        own_pipelines: Started and ended with the server; None: the caller's affair.
        own_cache: Whether the cache's tiers are ended with the server.

    Attributes:
        service: Its parts, for the code that runs it.
        flask: The Flask application behind it.
    """

    def __init__(
        self,
        service: Service,
        flask: Flask,
        *,
        endpoint: GenerationEndpoint,
        bridge: FlaskBridge,
        paths: PathTable,
        passing: PassingEndpoint,
        recorder: RequestRecorder | None,
        own_pipelines: PipelineRegistry | None = None,
        own_cache: bool = False,
    ) -> None:
        self.service = service
        self.flask = flask
        self._endpoint = endpoint
        self._bridge = bridge
        self._paths = paths
        self._passing = passing
        self._recorder = recorder
        self._own_pipelines = own_pipelines
        self._own_cache = own_cache

    def routes(self) -> Iterator[tuple[str, str]]:
        """Every method and path that it answers with more than an error, as templates of Flask's."""
        yield "POST", GENERATE_ROUTE
        for served in self._paths.served:
            yield from ((method, served.pattern.text) for method in served.methods or ())
        for rule in self.flask.url_map.iter_rules():
            # Below the management API one rule answers whatever is no route of it.
            if not rule.endpoint.endswith(THE_REST):
                yield from ((method, rule.rule) for method in sorted(rule.methods or ()))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's own life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path = raw_path(scope).removeprefix(scope.get("root_path", "").encode())
        try:
            _check_framing(scope)
            if path.startswith(GENERATE_PREFIX) and (name := path[_PREFIX_LENGTH:]) and b"/" not in name:
                await self._generate(name, scope, receive, send)
            elif self._paths and (served := self._find(path, scope)):
                await self._serve_path(served, path, scope, receive, send)
            elif path == _ASTERISK:
                await self._answer_for_all(scope, send)
            else:
                await self._bridge.answer(scope, receive, send)
        except _RouteRefusedError as refusal:
            await self._refuse(scope, send, refusal.error, refusal.route, below_path=refusal.below_path)
        except Exception as error:  # noqa: BLE001  # every error has its answer
            await self._refuse(scope, send, error, None)

    async def _answer_for_all(self, scope: dict[str, Any], send: Send) -> None:
        """Answer `OPTIONS *`, which asks about the server and no path of it (RFC 9110, 9.3.7).

        Recoup answers itself: behind it there may be several servers, or none.
        """
        if scope["method"] != "OPTIONS":
            raise BadRequestError("The path '*' is for OPTIONS alone.")
        given = dict(scope["headers"])
        own_id = request_id(given.get(b"x-request-id", b"").decode("latin-1"))
        if self._recorder is not None:
            record = RequestRecord(own_id, given.get(b"traceparent", b"").decode("latin-1"))
            self._recorder.record(record, scope["method"], scope["path"], _ASTERISK.decode(), 204, 0)
        await send_at_once(send, 204, [(b"allow", _METHODS), (REQUEST_ID, own_id.encode())], b"")

    async def _generate(self, name: bytes, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise _RouteRefusedError(MethodNotAllowed(["POST"]), GENERATE_ROUTE)
        door = self._endpoint.door(name)
        if door is None:
            shown = name.decode("utf-8", "replace")[:200]
            error = NotFoundError(f"There is no pipeline {shown!r}.", allowed=sorted(self.service.pipelines))
            raise _RouteRefusedError(error, GENERATE_ROUTE)
        await self._endpoint.answer(door, scope, receive, send)

    def _find(self, path: bytes, scope: dict[str, Any]) -> list[ServedPath]:
        return self._paths.find(path.decode("latin-1"), scope["method"], scope["headers"])

    async def _serve_path(
        self, found: list[ServedPath], path: bytes, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        served, method, headers = found[0], scope["method"], scope["headers"]
        template = served.pattern.text
        try:
            rest = served.pattern.rest(sent_path(path)) or ""
            if method in _NOT_PASSED_ON:
                raise NotImplementedHereError(f"{method} is not passed on.")
            if any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers):
                raise NotImplementedHereError("WebSocket connections are not passed on: only HTTP is served here.")
            if not served.takes(method, headers):
                raise MethodNotAllowed(sorted({name for path in found for name in path.methods or ()}))
        except Exception as error:
            raise _RouteRefusedError(error, template, below_path=True) from error
        if served.passthrough is None:
            door = Door(self._endpoint.route(served.pipeline), template, rest)
            await self._endpoint.answer(door, scope, receive, send)
        else:
            try:
                await self._passing.answer(served.passthrough, template, rest, scope, receive, send)
            except Exception as error:
                raise _RouteRefusedError(error, template, below_path=True) from error

    async def _refuse(
        self, scope: dict[str, Any], send: Send, error: Exception, route: str | None, *, below_path: bool = False
    ) -> None:
        given = dict(scope["headers"])
        own_id = request_id(given.get(b"x-request-id", b"").decode("latin-1"))
        bind_contextvars(request_id=own_id)
        status, document, headers = problem_document(error, instance=quote(scope["path"], safe=PATH_CHARACTERS))
        body = encode(own_problem(document, error) if below_path else document)
        if self._recorder is not None:
            record = RequestRecord(own_id, given.get(b"traceparent", b"").decode("latin-1"))
            self._recorder.record(record, scope["method"], scope["path"], route, status, len(body))
        error.__traceback__ = None  # its frames hold the body
        name = REQUEST_ID if below_path else b"x-request-id"
        own = [(b"content-length", b"%d" % len(body)), (name, own_id.encode())]
        shown = b"" if scope["method"] == "HEAD" else body
        await send_at_once(send, status, [*raw_headers(headers), *own], shown)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if self._own_pipelines is not None:
            await self._own_pipelines.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._own_pipelines is not None:
            await self._own_pipelines.close(0.0)
        if self._own_cache:
            await asyncio.to_thread(self.service.cache.close)
        self._endpoint.close()
        self._bridge.close()
        await send({"type": "lifespan.shutdown.complete"})


class _RouteRefusedError(Exception):
    """A refusal of one route."""

    def __init__(self, error: Exception, route: str, *, below_path: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.route = route
        self.below_path = below_path


def _check_framing(scope: Mapping[str, Any]) -> None:
    """Refuse what two readers may read differently and the server lets through (RFC 9112, sections 3.2 and 6.1).

    Raises:
        BadRequestError: The request is malformed.
    """
    hosts = lengths = codings = 0
    named = scope["http_version"] in ("1", "1.0")
    for name, value in scope["headers"]:
        if name == b"host":
            hosts += 1
            named = named or bool(value)
        elif name == b"content-length":
            lengths += 1
        elif name == b"transfer-encoding":
            codings += 1
            if value.strip().lower() != b"chunked":
                raise BadRequestError("The request's Transfer-Encoding is not taken here; expected is chunked.")
    if lengths + codings > 1:
        raise BadRequestError("The request states the length of its body more than once.")
    if hosts > 1 or not named:
        raise BadRequestError("The request must name one host, in one Host header.")
