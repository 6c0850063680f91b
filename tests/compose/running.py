"""Running commands, and waiting for what takes a while."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.1


class CheckError(Exception):
    """Something is not as it must be; the text says what."""


def run(*command: str | Path, environment: Mapping[str, str] | None = None, give: str | None = None) -> str:
    """Run a command to its end and give its standard output.

    Raises:
        CheckError: It failed; says how.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, env=environment, input=give, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckError(
            f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout.strip()


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """Look again and again until there is something, and give it.

    Raises:
        CheckError: There was nothing in time.
    """
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            if answer := look():
                return answer
        except OSError as error:
            seen = error
        time.sleep(_POLL_SECONDS)
    raise CheckError(f"{what}: not within {seconds:g} s{f' ({seen})' if seen else ''}")


def expect(what: str, expected: object, actual: object) -> None:
    """Tell that something is as it must be.

    Raises:
        CheckError: It is not.
    """
    if expected != actual:
        raise CheckError(f"{what}: expected {expected!r}, but it is {actual!r}")
    tell(f"ok    {what}: {actual}")


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
