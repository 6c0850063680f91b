"""The page that describes the API: rendered here from the API's description, without scripts or foreign assets."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from recoup.web.openapi.parts import SAMPLE_SERVER
from recoup.web.problem_types import PROBLEM_TYPES

_METHODS = ("get", "post", "put", "patch", "delete")
_CODE = re.compile(r"`([^`]+)`")
_REFERENCE = "#/components/schemas/"

Part = dict[str, Any]


class DocsPage:
    """The page of one description.

    Attributes:
        security_headers: Headers that keep everything off the page that is not its own.
    """

    def __init__(self, document: Part) -> None:
        loader = PackageLoader("recoup.web.openapi", "templates")
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        environment.lstrip_blocks = True
        environment.filters.update(prose=prose, type_text=type_text, value_text=value_text, anchor=_anchor)
        style = environment.get_template("docs.css").render()
        self.security_headers = _security_headers(style)
        self._template = environment.get_template("docs.html")
        self._parts = {
            "info": document["info"],
            "sections": list(_sections(document)),
            "schemas": document["components"]["schemas"],
            "problems": PROBLEM_TYPES,
            "style": Markup(style),  # noqa: S704  # our own file, and between its tags nothing may be escaped
        }

    def render(self, server: str) -> str:
        """The page, for a reader who reached it at `server` (scheme and host)."""
        return self._template.render(self._parts, server=server, sample_server=SAMPLE_SERVER)


def prose(text: str) -> Markup:
    """Plain text with `code` in backticks as HTML; empty lines part paragraphs."""
    paragraphs = (_CODE.sub(r"<code>\1</code>", str(escape(part))) for part in text.split("\n\n") if part)
    return Markup("").join(Markup(f"<p>{paragraph}</p>") for paragraph in paragraphs)  # noqa: S704  # escaped above


def type_text(schema: Part) -> Markup:
    """What a schema allows, in words; another schema as a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return Markup('<a href="#schema-{}">{}</a>').format(name, name)
    if "enum" in schema or "const" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(word) for word in _words(schema))
    if schema.get("type") == "array":
        return Markup("array of {}").format(type_text(schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        return Markup("object: name to {}").format(type_text(schema["additionalProperties"]))
    kinds = schema.get("type", "any")
    name = kinds if isinstance(kinds, str) else " or ".join(kinds)
    unit = f" {schema['x-unit']}" if "x-unit" in schema else ""
    return escape(name + _bounds_text(schema) + unit)


def value_text(value: Any) -> str:
    """A value as one writes it in a query: no quotes, no needless digits."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:.12g}" if isinstance(value, (int, float)) else str(value)


def _words(schema: Part) -> list[Any]:
    return list(schema.get("enum", [schema.get("const")]))


def _bounds_text(schema: Part) -> str:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least:.12g} to {most:.12g}"
    if least is not None:
        return f", from {least:.12g}"
    return "" if most is None else f", up to {most:.12g}"


def _sections(document: Part) -> Iterator[Part]:
    """The operations by tag, each with its references followed."""
    for tag in document["tags"]:
        operations = [
            _operation(document, method, path, item)
            for path, item in document["paths"].items()
            for method in _METHODS
            if method in item and item[method]["tags"] == [tag["name"]]
        ]
        if operations:
            yield {**tag, "operations": operations}


def _operation(document: Part, method: str, path: str, item: Part) -> Part:
    operation = item[method]
    body = operation.get("requestBody", {"content": {}})
    return {
        **operation,
        "method": method.upper(),
        "path": path,
        "parameters": [*item.get("parameters", ()), *operation.get("parameters", ())],
        "body": body,
        "answers": [_answer(document, status, answer) for status, answer in sorted(operation["responses"].items())],
        "curl": operation["x-codeSamples"][0]["source"],
    }


def _answer(document: Part, status: str, answer: Part) -> Part:
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    content = answer.get("content", {})
    schemas = [media["schema"] for media in content.values() if "$ref" in media["schema"]]
    return {
        "status": status,
        "phrase": HTTPStatus(int(status)).phrase if status.isdigit() else "",
        "description": answer["description"],
        "headers": answer.get("headers", {}),
        "media": list(content),
        "schema": schemas[0] if schemas else None,
    }


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _security_headers(style: str) -> dict[str, str]:
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
