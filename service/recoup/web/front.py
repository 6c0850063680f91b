"""The lean entry: a WSGI application in front of Flask that answers hits, and nothing else.

Flask spends about 200 microseconds on a request; a hit is a dictionary look-up. So a plain `POST /api/generate/...` is
read and keyed here, and answered if its result is stored. Everything else goes on to Flask, together with what has been
read and worked out already; errors are Flask's to answer, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from recoup.errors import BadRequestError, RecoupError
from recoup.telemetry import request_id
from recoup.web.account import Account, Told
from recoup.web.generation import GENERATE_PREFIX, Ask, Generation
from recoup.web.reading import read_exactly

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: Where Flask finds what was done here, in the WSGI environment.
HANDED = "recoup.handed"
_PREFIX_LENGTH = len(GENERATE_PREFIX)
_STATUS_LINES = {200: "200 OK", 304: "304 NOT MODIFIED"}


class Handed(NamedTuple):
    """What Flask gets along with a request that is not a hit: its whole body, and its key where it has one."""

    told: Told
    body: bytes
    ask: Ask | None


class Front:
    """The lean entry.

    Args:
        application: What everything else goes to.
        generation: Answers hits.
        account: Told of each hit; None: nobody is.
        max_body_bytes: Longer bodies are left to the application.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        generation: Generation,
        account: Account | None,
        max_body_bytes: int,
    ) -> None:
        self._application = application
        self._generation = generation
        self._account = account
        self._max_body_bytes = max_body_bytes

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a hit, or pass the request on."""
        path = environ.get("PATH_INFO", "")
        route = self._generation.routes.get(path[_PREFIX_LENGTH:])
        if route is None or environ["REQUEST_METHOD"] != "POST" or not path.startswith(GENERATE_PREFIX):
            return self._application(environ, start_response)
        length = self._readable_length(environ)
        if length is None:
            return self._application(environ, start_response)
        try:
            body = read_exactly(environ["wsgi.input"], length)
        except BadRequestError:
            environ["wsgi.input"] = BytesIO()  # Flask finds it too short, too, and answers that
            return self._application(environ, start_response)
        started = perf_counter()
        own_id = request_id(environ.get("HTTP_X_REQUEST_ID"))
        ask = answer = None
        try:
            ask = self._generation.ask(route, environ, body, environ.get("CONTENT_TYPE"))
            answer = self._generation.try_hit(ask, own_id, started)
        except RecoupError:
            answer = None  # a refusal: Flask meets it again, and says why
        except Exception as error:  # noqa: BLE001  # fail open: Flask tries it all again
            self._generation.note_internal_error("lookup", error)
        if ask is None or answer is None:
            environ[HANDED] = Handed(Told(environ, own_id, started), body, ask)
            return self._application(environ, start_response)
        if self._account is not None:
            self._account.tell_hit(environ, own_id, started, ask, answer)
        start_response(_STATUS_LINES[answer.status], answer.headers)
        return [answer.body]

    def _readable_length(self, environ: dict[str, Any]) -> int | None:
        """The length of a body that can be read as it is; None: that takes more than is done here."""
        text = environ.get("CONTENT_LENGTH", "")
        # Isdecimal takes other scripts' digits, which int() takes, too; no server passes them on.
        if not text.isdecimal() or environ.get("CONTENT_TYPE", "")[:10].lower() == "multipart/":
            return None
        length = int(text)
        return length if length <= self._max_body_bytes else None


def handed(environ: dict[str, Any]) -> Handed | None:
    """What the lean entry handed on with a request, if it went through it."""
    found = environ.get(HANDED)
    return found if isinstance(found, Handed) else None
