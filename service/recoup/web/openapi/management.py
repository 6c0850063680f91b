"""The fixed part of the API's description: catalog, management, health, metrics, the description itself."""

from __future__ import annotations

from typing import Any

from recoup.web.management.fields import ENTRIES_QUERY
from recoup.web.openapi.parts import SAMPLE_SERVER, header, json_answer, operation, problems
from recoup.web.openapi.schemas import Schema, ref

MANAGEMENT, CATALOG, OPERATION = "Management", "Catalog", "Operation"
SECURITY_SCHEME = "managementToken"

#: Either the token, or (`{}`) none, where none is set and the caller is on the service's own machine.
_SECURITY: dict[str, Any] = {"security": [{SECURITY_SCHEME: []}, {}]}
_KEY: Schema = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "The entry's key, as the page of entries gives it.",
    "schema": {"type": "string", "minLength": 1},
    "example": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
}
_UID: Schema = {
    "name": "uid",
    "in": "path",
    "required": True,
    "description": "The dashboard's name in Grafana.",
    "schema": {"type": "string", "pattern": "^recoup-[a-z-]{1,32}$"},
    "example": "recoup-overview",
}
_LABEL: Schema = {
    "in": "query",
    "required": False,
    "description": "This label of the alert, which is put into the runbook's queries.",
    "schema": {"type": "string"},
}
_CURL = "curl -sS"


def management_paths() -> Schema:
    """The management of the cache."""
    return {
        "/api/cache/stats": {"get": _stats()},
        "/api/cache/config": {"get": _read_config(), "post": _change_config()},
        "/api/cache/clear": {"post": _clear()},
        "/api/cache/purge": {"post": _purge()},
        "/api/cache/entries": {"get": _entries()},
        "/api/cache/entries/{key}": {"parameters": [_KEY], "get": _entry(), "delete": _delete()},
    }


def other_paths(*, metrics: bool) -> Schema:
    """What can be generated, health, metrics where they are served, and the description."""
    return {
        "/api/pipelines": {"get": _pipelines()},
        "/healthz": {"get": _healthz()},
        "/readyz": {"get": _readyz()},
        **({"/metrics": {"get": _metrics()}} if metrics else {}),
        "/openapi.json": {"get": _openapi()},
        "/docs": {"get": _docs()},
        "/docs/runbook": {"get": _runbook()},
        "/docs/dashboards/d/{uid}": {"parameters": [_UID], "get": _dashboard()},
        "/": {"get": _root()},
    }


def _stats() -> Schema:
    return operation(
        "read-stats",
        MANAGEMENT,
        "Statistics",
        "What the cache answered, what it missed and why, recouped and holds: overall, and by pipeline. "
        "All figures are exact, and of one moment.",
        {"200": json_answer("Stats", "The statistics of this moment."), **problems(400, 401)},
        [f"{_CURL} {SAMPLE_SERVER}/api/cache/stats"],
        **_SECURITY,
    )


def _read_config() -> Schema:
    return operation(
        "read-config",
        MANAGEMENT,
        "Read the configuration",
        "The limits in force.",
        {"200": json_answer("Config", "The configuration in force."), **problems(400, 401)},
        [f"{_CURL} {SAMPLE_SERVER}/api/cache/config"],
        **_SECURITY,
    )


def _change_config() -> Schema:
    return operation(
        "change-config",
        MANAGEMENT,
        "Change the configuration",
        "All of a valid change, or none of an invalid one. Lowering a limit evicts at once. It holds until the service "
        "ends: the next start reads the environment again.",
        {
            "200": json_answer("Config", "The configuration in force after the change."),
            **problems(400, 401, 413, 415),
        },
        [
            _CURL,
            "-H 'Content-Type: application/json'",
            """-d '{"max_size": 5000, "ttl_seconds": 3600}'""",
            f"{SAMPLE_SERVER}/api/cache/config",
        ],
        requestBody={"required": True, "content": {"application/json": {"schema": ref("ConfigChange")}}},
        **_SECURITY,
    )


def _clear() -> Schema:
    return operation(
        "clear",
        MANAGEMENT,
        "Clear",
        "Removes the entries of one pipeline; or, without a body, all entries. Statistics stay.",
        {"200": json_answer("Cleared", "How many entries were removed."), **problems(400, 401, 404, 413, 415)},
        [
            _CURL,
            "-H 'Content-Type: application/json'",
            """-d '{"pipeline": "relief"}'""",
            f"{SAMPLE_SERVER}/api/cache/clear",
        ],
        requestBody={"required": False, "content": {"application/json": {"schema": ref("ClearRequest")}}},
        **_SECURITY,
    )


def _purge() -> Schema:
    return operation(
        "purge",
        MANAGEMENT,
        "Purge",
        "Lets no result of these groups answer from now on, generations that began before it included. It takes the "
        "same time, whatever is held. Soft: they expire instead.",
        {"200": json_answer("Purged", "What was purged."), **problems(400, 401, 404, 413, 415)},
        [
            _CURL,
            "-H 'Content-Type: application/json'",
            """-d '{"groups": ["model:small"]}'""",
            f"{SAMPLE_SERVER}/api/cache/purge",
        ],
        requestBody={"required": True, "content": {"application/json": {"schema": ref("PurgeRequest")}}},
        **_SECURITY,
    )


def _entries() -> Schema:
    query = [
        {"name": field.name, "in": "query", "description": field.description, "schema": _bare(field.schema())}
        for field in ENTRIES_QUERY
    ]
    return operation(
        "list-entries",
        MANAGEMENT,
        "A page of entries",
        "What is held. It is no lookup: nothing is counted, and no entry counts as used.",
        {"200": json_answer("EntryPage", "The page."), **problems(400, 401, 404)},
        [f"{_CURL} '{SAMPLE_SERVER}/api/cache/entries?sort=costliest&limit=10'"],
        parameters=query,
        **_SECURITY,
    )


def _entry() -> Schema:
    return operation(
        "read-entry",
        MANAGEMENT,
        "One entry",
        "What is known of it. It is no lookup: nothing is counted.",
        {"200": json_answer("Entry", "What is known of it."), **problems(400, 401, 404)},
        [f"{_CURL} {SAMPLE_SERVER}/api/cache/entries/{_KEY['example']}"],
        **_SECURITY,
    )


def _delete() -> Schema:
    return operation(
        "delete-entry",
        MANAGEMENT,
        "Delete an entry",
        "The next request for it is a miss, with the reason `invalidated`.",
        {"204": {"description": "It is gone."}, **problems(400, 401, 404)},
        [f"{_CURL} -X DELETE {SAMPLE_SERVER}/api/cache/entries/{_KEY['example']}"],
        **_SECURITY,
    )


def _pipelines() -> Schema:
    return operation(
        "list-pipelines",
        CATALOG,
        "Pipelines",
        "What can be generated, with each pipeline's parameters, their units, bounds and defaults.",
        {"200": json_answer("Pipelines", "Every pipeline.")},
        [f"{_CURL} {SAMPLE_SERVER}/api/pipelines"],
    )


def _healthz() -> Schema:
    return operation(
        "read-health",
        OPERATION,
        "Alive",
        "For a liveness probe: it fails only when the process no longer answers.",
        {"200": json_answer("Alive", "The process answers.")},
        [f"{_CURL} {SAMPLE_SERVER}/healthz"],
    )


def _readyz() -> Schema:
    return operation(
        "read-readiness",
        OPERATION,
        "Ready",
        "For a readiness probe, or a load balancer: whether it can serve now.",
        {"200": json_answer("Ready", "It can serve."), **problems(503)},
        [f"{_CURL} {SAMPLE_SERVER}/readyz"],
    )


def _metrics() -> Schema:
    texts = {media: {"schema": {"type": "string"}} for media in ("text/plain", "application/openmetrics-text")}
    return operation(
        "read-metrics",
        OPERATION,
        "Metrics",
        "Prometheus text; or OpenMetrics with exemplars, where `Accept` asks for it.",
        {"200": {"description": "The metrics.", "content": texts}},
        [f"{_CURL} {SAMPLE_SERVER}/metrics"],
    )


def _openapi() -> Schema:
    return operation(
        "read-description",
        OPERATION,
        "This description",
        "The API as an OpenAPI 3.1 document.",
        {"200": {"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}},
        [f"{_CURL} {SAMPLE_SERVER}/openapi.json"],
    )


def _docs() -> Schema:
    return operation(
        "read-docs",
        OPERATION,
        "This page",
        "The same description as a page to read.",
        {"200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}},
        [f"{_CURL} {SAMPLE_SERVER}/docs"],
    )


def _runbook() -> Schema:
    return operation(
        "read-runbook",
        OPERATION,
        "Runbook",
        "What each alert means, and what to do. Alerts link to it with their labels in the query.",
        {"200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}},
        [f"{_CURL} {SAMPLE_SERVER}/docs/runbook"],
        parameters=[_LABEL | {"name": name} for name in ("cluster", "namespace", "job", "pipeline", "instance")],
    )


def _dashboard() -> Schema:
    return operation(
        "find-dashboard",
        OPERATION,
        "Dashboard",
        "Where a dashboard is to be found in Grafana. Alerts link to it.",
        {
            "200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}},
            **problems(404),
        },
        [f"{_CURL} {SAMPLE_SERVER}/docs/dashboards/d/{_UID['example']}"],
    )


def _root() -> Schema:
    return operation(
        "read-root",
        OPERATION,
        "The front door",
        "Leads to the page that describes the API.",
        {"302": {"description": "The page is at `/docs`.", "headers": {"Location": header("`/docs`", required=True)}}},
        [f"{_CURL} -L {SAMPLE_SERVER}/"],
    )


def _bare(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "description"}
