"""A service of its own for one test: started as a user starts it, asked over HTTP, ended by SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Seconds that a start and an end may take on a busy machine with two cores.
PATIENCE = 60
_POLL_SECONDS = 0.05
#: What a command keeps of the environment of the tests.
_KEPT = {"PATH", "HOME", "LANG"}


@dataclass
class Service:
    """A running service: where it answers, its process, and where its output goes."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return answer.status, answer.read()

    def end(self) -> int:
        """Ask it to end, as a supervisor does, and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


def plain_environment() -> dict[str, str]:
    """The environment of somebody who has set nothing."""
    return {name: value for name, value in os.environ.items() if name in _KEPT}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(service: Service, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise AssertionError(f"ended with {service.process.returncode}:\n{service.output()}")
        try:
            service.get(path)
        except OSError:  # refused so far, or 503: not ready
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise AssertionError(f"not ready within {PATIENCE} s:\n{service.output()}")


@contextmanager
def running(command: list[str], port: int, ready: str, folder: Path, **environment: str) -> Iterator[Service]:
    """Run a command that listens on a port of loopback, until the block ends; all its processes end with it.

    Args:
        ready: The path that answers 200 when it is ready.
        environment: Beside what everybody has.
    """
    log = folder / f"port-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=plain_environment() | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(service, ready)
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE)


@contextmanager
def serving(*command: str | Path, folder: Path, **environment: str) -> Iterator[Service]:
    """Run a command that serves, in a folder, with nothing in its environment but the port and what is given."""
    port = free_port()
    words = [str(part) for part in command]
    with running(words, port, "/readyz", folder, RECOUP_PORT=str(port), **environment) as service:
        yield service
