"""A service as a user starts it: its own processes, a free port, and pipes to meet its generators."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

#: Seconds that anything may take on a busy machine with two cores.
PATIENCE = 60.0

PIPELINES = """
[pipelines.meet]
kind = "python"
callable = "generators:meet"
max_concurrent = 2
max_waiting = 0
[pipelines.late]
kind = "python"
callable = "generators:meet"
max_concurrent = 1
timeout_seconds = 2
[pipelines.quick]
kind = "python"
callable = "generators:quick"
max_concurrent = 1
"""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Meeting:
    """One generation of the pipeline `meet`, between its beginning and its end."""

    def __init__(self, place: Path) -> None:
        self.body = str(place).encode()
        self._begun, self._go = place.with_suffix(".begun"), place.with_suffix(".go")
        os.mkfifo(self._begun)
        os.mkfifo(self._go)
        self.worker = self.server = 0

    def wait_until_begun(self) -> None:
        """Wait for the generator; note its process and the serving one."""
        self.worker, self.server = map(int, self._begun.read_text().split())

    def let_go(self, word: str = "on") -> None:
        """Let the generator end."""
        self._go.write_text(word)


class Running:
    """A service that was started."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self._folder = folder
        self._pool = ThreadPoolExecutor(256)
        self._meetings = 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def post(self, pipeline: str, body: bytes, **headers: str) -> Reply:
        return self.ask("POST", f"/api/generate/{pipeline}", body, **headers)

    def posting(self, pipeline: str, body: bytes) -> Future[Reply]:
        """A request in the background."""
        return self._pool.submit(self.post, pipeline, body)

    def meeting(self) -> Meeting:
        self._meetings += 1
        return Meeting(self._folder / f"meeting-{self._meetings}")

    def generating(self, pipeline: str = "meet") -> tuple[Meeting, Future[Reply]]:
        """A generation that has begun, and the request that waits for it."""
        meeting = self.meeting()
        reply = self.posting(pipeline, meeting.body)
        meeting.wait_until_begun()
        return meeting, reply

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self._pool.shutdown(wait=False, cancel_futures=True)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start(folder: Path, port: int, *options: str, **environ: str) -> subprocess.Popen[str]:
    """Start `python -m recoup serve` with the pipelines of this module."""
    pipelines = folder / "pipelines.toml"
    if not pipelines.exists():
        pipelines.write_text(PIPELINES)
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    given = {"PYTHONPATH": str(Path(__file__).parent), "RECOUP_PIPELINES": str(pipelines), "RECOUP_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-m", "recoup", "serve", *options],
        cwd=folder,
        env=kept | given | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[Running]:
    """A service that answers."""
    port = free_port()
    service = Running(start(folder, port, **environ), port, folder)
    # A full pipe would hold up its log.
    threading.Thread(target=_read_away, args=(service.process.stderr,), daemon=True).start()
    try:
        assert service.process.stdout is not None
        first = service.process.stdout.readline()
        assert "serves" in first, f"ended with {service.process.poll()}"
        yield service
    finally:
        service.close()


def _read_away(stream: Iterator[str]) -> None:
    try:
        for _ in stream:
            pass
    except ValueError:
        return  # closed at the test's end


def wait_until_gone(*processes: int) -> None:
    """Wait until processes that are not our children have ended."""
    deadline = time.monotonic() + PATIENCE
    while any(_exists(process) for process in processes):
        assert time.monotonic() < deadline, f"{processes} have not ended"
        time.sleep(0.01)


def _exists(process: int) -> bool:
    try:
        # A process that nobody has waited for yet has ended all the same.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
