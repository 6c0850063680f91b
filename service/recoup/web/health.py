"""Health: whether the process is alive, and whether it is ready to serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response
from werkzeug.exceptions import ServiceUnavailable

from recoup.web.problems import problem_response, register_error_handlers
from recoup.web.responses import json_response

Readiness = Callable[[], tuple[bool, dict[str, Any]]]


class NotReady(ServiceUnavailable):
    """The service cannot serve yet, or no longer; `checks` is what was checked, and how each came out."""

    description = "The service is not ready: see `checks`."

    def __init__(self, checks: dict[str, Any]) -> None:
        super().__init__()
        self.checks = checks


def health_blueprint(ready: Readiness) -> Blueprint:
    """`GET /healthz`: 200 as long as the process answers. `GET /readyz`: 200, or 503 while it cannot serve.

    Args:
        ready: Whether it can serve now, and what was checked, for people: plain values by name.
    """
    blueprint = Blueprint("recoup_health", __name__)
    register_error_handlers(blueprint)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return json_response({"status": "alive"})

    @blueprint.get("/readyz")
    def readyz() -> Any:
        is_ready, checks = ready()
        if not is_ready:
            return problem_response(NotReady(checks))
        return json_response({"status": "ready", "checks": checks})

    return blueprint
