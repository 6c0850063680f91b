"""The types of problem that this API answers with: what each means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from recoup.errors import (
    BadRequestError,
    BodyTimeoutError,
    ConfigurationError,
    FlightTimeoutError,
    GenerationError,
    GenerationTimeoutError,
    NotAuthorizedError,
    NotCachedError,
    NotFoundError,
    NotImplementedHereError,
    OverloadedError,
    QueueFullError,
    RecoupError,
    RequestError,
    TooLargeError,
    UnprocessableError,
    UnsupportedMediaError,
    UpstreamError,
    WorkerDiedError,
)

#: The type of a problem that says no more than its status does (RFC 9457, section 4.2.1).
BLANK = "about:blank"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type of problem.

    Attributes:
        slug: Its name within the type's URI and on the docs page.
        error: The error that becomes it, and with it every error below that has no type of its own.
        meaning: What happened, as a sentence.
        remedy: What the caller can do, as a sentence.
        status: The HTTP status, as text; `4xx` stands for the upstream's own.
    """

    slug: str
    error: type[RecoupError]
    meaning: str
    remedy: str
    status: str = ""

    @property
    def uri(self) -> str:
        """The type's URI: a reference with its full path, to the place in the docs page that tells of it."""
        return f"/docs#problem-{self.slug}"

    @property
    def title(self) -> str:
        """The short, constant summary."""
        return self.error.title

    @property
    def statuses(self) -> str:
        """The statuses it comes with, as text."""
        return self.status or str(self.error.status)


PROBLEM_TYPES: tuple[ProblemType, ...] = (
    ProblemType(
        "bad-request",
        RequestError,
        "The request is malformed: bad JSON, a wrong type, an unknown field or query member, a value out of range.",
        "Read `detail` and `errors`, mend the request and send it again. Nothing was changed.",
    ),
    ProblemType(
        "unusable-configuration",
        ConfigurationError,
        "A limit that the cache cannot work with.",
        "Read `detail`. No part of the change was made.",
    ),
    ProblemType(
        "not-authorized",
        NotAuthorizedError,
        "The management API was called without its token, with a wrong one, or, where no token is set, "
        "from elsewhere than this machine.",
        "Send `Authorization: Bearer TOKEN`, with the token that the service was started with (`RECOUP_ADMIN_TOKEN`).",
    ),
    ProblemType(
        "not-found",
        NotFoundError,
        "There is no such pipeline, key or path.",
        "`GET /api/pipelines` names the pipelines, `GET /api/cache/entries` the keys.",
    ),
    ProblemType(
        "body-timeout",
        BodyTimeoutError,
        "The body did not arrive in time.",
        "Send it faster, or raise `RECOUP_BODY_TIMEOUT_SECONDS`.",
    ),
    ProblemType(
        "too-large",
        TooLargeError,
        "The body is over the limit.",
        "Send a smaller one, or raise the limit where the service is configured.",
    ),
    ProblemType(
        "unsupported-media",
        UnsupportedMediaError,
        "The body is of a media type that is not taken here.",
        "Send one of those in `allowed`, and name it in `Content-Type`.",
    ),
    ProblemType(
        "not-implemented",
        NotImplementedHereError,
        "The request asks for another protocol (WebSocket), which is not passed on.",
        "Use the upstream's HTTP interface, or connect to the upstream itself for this.",
    ),
    ProblemType(
        "unprocessable",
        UnprocessableError,
        "The request is well-formed but cannot be generated: an image that cannot be decoded, a value out of bounds.",
        "Read `detail`; the same request will always fail.",
    ),
    ProblemType(
        "generation-failed",
        GenerationError,
        "The generator raised an error, or gave something that is not a result. Nothing was stored.",
        "Try again; if it fails again, the generator needs mending.",
    ),
    ProblemType(
        "worker-died",
        WorkerDiedError,
        "The worker process that was generating is gone. It failed this request alone, and is replaced.",
        "Try again; if the same request fails again, it is too much for the worker (memory, most often).",
    ),
    ProblemType(
        "upstream-failed",
        UpstreamError,
        "The upstream of an `http` pipeline answered with an error, which is passed on and not stored.",
        "Read `upstream_status` and `upstream_body`; after 429 and 503 wait for `Retry-After`.",
        status="4xx, 502 or 503",
    ),
    ProblemType(
        "queue-full",
        QueueFullError,
        "As many generations are running and waiting as the pipeline allows.",
        "Wait for `Retry-After` seconds and try again.",
    ),
    ProblemType(
        "overloaded",
        OverloadedError,
        "Bodies, results and upstreams' answers on their way hold all the memory that they may "
        "(`RECOUP_IN_FLIGHT_MB`).",
        "Wait for `Retry-After` seconds and try again.",
    ),
    ProblemType(
        "generation-timeout",
        GenerationTimeoutError,
        "The generation ran past the pipeline's time limit and was ended.",
        "Ask for less (a lower quality), or raise the pipeline's time limit.",
    ),
    ProblemType(
        "flight-timeout",
        FlightTimeoutError,
        "The same request was being generated for somebody else, and took longer than a caller may wait for it.",
        "Try again: the result may be stored by then.",
    ),
    ProblemType(
        "not-cached",
        NotCachedError,
        "The request says `Cache-Control: only-if-cached`, and there is no stored result.",
        "Leave `only-if-cached` out to have it generated.",
    ),
)

#: Statuses that a web framework raises by itself, and the errors of ours that say the same.
STATUS_ERRORS: dict[int, type[RequestError]] = {
    400: BadRequestError,
    401: NotAuthorizedError,
    404: NotFoundError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: UnprocessableError,
}

_BY_ERROR = {problem.error: problem for problem in PROBLEM_TYPES}


def type_of(error: type[BaseException]) -> ProblemType | None:
    """The type of problem that a class of errors becomes; None: it says no more than its status."""
    return next((_BY_ERROR[cls] for cls in error.__mro__ if cls in _BY_ERROR), None)


def slug_of(error: BaseException) -> str:
    """The name of the type of problem that an error becomes; of one without a type: what its status is called."""
    problem = type_of(type(error)) or type_of(STATUS_ERRORS.get(getattr(error, "code", None) or 0, Exception))
    return getattr(error, "name", "error").lower().replace(" ", "-") if problem is None else problem.slug
