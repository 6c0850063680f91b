"""The health check of the container: asks the service whether it is alive, and can end it when it is not.

Container engines restart a container that exits, but not one that is unhealthy. With `--end-after=3`, the third
failure in a row sends SIGTERM to the first process of the container: the service drains within its grace period, the
container exits, and its restart policy starts it again. Failures before the first success do not count, so that a slow
start is not ended.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
from pathlib import Path

#: Seconds for one answer: one less than the engine's own limit.
TIMEOUT_SECONDS = 4


def is_alive(port: int) -> bool:
    """Whether the service answers `/healthz` with 200. Loopback, so no proxy of the environment is involved."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def count_failure(state: Path) -> int:
    """The number of failures in a row, this one included; 0 before the first success."""
    try:
        failures = int(state.read_text()) + 1
    except (OSError, ValueError):
        return 0
    state.write_text(str(failures))
    return failures


def main() -> int:
    """Check once.

    Returns:
        The exit status: 0 if the service is alive, 1 if it is not.
    """
    parser = argparse.ArgumentParser(description="Check that Recoup is alive.")
    parser.add_argument("--port", type=int, default=int(os.environ.get("RECOUP_PORT") or 8080))
    parser.add_argument("--end-after", type=int, metavar="FAILURES", help="end the service after so many failures")
    parser.add_argument("--process", type=int, default=1, help="the process that ends the service")
    parser.add_argument("--state", type=Path, default=Path("/tmp/recoup-health"), help="where failures are counted")  # noqa: S108
    given = parser.parse_args()
    if is_alive(given.port):
        given.state.write_text("0")
        return 0
    if given.end_after is not None and count_failure(given.state) >= given.end_after:
        os.kill(given.process, signal.SIGTERM)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
