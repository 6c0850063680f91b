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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise AssertionError(f"ended with {service.process.returncode}:\n{service.output()}")
        try:
            service.get("/readyz")
        except OSError:  # refused so far, or 503: not ready
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise AssertionError(f"not ready within {PATIENCE} s:\n{service.output()}")


@contextmanager
def serving(*command: str | Path, folder: Path) -> Iterator[Service]:
    """Run a command that serves, in a folder, with nothing in its environment but the port."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=kept | {"RECOUP_PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    service = Service(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(service)
        yield service
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
