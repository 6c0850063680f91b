"""The API's description (OpenAPI 3.1): made from the code that answers, and from what each pipeline says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.sansio.response import Response as AnyResponse

import recoup
from recoup.pipelines.protocol import Pipeline
from recoup.web.openapi.generation import TAG, generation_path
from recoup.web.openapi.management import (
    CATALOG,
    MANAGEMENT,
    OPERATION,
    SECURITY_SCHEME,
    management_paths,
    other_paths,
)
from recoup.web.openapi.page import DocsPage
from recoup.web.openapi.parts import problem_responses
from recoup.web.openapi.schemas import SCHEMAS, Schema
from recoup.web.problems import register_error_handlers
from recoup.web.responses import encode

_DESCRIPTION = (
    "What was generated once is answered in milliseconds, and anyone can see at any moment whether that pays.\n\n"
    "Every error is a problem document (RFC 9457, `application/problem+json`) in one shape, and a refused request "
    "changes nothing."
)
_TAGS = {
    TAG: "Send a request, get its result: from the cache, or generated now.",
    CATALOG: "What can be generated.",
    MANAGEMENT: "See what the cache does, and change it. It takes the token that the service was started with "
    "(`RECOUP_ADMIN_TOKEN`); where none is set, it is open to callers on the service's own machine alone. Behind a "
    "proxy on that machine, set a token: to the service, all that the proxy passes on comes from this machine.",
    OPERATION: "For those who run it.",
}
#: How long a browser may show the page and the document without asking again: not at all; both are quick to make.
_FRESH = {"Cache-Control": "no-cache"}


def openapi_document(pipelines: Mapping[str, Pipeline], *, metrics: bool = True) -> Schema:
    """The description of the whole API with these pipelines; `metrics`: whether `/metrics` is served."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recoup",
            "version": recoup.__version__,
            "summary": "A result cache for slow, expensive generation work",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": {
            **dict(map(generation_path, pipelines.values())),
            **management_paths(),
            **other_paths(metrics=metrics),
        },
        "components": {
            "schemas": SCHEMAS,
            "responses": problem_responses(),
            "securitySchemes": {
                SECURITY_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of `RECOUP_ADMIN_TOKEN`.",
                }
            },
        },
    }


def openapi_blueprint(pipelines: Mapping[str, Pipeline], *, metrics: bool = True) -> Blueprint:
    """`GET /openapi.json`: the description. `GET /docs`: a page to read it. `GET /`: leads there.

    Args:
        pipelines: What can be generated.
        metrics: Whether the application serves `/metrics`.
    """
    blueprint = Blueprint("recoup_openapi", __name__)
    register_error_handlers(blueprint)
    document = openapi_document(pipelines, metrics=metrics)
    encoded = encode(document)
    page = DocsPage(document)

    @blueprint.get("/openapi.json")
    def openapi_json() -> Response:
        return Response(encoded, mimetype="application/json", headers=_FRESH)

    @blueprint.get("/docs")
    def docs() -> Response:
        headers = {**_FRESH, **page.security_headers}
        return Response(page.render(request.host_url.rstrip("/")), mimetype="text/html", headers=headers)

    @blueprint.get("/")
    def front_door() -> AnyResponse:
        return redirect(url_for(".docs"))

    return blueprint
