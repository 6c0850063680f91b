"""The image in a form: `multipart/form-data` with exactly one file, as the field `image`."""

from __future__ import annotations

import io
from typing import IO

from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from recoup.errors import BadRequestError

#: The form field that holds an image.
FORM_FIELD = "image"
#: Parts beside the image: none are known, so few are enough to say which are wrong.
_MOST_PARTS = 16
_BUFFER_BYTES = 2**18


def form_file(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The one file of a form, and its content type. May take long.

    Raises:
        BadRequestError: It is no form, or has something else in it, or no file.
    """
    boundary = parse_options_header(content_type)[1].get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        raise BadRequestError("The form's Content-Type has no boundary.")
    # In memory: the body is there already, and the folder for temporary files may be smaller than it.
    parser = MultiPartParser(
        _in_memory, max_form_memory_size=len(body), max_form_parts=_MOST_PARTS, buffer_size=_BUFFER_BYTES
    )
    try:
        fields, files = parser.parse(io.BytesIO(body), boundary, len(body))
    except Exception as error:  # noqa: BLE001  # ValueError, or an HTTPException of the framework's
        raise BadRequestError(f"The form cannot be read: {error}") from None
    # A part of a form may have no name at all.
    others = sorted({name or "" for name in files if name != FORM_FIELD} | {name or "" for name in fields})
    if others:
        raise BadRequestError(
            f"The form has fields that are not known here: {', '.join(others)[:200]}. Parameters belong to the query.",
            allowed=(FORM_FIELD,),
        )
    images = files.getlist(FORM_FIELD)
    if len(images) != 1:
        raise BadRequestError(
            f"The form must have exactly one file, as the field {FORM_FIELD!r}; it has {len(images)}."
        )
    return images[0].read(), images[0].content_type or "application/octet-stream"


def _in_memory(*_: object, **__: object) -> IO[bytes]:
    return io.BytesIO()
