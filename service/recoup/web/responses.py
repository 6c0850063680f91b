"""Responses: JSON as this service writes it (compact, UTF-8, never NaN), for Flask and for ASGI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

#: For what is valid only now, or only for one caller: no cache keeps it.
NO_STORE = {"Cache-Control": "no-store"}

#: The headers of an ASGI message: names in lower case.
RawHeaders = list[tuple[bytes, bytes]]


def encode(value: Any) -> bytes:
    """A value as compact JSON in UTF-8. What JSON has no form for (a tuple key, a date) becomes its `repr`.

    Raises:
        ValueError: The value holds NaN or an infinity, which JSON cannot say.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=repr)
    # A lone surrogate has no UTF-8 form; its backslash escape is its JSON escape.
    return text.encode("utf-8", "backslashreplace")


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of `value` as JSON that no cache keeps."""
    response = Response(encode(value), status=status, mimetype="application/json")
    response.headers.update({**NO_STORE, **(headers or {})})
    return response


def raw_headers(headers: Mapping[str, str]) -> RawHeaders:
    """Headers as ASGI takes them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
