"""What the operations of the API's description share: error answers, headers, samples."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from recoup.web.openapi.schemas import Schema, ref
from recoup.web.problems import MEDIA_TYPE

#: Stands in the samples for where the service listens.
SAMPLE_SERVER = "http://127.0.0.1:8080"

_REFUSALS = {
    400: "The request is malformed: bad JSON, a wrong type, an unknown field or query member.",
    401: "No token or a wrong one; without a token set, a caller that is not on the service's own machine.",
    404: "There is no such pipeline, key or path.",
    408: "The body did not arrive in time.",
    413: "The body is over the limit.",
    415: "The body's media type is not taken here.",
    422: "Well-formed, but not to be generated.",
    502: "The generator failed. Nothing was stored.",
    503: "No room to generate now.",
    504: "The generator ran past its time limit; or `only-if-cached`, and nothing is stored.",
}


def problems(*statuses: int) -> Schema:
    """The error answers of an operation, by status."""
    return {str(status): {"$ref": f"#/components/responses/{problem_name(status)}"} for status in statuses}


def problem_name(status: int) -> str:
    """The name of an error answer among the components."""
    return "".join(word.capitalize() for word in HTTPStatus(status).phrase.replace("-", " ").split())


def problem_responses() -> Schema:
    """The error answers by name."""
    return {problem_name(status): _problem(status, text) for status, text in _REFUSALS.items()}


def json_answer(schema: str, description: str) -> Schema:
    """A success with a JSON document."""
    return {"description": description, "content": {"application/json": {"schema": ref(schema)}}}


def header(description: str, schema: Schema | None = None, *, required: bool = False) -> Schema:
    """A header of an answer."""
    return {"description": description, "required": required, "schema": schema or {"type": "string"}}


def sample(*lines: str) -> list[Schema]:
    """A command line that calls an operation, in the form that documentation tools know."""
    return [{"lang": "Shell", "label": "curl", "source": " \\\n  ".join(lines)}]


def operation(
    name: str, tag: str, summary: str, description: str, responses: Schema, curl: Sequence[str], **more: Any
) -> Schema:
    """One operation."""
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        **more,
        "responses": responses,
        "x-codeSamples": sample(*curl),
    }


def _problem(status: int, description: str) -> Schema:
    answer: Schema = {"description": description, "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
    headers = _problem_headers(status)
    return {**answer, "headers": headers} if headers else answer


def _problem_headers(status: int) -> Schema:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": header("What to send: `Bearer`.", required=True)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        whole = {"type": "integer", "minimum": 0}
        return {"Retry-After": header("Seconds after which to try again.", whole, required=True)}
    return {}
