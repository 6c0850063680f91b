"""The tree of errors. Everything that Recoup raises on purpose descends from `RecoupError`.

    RecoupError
    ├── ConfigurationError            a limit or an option that cannot be used (also a ValueError)
    │   ├── SettingError              an environment variable: its name, its value, what is expected
    │   │   └── UnknownSettingError   an environment variable that is none of Recoup's
    │   └── SeveralMistakesError      several of these at once
    ├── KeyDigestError                an argument that cannot be part of a key (also a TypeError)
    ├── UnmeasurableError             a value whose bytes cannot be measured without a sizer (also a TypeError)
    ├── FlightTimeoutError            a caller waited its limit for another caller's generation (also a TimeoutError)
    ├── RequestError                  a request that is refused before anything is generated
    │   ├── BadRequestError           400
    │   ├── NotAuthorizedError        401
    │   ├── NotFoundError             404
    │   ├── BodyTimeoutError          408
    │   ├── TooLargeError             413
    │   ├── UnsupportedMediaError     415
    │   ├── UnprocessableError        422
    │   └── NotImplementedHereError   501
    └── GenerationError               a generation that did not give a result
        ├── GenerationFailedError     502: the generator raised, or gave something that is not a result
        │   ├── SelfDependencyError   502: it waits for its own result (also a RuntimeError)
        │   ├── OneShotResultError    502: it gave what can be read only once (also a TypeError)
        │   ├── WorkerDiedError       502: its worker process is gone
        │   └── UpstreamError         what the upstream of an `http` pipeline answered, passed on
        │       ├── UpstreamRefusedError  its 4xx: the caller's fault, not the generator's
        │       └── StreamCutError        an answer that broke off after it had begun
        ├── QueueFullError            503: no room to generate now
        │   └── OverloadedError       503: too much is on its way
        ├── GenerationTimeoutError    504: past the pipeline's time limit (also a TimeoutError)
        └── NotCachedError            504: `only-if-cached`, and it is not

`status` is the HTTP status that an error becomes. `kind` is its value as the label `error` of
`recoup_generation_failures_total`: a short, bounded vocabulary (`GENERATION_ERROR_KINDS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from recoup.fields import closest, refusal

#: Every value that the label `error` of `recoup_generation_failures_total` can take.
GENERATION_ERROR_KINDS = (
    "error",
    "rejected",
    "worker_died",
    "upstream",
    "refused",
    "queue_full",
    "timeout",
    "cancelled",
)


class RecoupError(Exception):
    """The base of every error that Recoup raises on purpose."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"


class ConfigurationError(RecoupError, ValueError):
    """A limit or an option that cannot be used; nothing was changed."""

    status = 400
    title = "Unusable configuration"


class SettingError(ConfigurationError):
    """An environment variable that cannot be used.

    Args:
        name: The variable's name.
        shown: What it holds, as a message may repeat it: quoted, or hidden.
        expected: What it must be, as a phrase.
    """

    def __init__(self, name: str, shown: str, expected: str) -> None:
        super().__init__(refusal(name, shown, expected))
        self.name = name
        self.expected = expected


class UnknownSettingError(SettingError):
    """An environment variable that begins as Recoup's do and is none of them. What it holds is not shown.

    Args:
        name: The variable's name.
        known: The names that there are.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        near = closest(name, known, cutoff=0)
        ConfigurationError.__init__(self, f"Unknown variable {name}; did you mean {near}?")
        self.name = name
        self.expected = f"{near}"


class SeveralMistakesError(ConfigurationError):
    """Several mistakes at once, each on a line of its own.

    Args:
        mistakes: The errors, in the order in which they are to be read.
    """

    def __init__(self, mistakes: Sequence[ConfigurationError]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


class KeyDigestError(RecoupError, TypeError):
    """An argument that cannot be part of a key, because it has no canonical form."""

    title = "Undigestible argument"


class UnmeasurableError(RecoupError, TypeError):
    """A value that owns memory which cannot be seen: a `sizer` is needed to measure its bytes."""

    title = "Unmeasurable value"


class FlightTimeoutError(RecoupError, TimeoutError):
    """A caller waited its limit for the generation that another caller leads."""

    status = 504
    title = "Waited too long for a generation in progress"


class RequestError(RecoupError):
    """A request that is refused before anything is generated. A refused request changes nothing.

    Args:
        message: What is wrong, and what would be right.
        errors: Every single thing that is wrong, for a program: `detail`, and `pointer` (a JSON pointer into the
            body) or `parameter` (the name of a query member).
        allowed: What is allowed instead, where that is a short list of words.
    """

    status = 400
    title = "Bad request"
    kind: ClassVar[str] = "rejected"

    def __init__(
        self, message: str = "", *, errors: Sequence[Mapping[str, str]] = (), allowed: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.errors = tuple(dict(error) for error in errors)
        self.allowed = tuple(allowed)


class BadRequestError(RequestError):
    """Malformed: bad JSON, a wrong type, an unknown field or parameter."""


class NotAuthorizedError(RequestError):
    """No token, or a wrong one."""

    status = 401
    title = "Not authorized"


class NotFoundError(RequestError):
    """No such pipeline, key or path."""

    status = 404
    title = "Not found"


class BodyTimeoutError(RequestError):
    """A body that did not arrive in time."""

    status = 408
    title = "Body too slow"


class TooLargeError(RequestError):
    """A body over the limit."""

    status = 413
    title = "Body too large"


class UnsupportedMediaError(RequestError):
    """A content type that the pipeline does not take."""

    status = 415
    title = "Unsupported media type"


class UnprocessableError(RequestError):
    """Well-formed, but not to be generated: an image that cannot be decoded, a value out of its bounds."""

    status = 422
    title = "Not to be generated"


class NotImplementedHereError(RequestError):
    """A protocol that is not passed on."""

    status = 501
    title = "Not passed on"


class GenerationError(RecoupError):
    """A generation that did not give a result. It is never stored."""

    status = 502
    title = "Generation failed"
    kind: ClassVar[str] = "error"


class GenerationFailedError(GenerationError):
    """The generator raised, or gave something that is not a result."""


class SelfDependencyError(GenerationFailedError, RuntimeError):
    """A generation that waits for its own result: through other threads, or again and again."""

    title = "Waits for itself"


class OneShotResultError(GenerationFailedError, TypeError):
    """A generation that gave what can be read only once: a generator, an iterator, a coroutine, an open file."""

    title = "Can be read only once"


class WorkerDiedError(GenerationFailedError):
    """The worker process that was generating is gone; it fails its own request alone."""

    title = "Worker died"
    kind = "worker_died"


class OwnAnswer(NamedTuple):
    """An upstream's own answer: its status, its headers (names in lower case), its body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class UpstreamError(GenerationFailedError):
    """What the upstream of an `http` pipeline answered instead of a result, passed on and never stored.

    Args:
        message: What happened.
        status: The status to answer with: the upstream's own for 4xx, 503 for its 503, 502 for all else.
        upstream_status: The upstream's status; None when it gave no answer at all.
        upstream_body: The beginning of the upstream's body as text, for the person who reads the problem.
        retry_after_seconds: The upstream's own `Retry-After`, when it gave one.
        www_authenticate: The values of the upstream's `WWW-Authenticate`: how a caller may prove who they are.
        own_answer: The upstream's own answer, where it is passed on as it is.
    """

    title = "Upstream failed"
    kind = "upstream"

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        upstream_status: int | None = None,
        upstream_body: str | None = None,
        retry_after_seconds: int | None = None,
        www_authenticate: tuple[bytes, ...] = (),
        own_answer: OwnAnswer | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # one class, the upstream's own status
        self.upstream_status = upstream_status
        self.upstream_body = upstream_body
        self.retry_after_seconds = retry_after_seconds
        self.www_authenticate = www_authenticate
        self.own_answer = own_answer


class UpstreamRefusedError(UpstreamError):
    """The upstream's 4xx: it refuses the request of its caller, and is in order itself."""

    title = "Refused by the upstream"
    kind = "refused"


class StreamCutError(UpstreamError):
    """An answer that broke off after it had begun: its readers are to see that it is not whole."""

    title = "Broke off"


class QueueFullError(GenerationError):
    """No room to generate now.

    Args:
        message: What is full.
        retry_after_seconds: When to try again: whole seconds, at least 1.
    """

    status = 503
    title = "No room to generate now"
    kind = "queue_full"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, int(retry_after_seconds))


class OverloadedError(QueueFullError):
    """Bodies, results and upstreams' answers on their way hold all the memory that they may."""

    title = "Too much on its way"


class GenerationTimeoutError(GenerationError, TimeoutError):
    """A generation past its pipeline's time limit; it was ended."""

    status = 504
    title = "Generation took too long"
    kind = "timeout"


class NotCachedError(GenerationError):
    """The caller wants a stored result or none (`only-if-cached`), and there is none."""

    status = 504
    title = "Not cached"
    kind = "rejected"
