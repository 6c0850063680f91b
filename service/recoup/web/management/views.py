"""The management API of one cache, as a blueprint that any Flask application can mount.

    app.register_blueprint(management_blueprint(cache, token="..."))

It needs nothing else of the service: its errors are problem documents in any application.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import Map, Rule

from recoup import strict_json
from recoup.cache import ResultCache
from recoup.errors import BadRequestError, ConfigurationError, NotFoundError
from recoup.fields import echo
from recoup.web.generation.request import too_large
from recoup.web.management.auth import Access
from recoup.web.management.fields import CLEAR_FIELDS, CONFIG_FIELDS, ENTRIES_QUERY, PURGE_FIELDS
from recoup.web.management.purging import PurgeCollector
from recoup.web.problems import register_error_handlers
from recoup.web.responses import NO_STORE, json_response
from recoup.web.validation import Field, check_object, check_query, require_json_type

#: Bytes that a body of the management API may have: far more than any valid one.
MAX_BODY_BYTES = 64 * 1024
#: Members that a query of the management API may have.
MAX_QUERY_MEMBERS = 256
_ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

#: The endpoint that answers whatever below the prefix is no route.
THE_REST = "the_rest"

Describe = Callable[[Any], dict[str, Any]]

_log = logging.getLogger(__name__)


def management_blueprint(
    cache: ResultCache,
    token: str | None = None,
    describe: Describe | None = None,
    url_prefix: str = "/api/cache",
) -> Blueprint:
    """The management API of `cache`.

    Args:
        cache: What is managed.
        token: The bearer token that every request must carry; None: callers on this machine need none, and nobody
            else is let in.
        describe: Gives further members of an entry from its value, for the pages of entries.
        url_prefix: Where it is mounted.

    Raises:
        ConfigurationError: The token cannot be used.
    """
    api = _Management(cache, describe)
    access = Access(token)
    blueprint = Blueprint("recoup_management", __name__, url_prefix=url_prefix)
    blueprint.before_request(lambda: access.require(request.environ))
    blueprint.after_request(_never_stored)
    register_error_handlers(blueprint)
    rules = api.rules()
    for path, method, view in rules:
        blueprint.add_url_rule(path, view.__name__, view, methods=[method], provide_automatic_options=False)
    _answer_the_rest(blueprint, [(path, method) for path, method, _ in rules])
    return blueprint


class _Management:
    """The views of one cache."""

    def __init__(self, cache: ResultCache, describe: Describe | None) -> None:
        self._cache = cache
        self._describe = describe
        self._collector = PurgeCollector(cache)

    def rules(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """Every route: its path, its method, its view."""
        return [
            ("/stats", "GET", self.stats),
            ("/config", "GET", self.read_config),
            ("/config", "POST", self.change_config),
            ("/clear", "POST", self.clear),
            ("/purge", "POST", self.purge),
            ("/entries", "GET", self.entries),
            # Keys of other applications may have slashes in them.
            ("/entries/<path:key>", "GET", self.entry),
            ("/entries/<path:key>", "DELETE", self.delete),
        ]

    def stats(self) -> Response:
        _query()
        return json_response(self._cache.stats().as_dict())

    def read_config(self) -> Response:
        _query()
        return json_response(self._cache.config())

    def change_config(self) -> Response:
        _query()
        changes = check_object(_body(), CONFIG_FIELDS)
        if not changes:
            raise _nothing_to_change()
        if changes.get("ttl_seconds") == 0:
            changes["ttl_seconds"] = None  # as in the environment: 0 says never
        try:
            self._cache.configure(**changes)
        except ConfigurationError as error:  # beside what is checked for each field: the pipelines' reserves
            raise BadRequestError(f"Unusable body: {error}.", errors=[{"detail": str(error)}]) from error
        _log.info("cache configured", extra={"changes": changes})
        return json_response(self._cache.config())

    def clear(self) -> Response:
        _query()
        pipeline = check_object(_body(), CLEAR_FIELDS).get("pipeline")
        self._require_known(pipeline)
        cleared = self._cache.clear(pipeline)
        _log.info("cache cleared", extra={"pipeline": pipeline, "cleared": cleared})
        return json_response({"cleared": cleared})

    def purge(self) -> Response:
        _query()
        purge = check_object(_body(), PURGE_FIELDS)
        if "groups" not in purge:
            raise _nothing_to_purge()
        groups, pipeline, soft = list(dict.fromkeys(purge["groups"])), purge.get("pipeline"), purge.get("soft", False)
        self._require_known(pipeline)
        try:
            at = self._cache.purge(groups, pipeline, soft=soft)
        except ConfigurationError as error:
            raise BadRequestError(
                f"Unusable body: {error}.", errors=[{"detail": str(error), "pointer": "/groups"}]
            ) from error
        self._collector.collect()
        _log.info("cache purged", extra={"groups": groups, "pipeline": pipeline, "soft": soft})
        return json_response({"groups": groups, "soft": soft, "at": _timestamp(at)})

    def entries(self) -> Response:
        query = _query(*ENTRIES_QUERY)
        self._require_known(query["pipeline"])
        entries = self._cache.entries(**query, describe=self._describe)
        total = self._cache.count(query["pipeline"], query["group"])
        page = [_addressed(entry) for entry in entries]
        return json_response({"entries": page, "total": total, "limit": query["limit"], "offset": query["offset"]})

    def entry(self, key: str) -> Response:
        _query()
        entry = self._cache.inspect(key, self._describe)
        if entry is None:
            raise _no_entry(key)
        return json_response(_addressed(entry))

    def delete(self, key: str) -> Response:
        _query()
        if not self._cache.delete(key):
            raise _no_entry(key)
        _log.info("cache entry deleted", extra={"key": key})
        return _no_content()

    def _require_known(self, pipeline: str | None) -> None:
        if pipeline is None:
            return
        known = sorted(self._cache.stats().pipelines)
        if pipeline not in known:
            raise NotFoundError(f"There is no pipeline {echo(pipeline)}.", allowed=known)


def _query(*fields: Field) -> dict[str, Any]:
    # Counted before it is parsed: a query of a million members takes seconds to read, and none has so many.
    if request.query_string.count(b"&") >= MAX_QUERY_MEMBERS:
        raise BadRequestError(f"Unusable query: expected at most {MAX_QUERY_MEMBERS} members.")
    # Everywhere, not only where some are known: `clear?pipeline=x` must not clear everything.
    return check_query(request.args.to_dict(flat=False), fields)


def _body() -> Any:
    """The request's JSON body; an empty object where there is no body, and no content type of another kind."""
    # A body that gives no length is cut off at this one in silence: one byte more tells.
    request.max_content_length = MAX_BODY_BYTES + 1
    body = request.get_data()
    if len(body) > MAX_BODY_BYTES:
        raise too_large(MAX_BODY_BYTES)
    content_type = request.headers.get("Content-Type")
    if body or content_type:
        require_json_type(content_type)
    return strict_json.parse(body) if body else {}


def _addressed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with its key as text. A key that is no text is shown, but has no address."""
    key = entry["key"]
    return entry if isinstance(key, str) else {**entry, "key": repr(key)}


def _no_content() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def _nothing_to_change() -> BadRequestError:
    names = tuple(field.name for field in CONFIG_FIELDS)
    return BadRequestError(f"Nothing to change: the body must have at least one of {', '.join(names)}.", allowed=names)


def _nothing_to_purge() -> BadRequestError:
    names = tuple(field.name for field in PURGE_FIELDS)
    detail = "missing: expected the groups to purge"
    return BadRequestError(
        f"Unusable body: groups: {detail}.",
        errors=[{"detail": f"groups: {detail}", "pointer": "/groups"}],
        allowed=names,
    )


def _timestamp(seconds: float) -> str:
    """A moment as RFC 3339 writes it, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _no_entry(key: str) -> NotFoundError:
    return NotFoundError(f"There is no entry {echo(key)}.")


def _never_stored(response: Response) -> Response:
    response.headers.update(NO_STORE)
    return response


def _answer_the_rest(blueprint: Blueprint, rules: list[tuple[str, str]]) -> None:
    """Answer every other path and method below the prefix, too: no foreign error page, and no token, no answer."""
    paths = Map([Rule(path, methods=[method, "OPTIONS"], endpoint=path) for path, method in rules])

    def answer(path: str = "") -> Response:
        allowed = sorted(paths.bind("recoup").allowed_methods(f"/{path}"))
        if not allowed:
            raise NotFoundError(f"There is no path {echo(request.path)}.")
        if request.method != "OPTIONS":
            raise MethodNotAllowed(valid_methods=allowed)
        response = _no_content()
        response.headers["Allow"] = ", ".join(allowed)
        return response

    options: dict[str, Any] = {"methods": _ALL_METHODS, "provide_automatic_options": False}
    blueprint.add_url_rule("/", THE_REST, answer, strict_slashes=False, **options)
    blueprint.add_url_rule("/<path:path>", THE_REST, answer, **options)
