"""The generation part of the API's description: one operation for each pipeline, from what it says of itself."""

from __future__ import annotations

from typing import Any

from recoup.pipelines.protocol import Pipeline
from recoup.web.openapi.parts import SAMPLE_SERVER, header, operation, problems
from recoup.web.openapi.schemas import Schema, ref
from recoup.web.problems import MEDIA_TYPE

TAG = "Generation"
_BOUNDS = ("minimum", "maximum")
#: Headers that OpenAPI keeps to itself: as parameters they would be ignored.
_RESERVED = ("accept", "authorization", "content-type", "cookie")
_FORM = "multipart/form-data"

_HOW = (
    "Answers from the cache, or generates, stores and answers. The answer is the result itself, the same bytes on a "
    "hit as on the miss that stored it; `Cache-Status` says which it was."
)
_REQUEST_HEADERS: tuple[Schema, ...] = (
    {
        "name": "Cache-Control",
        "in": "header",
        "description": "`no-store`: generate past the cache. `no-cache`: generate anew, and store. `only-if-cached`: "
        "a stored result, or 504.",
        "schema": {"type": "string"},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "An `ETag`: the answer is 304 without a body when the result is that one.",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the request in the log; made up when it is left out.",
        "schema": {"type": "string"},
    },
)
_TOLD: Schema = {
    "Cache-Status": header(
        "How the cache answered (RFC 9211): `recoup; hit; ttl=86012`, `recoup; fwd=uri-miss; stored; detail=evicted` "
        "with the reason of the miss, `recoup; fwd=uri-miss; collapsed`, `recoup; fwd=bypass`.",
        required=True,
    ),
    "ETag": header("Names these very bytes, for `If-None-Match`.", required=True),
    "Age": header("Seconds since the result was stored; on a hit.", {"type": "integer", "minimum": 0}),
    "X-Request-Id": header("The request's name in the log.", required=True),
    "Server-Timing": header("Where the time went, in milliseconds.", required=True),
}


def generation_path(pipeline: Pipeline) -> tuple[str, Schema]:
    """The path of a pipeline, and what can be done there."""
    described = pipeline.describe()
    name = described["name"]
    post = operation(
        f"generate-{name}",
        TAG,
        f"Generate with {name}",
        "\n\n".join(text for text in (described["description"], _HOW, _headers_text(described)) if text),
        _responses(described),
        _curl(described),
        parameters=[*map(_parameter, described["parameters"]), *_key_headers(described), *_REQUEST_HEADERS],
        requestBody={"required": _takes_images(described), "content": _body(described)},
    )
    return f"/api/generate/{name}", {"post": post}


def _responses(described: dict[str, Any]) -> Schema:
    produced: Schema = {media: {"schema": {}} for media in described["produces"]}
    responses: Schema = {
        "200": {"description": "The result.", "headers": _TOLD, "content": produced},
        "304": {"description": "The result is the one that `If-None-Match` names.", "headers": _TOLD},
        **problems(400, 408, 413, 415, 422, 502, 503, 504),
    }
    if described["kind"] == "http":
        passed_on = {"description": "What the upstream refused, passed on. Nothing was stored."}
        responses["4XX"] = {**passed_on, "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
    return responses


def _parameter(described: dict[str, Any]) -> Schema:
    schema: Schema = {"type": described["type"]}
    schema.update({bound: described[bound] for bound in _BOUNDS if described.get(bound) is not None})
    if described.get("choices"):
        schema["enum"] = list(described["choices"])
    if described.get("default") is not None:
        schema["default"] = described["default"]
    if described.get("unit"):
        schema["x-unit"] = described["unit"]
    return {"name": described["name"], "in": "query", "description": described["description"], "schema": schema}


def _key_headers(described: dict[str, Any]) -> list[Schema]:
    return [
        {"name": name, "in": "header", "description": "Belongs to the key.", "schema": {"type": "string"}}
        for name in described["key_headers"]
        if name not in _RESERVED
    ]


def _headers_text(described: dict[str, Any]) -> str:
    named = {*described["key_headers"], *described["ignore_headers"]}
    unnamed = [name for name in ("Authorization", "Cookie") if name.lower() not in named]
    if not unnamed:
        return ""
    names = " or ".join(f"`{name}`" for name in unnamed)
    return f"A request with {names} goes past the cache: its result may be its caller's own."


def _body(described: dict[str, Any]) -> Schema:
    content: Schema = {media: {"schema": {}} for media in described["accepts"]}
    if _takes_images(described):
        image = {"description": "The image.", "contentMediaType": "application/octet-stream"}
        form = {"type": "object", "properties": {"image": image}, "required": ["image"]}
        content[_FORM] = {"schema": form}
    return content


def _takes_images(described: dict[str, Any]) -> bool:
    return any(media.startswith("image/") for media in described["accepts"])


def _curl(described: dict[str, Any]) -> list[str]:
    lines = ["curl -sS -D - -o result" + _suffix(described)]
    if _takes_images(described):
        lines += ["-H 'Content-Type: image/jpeg'", "--data-binary @photo.jpg"]
    else:
        lines += ["-H 'Content-Type: application/json'", """-d '{"prompt": "a lighthouse"}'"""]
    return [*lines, f"{SAMPLE_SERVER}/api/generate/{described['name']}"]


def _suffix(described: dict[str, Any]) -> str:
    return ".stl" if "model/stl" in described["produces"] else ""
