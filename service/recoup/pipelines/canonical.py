"""What a request means, as values: two requests that mean the same thing have equal ones.

JSON bodies are compared by their values, so spacing and the order of members do not matter. Numbers mean what RFC 8259
recommends that they be read as: integers exactly, all else as double precision. Other bodies are compared by bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from recoup.pipelines.aside import AT_HOME, Aside
from recoup.pipelines.canonical_json import Reshape, canonical_json


def is_json(content_type: str | None) -> bool:
    """Whether a media type (lower case, without parameters) is JSON: `application/json`, or one with `+json`."""
    return content_type is not None and (content_type == "application/json" or content_type.endswith("+json"))


def canonical_body(
    body: bytes, content_type: str | None, reshape: Reshape | None = None, aside: Aside = AT_HOME
) -> bytes | tuple[str, bytes]:
    """A body's meaning: of a JSON body its canonical form, marked as such; of any other its bytes.

    Args:
        body: The body.
        content_type: Its media type.
        reshape: Takes out of a JSON value what does not belong to the key; None: all of it does.
        aside: Where long JSON is read.

    Raises:
        BadRequestError: The content type says JSON, but the body is no JSON, or has no unambiguous meaning.
        OverloadedError: Long JSON could not be read there.
    """
    if not is_json(content_type):
        return body
    return "json", aside.run_in_thread(len(body), canonical_json, body, reshape)


def canonical_query(
    query: Mapping[str, tuple[str, ...]], ignored: Collection[str] = ()
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Query members that are not ignored, in the order of their names; repeated values stay in theirs."""
    return tuple((name, tuple(query[name])) for name in sorted(query) if name not in ignored) if query else ()
