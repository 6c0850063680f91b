"""Whether a run can take place on a service that runs already: told before it begins, in a sentence."""

from __future__ import annotations

from loadtest.control import Control
from loadtest.plan import Call
from loadtest.processes import ProcessError

_CONFIG = "/api/cache/config"


def require(service: str, token: str | None) -> None:
    """Make sure that a service answers, and lets the run configure its cache.

    Args:
        service: Its base URL.
        token: The bearer token of its management API; empty or None: none was given.

    Raises:
        ProcessError: It does not; says what is missing.
    """
    status, body = Control(service, token).send(Call(_CONFIG, _CONFIG, method="GET"))
    if status == 401:
        what = "is not the one that it knows" if token else "is not set"
        raise ProcessError(
            f"{service} does not let the load test configure its cache: RECOUP_ADMIN_TOKEN {what}.\n"
            "Start the service with a token, and the load test with the same one."
        )
    if status != 200:
        raise ProcessError(f"{service}{_CONFIG} was answered with {status or 'nothing'}: {body[:500]!r}")
