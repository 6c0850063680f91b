"""Problem documents (RFC 9457): what every error becomes over HTTP, in one shape.

    {"type": ..., "title": ..., "status": ..., "detail": ..., "instance": ...}

and, where they apply, `errors`, `allowed`, `upstream_status`, `upstream_body`, `retry_after_seconds`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

from flask import Response, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.sansio.response import Response as AnyResponse

from recoup.errors import RecoupError, SettingError, SeveralMistakesError, UpstreamError
from recoup.web.problem_types import BLANK, STATUS_ERRORS, type_of
from recoup.web.responses import NO_STORE, encode

MEDIA_TYPE = "application/problem+json"
#: Seconds after which to try again, where the error itself does not say.
DEFAULT_RETRY_SECONDS = 1
#: What a problem document may have beyond the five members of the standard.
MEMBERS = ("errors", "allowed", "upstream_status", "upstream_body", "retry_after_seconds", "checks")

_log = logging.getLogger(__name__)
_INTERNAL_DETAIL = "Something failed inside the service. Its log says what."
#: Characters that a path has unescaped (RFC 3986, section 3.3).
PATH_CHARACTERS = "/:@!$&'()*+,;=~"
_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

Document = dict[str, Any]


class HasErrorHandlers(Protocol):
    """A Flask application or blueprint."""

    def register_error_handler(self, code_or_exception: Any, f: Any) -> None:
        """Register `f` for a class of exceptions."""


def register_error_handlers(app: HasErrorHandlers) -> None:
    """Make every error of a Flask application, or of one blueprint, a problem document."""
    app.register_error_handler(Exception, problem_response)


def problem_response(error: BaseException, *, instance: str | None = None) -> Response | AnyResponse:
    """The answer to a request that ended in `error`; `instance` is the request's path unless it is given."""
    if isinstance(error, HTTPException) and error.response is not None:
        return error.response  # `abort(response)`: not an error, an answer
    if instance is None and has_request_context():
        instance = quote(request.path, safe=PATH_CHARACTERS)
    status, document, headers = problem_document(error, instance=instance)
    response = Response(encode(document), status=status)
    response.headers.update(headers)
    return response


def problem_document(error: BaseException, *, instance: str | None = None) -> tuple[int, Document, dict[str, str]]:
    """What an error becomes: its status, its document and its headers, `Content-Type` among them.

    An error that nobody foresaw becomes a 500 that tells nothing of itself; it is logged with its traceback.
    """
    status = _status(error)
    headers = {"Content-Type": MEDIA_TYPE, **NO_STORE, **_own_headers(error)}
    document = {**_summary(error, status), "status": status, "detail": _detail(error, status)}
    if instance is not None:
        document["instance"] = instance
    document.update(_members(error, status, headers))
    _require_headers(status, document, headers)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed unexpectedly", exc_info=_cause(error), extra={"path": instance})
    return status, document, headers


def _status(error: BaseException) -> int:
    if isinstance(error, HTTPException):
        return error.code or 500
    if isinstance(error, RecoupError) and not isinstance(error, (SettingError, SeveralMistakesError)):
        return error.status
    return 500  # a bad environment variable is no fault of the request that met it first


def _summary(error: BaseException, status: int) -> Document:
    kind = STATUS_ERRORS.get(status, type(error)) if isinstance(error, HTTPException) else type(error)
    problem = type_of(kind) if status != HTTPStatus.INTERNAL_SERVER_ERROR else None
    if problem is None:
        return {"type": BLANK, "title": _phrase(status)}
    return {"type": problem.uri, "title": getattr(kind, "title", problem.title)}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _detail(error: BaseException, status: int) -> str:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _INTERNAL_DETAIL
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        return f"This path takes {', '.join(sorted(error.valid_methods))}."
    if isinstance(error, HTTPException):
        return error.description or _phrase(status)
    return str(error) or _phrase(status)


def _own_headers(error: BaseException) -> dict[str, str]:
    if isinstance(error, UpstreamError):
        # How to prove who one is, the upstream says, and in no words of ours.
        own = b", ".join(error.www_authenticate).decode("latin-1")
        return {"WWW-Authenticate": own} if own else {}
    if _status(error) == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="recoup"'}
    if not isinstance(error, HTTPException):
        return {}
    headers = {name: str(value) for name, value in error.get_headers() if name.lower() != "content-type"}
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))  # the same at each start
    return headers


def _members(error: BaseException, status: int, headers: dict[str, str]) -> Document:
    members = {name: getattr(error, name, None) for name in MEMBERS} if status != 500 else {}
    if isinstance(error, MethodNotAllowed):
        members["allowed"] = sorted(error.valid_methods or ())
    if headers.get("Retry-After", "").isdigit():
        members["retry_after_seconds"] = int(headers["Retry-After"])
    return {name: value for name, value in members.items() if value not in (None, (), [])}


def _require_headers(status: int, document: Document, headers: dict[str, str]) -> None:
    """Add what HTTP asks of some statuses, where the error did not bring it."""
    if status in _RETRIED:
        seconds = document.setdefault("retry_after_seconds", DEFAULT_RETRY_SECONDS)
        headers.setdefault("Retry-After", str(seconds))
    elif "retry_after_seconds" in document:
        headers.setdefault("Retry-After", str(document["retry_after_seconds"]))


def _cause(error: BaseException) -> BaseException:
    return getattr(error, "original_exception", None) or error
