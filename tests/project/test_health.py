"""The health check of the container, run as an engine runs it, against a real service and against none."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .serving import PATIENCE, Service, free_port, serving
from .tree import ROOT

PROGRAM = ROOT / "service" / "health.py"
Check = Callable[..., int]


@pytest.fixture
def first_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process in the place of the container's first one."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def check(tmp_path: Path, first_process: subprocess.Popen[bytes]) -> Check:
    """Run the check, and give its exit status."""

    def run(port: int, *options: str) -> int:
        command = [sys.executable, "-I", str(PROGRAM), f"--port={port}", f"--process={first_process.pid}"]
        return subprocess.run([*command, f"--state={tmp_path / 'state'}", *options], timeout=PATIENCE).returncode

    return run


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(sys.executable, "-m", "recoup", "serve", folder=tmp_path) as running:
        yield running


def test_a_service_that_answers_is_alive(check: Check, service: Service) -> None:
    assert 0 == check(int(service.url.rpartition(":")[2]), "--end-after=1")


def test_a_port_on_which_nobody_listens_is_a_failure(check: Check) -> None:
    assert 1 == check(free_port())


def test_a_service_that_accepts_and_says_nothing_is_a_failure(check: Check) -> None:
    """As a process does that hangs: the kernel accepts for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert 1 == check(listener.getsockname()[1])


def test_an_answer_that_is_no_http_is_a_failure(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_nonsense, args=(listener,), daemon=True).start()
        assert 1 == check(listener.getsockname()[1])


def answer_nonsense(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"nonsense\r\n\r\n")


def test_the_third_failure_in_a_row_ends_a_service_that_was_alive(
    check: Check, service: Service, first_process: subprocess.Popen[bytes]
) -> None:
    port = int(service.url.rpartition(":")[2])
    for place in (port, free_port(), free_port(), port, free_port(), free_port()):
        check(place, "--end-after=3")
    assert first_process.poll() is None  # two failures, a success, two failures
    check(free_port(), "--end-after=3")
    assert -signal.SIGTERM == first_process.wait(PATIENCE)


def test_a_service_that_never_was_alive_is_not_ended(check: Check, first_process: subprocess.Popen[bytes]) -> None:
    assert [1, 1, 1] == [check(free_port(), "--end-after=1") for _ in range(3)]
    assert first_process.poll() is None


def test_without_the_option_nothing_is_ended(
    check: Check, service: Service, first_process: subprocess.Popen[bytes]
) -> None:
    check(int(service.url.rpartition(":")[2]))
    assert [1, 1, 1] == [check(free_port()) for _ in range(3)]
    assert first_process.poll() is None
