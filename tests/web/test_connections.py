"""How many connections there may be, and what happens when there are as many."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from recoup.errors import ConfigurationError
from recoup.listener import MOST_CONNECTIONS, connections_for, listen

from .raw import connect, head_of, post
from .running import PATIENCE, PIPELINES, Running, free_port


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [
        (resource.RLIM_INFINITY, MOST_CONNECTIONS),
        (2**20, MOST_CONNECTIONS),
        (4096, 3584),
        (1024, 512),
        (256, 128),
        (16, 16),
    ],
)
def test_connections_leave_descriptors_for_everything_else(descriptors: int, connections: int) -> None:
    assert connections == connections_for(descriptors)


def test_a_port_is_shared_with_nobody() -> None:
    with (
        listen("127.0.0.1", 0) as listener,
        pytest.raises(ConfigurationError, match=r"cannot listen on 127\.0\.0\.1 port"),
    ):
        listen("127.0.0.1", listener.getsockname()[1])


def test_a_port_is_free_again_at_once_although_connections_linger() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        listener.setblocking(True)
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
    listen("127.0.0.1", port).close()


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1 port 1: "):
        listen("192.0.2.1", 1)


def test_at_the_limit_of_open_files_those_who_are_connected_are_served_and_the_rest_wait(tmp_path: Path) -> None:
    """With 256 files at most 128 connections are taken; the others are not lost, and the log says so at the start."""
    (tmp_path / "pipelines.toml").write_text(PIPELINES)
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    given = {"PYTHONPATH": str(Path(__file__).parent), "RECOUP_PIPELINES": "pipelines.toml", "RECOUP_PORT": str(port)}
    process = subprocess.Popen(
        ["sh", "-c", f"ulimit -n 256; exec {sys.executable} -m recoup serve --log-format json"],
        cwd=tmp_path,
        env=kept | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Running(process, port, tmp_path) as service, ExitStack() as stack:
        assert process.stdout is not None
        assert "serves" in process.stdout.readline()
        first = stack.enter_context(connect(port))
        first.sendall(post("/api/generate/quick", b"cat"))
        assert b"200" in head_of(first)
        crowd = [stack.enter_context(connect(port)) for _ in range(300)]
        first.sendall(post("/api/generate/quick", b"cat"))
        assert b"recoup; hit" in head_of(first)
        crowd[-1].sendall(post("/api/generate/quick", b"cat"))
        for connection in crowd[:-1]:
            connection.close()
        assert b"recoup; hit" in head_of(crowd[-1])
        assert 200 == service.ask("GET", "/healthz").status
        service.signal()
        _, errors = process.communicate(timeout=PATIENCE)
    assert "few files may be open, so few connections" in errors
