"""`python -m tests.compose`: make the images, bring the stack up, check it, take everything away."""

from __future__ import annotations

import sys
import time

from .checks import CHECKS, becomes_healthy
from .engine import Engine, engine
from .images import make_base, make_ours, make_stand_in
from .running import CheckError, tell
from .stack import PROFILE, Stack, compose_file, derived, stays


def main() -> int:
    """Run it all.

    Returns:
        The exit status: 0 when everything is as it must be.
    """
    begun = time.monotonic()
    try:
        with engine() as started:
            _make_images(started)
            _check(Stack(started))
    except (CheckError, OSError) as error:
        tell(f"FAILED {error}")
        return 1
    tell(f"all is well, after {time.monotonic() - begun:.0f} s. Not run, because nothing can stand in for it: Grafana")
    return 0


def _make_images(started: Engine) -> None:
    make_base(started)
    for name, service in derived()["services"].items():
        build = compose_file()["services"][name].get("build")
        if build is None:
            make_stand_in(started, service["image"])
        else:
            make_ours(started, service["image"], build["dockerfile"])


def _check(stack: Stack) -> None:
    try:
        stack.compose("up", "--detach")
        becomes_healthy(stack, *stays())
        for check in CHECKS:
            check(stack)
    except (CheckError, OSError):
        tell(stack.compose("logs", "--no-color", "--tail=40", COMPOSE_PROFILES=PROFILE))
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout=5", COMPOSE_PROFILES=PROFILE)


if __name__ == "__main__":
    sys.exit(main())
