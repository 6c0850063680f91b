"""What can be generated: `GET /api/pipelines`."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response

from recoup.pipelines.protocol import Pipeline
from recoup.web.problems import register_error_handlers
from recoup.web.responses import json_response


def catalog_blueprint(pipelines: Mapping[str, Pipeline]) -> Blueprint:
    """`GET /api/pipelines`: each pipeline with its parameters, in their order."""
    blueprint = Blueprint("recoup_catalog", __name__)
    register_error_handlers(blueprint)

    @blueprint.get("/api/pipelines")
    def list_pipelines() -> Response:
        # A pipeline that somebody else has written may not know of paths.
        return json_response({"pipelines": [{"path": None, **pipeline.describe()} for pipeline in pipelines.values()]})

    return blueprint
