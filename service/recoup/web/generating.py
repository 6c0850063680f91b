"""The Flask view of `POST /api/generate/<pipeline>`: all of it, forms and misses and errors included."""

from __future__ import annotations

import time

from flask import Blueprint, Response, g, request

from recoup.errors import BadRequestError, RecoupError
from recoup.web.account import Told
from recoup.web.front import handed
from recoup.web.generation import GENERATE_ROUTE, Ask, Generation, Route
from recoup.web.problems import register_error_handlers
from recoup.web.reading import read_body

#: The form field that holds an image.
FORM_FIELD = "image"


def generation_blueprint(generation: Generation, max_body_bytes: int) -> Blueprint:
    """`POST /api/generate/<pipeline>`: answers from the cache, or generates, stores and answers."""
    blueprint = Blueprint("recoup_generation", __name__)
    register_error_handlers(blueprint)

    def generate(pipeline: str) -> Response:
        told: Told = g.told
        try:
            ask = _ask(generation, generation.route(pipeline), told, max_body_bytes)
            told.asked(ask)
            answer = generation.try_hit(ask, told.request_id, told.started)
            answer = answer or generation.answer(ask, told.request_id, told.started)
        except RecoupError as error:
            told.error = f"{type(error).__name__}: {error}"
            raise
        told.answered(answer)
        return Response(answer.body, answer.status, answer.headers)

    blueprint.add_url_rule(GENERATE_ROUTE, "generate", generate, methods=["POST"], provide_automatic_options=False)
    return blueprint


def _ask(generation: Generation, route: Route, told: Told, max_body_bytes: int) -> Ask:
    known = handed(request.environ)
    if known is not None and known.ask is not None:
        return known.ask
    told.pipeline = route.name
    if known is not None:
        return generation.ask(route, request.environ, known.body, request.environ.get("CONTENT_TYPE"))
    body, content_type = _form_file() if _is_form(route) else (read_body(request.environ, max_body_bytes), None)
    told.started = time.perf_counter()
    return generation.ask(route, request.environ, body, content_type or request.environ.get("CONTENT_TYPE"))


def _is_form(route: Route) -> bool:
    return route.takes_forms and request.mimetype == "multipart/form-data"


def _form_file() -> tuple[bytes, str | None]:
    """The one file of a form, and its content type.

    Raises:
        BadRequestError: The form has something else, or no file.
    """
    files = list(request.files.items(multi=True))
    # A part of a form may have no name at all.
    others = sorted({name or "" for name, _ in files if name != FORM_FIELD} | {name or "" for name in request.form})
    if others:
        raise BadRequestError(
            f"The form has fields that are not known here: {', '.join(others)[:200]}. Parameters belong to the query.",
            allowed=(FORM_FIELD,),
        )
    if len(files) != 1:
        raise BadRequestError(f"The form must have exactly one file, as the field {FORM_FIELD!r}; it has {len(files)}.")
    file = files[0][1]
    return file.read(), file.content_type or "application/octet-stream"
