"""How many connections there may be, and what happens when there are as many."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from recoup.errors import ConfigurationError
from recoup.listener import MOST_CONNECTIONS, connections_for, listen

from .raw import connect, head_of, post
from .running import PATIENCE, PIPELINES, Running, free_port
from .test_slow_peers import serving_process, wait_until


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
    with few_files(tmp_path, PIPELINES) as (service, said), ExitStack() as stack:
        first = stack.enter_context(connect(service.port))
        first.sendall(post("/api/generate/quick", b"cat"))
        assert b"200" in head_of(first)
        crowd = [stack.enter_context(connect(service.port)) for _ in range(300)]
        first.sendall(post("/api/generate/quick", b"cat"))
        assert b"recoup; hit" in head_of(first)
        crowd[-1].sendall(post("/api/generate/quick", b"cat"))
        for connection in crowd[:-1]:
            connection.close()
        assert b"recoup; hit" in head_of(crowd[-1])
        assert 200 == service.ask("GET", "/healthz").status
        wait_until(lambda: said("few files may be open, so few connections"))


def test_when_connections_run_out_the_log_says_so_once_and_nothing_spins(tmp_path: Path) -> None:
    with few_files(tmp_path, PIPELINES) as (service, said), ExitStack() as stack:
        process = serving_process(service)
        crowd = [stack.enter_context(connect(service.port)) for _ in range(300)]
        began, used = time.monotonic(), processor_seconds(process)
        wait_until(lambda: said("connections wait: no more are accepted"))
        waited, used = time.monotonic() - began, processor_seconds(process) - used
        assert used < max(0.5, waited / 4)
        for connection in crowd:
            connection.close()
        assert 200 == service.ask("GET", "/healthz").status
        (line,) = said("connections wait: no more are accepted")
    assert (128, True) == (line["connections_limit"], line["waiting"] > 0)


def test_without_files_for_its_upstream_a_request_is_refused_as_one_too_many(tmp_path: Path) -> None:
    """Each takes two files here: they run out before the connections do. That is not the upstream's failure."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent, ExitStack() as stack:
        passthrough = f'[[passthrough]]\npath = "/up/*"\nurl = "http://127.0.0.1:{silent.getsockname()[1]}/*"\n'
        service, said = stack.enter_context(few_files(tmp_path, PIPELINES + passthrough))
        process = serving_process(service)
        callers = [stack.enter_context(connect(service.port)) for _ in range(300)]
        for caller in callers:
            caller.sendall(b"GET /up/x HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: said("connections wait: no more are accepted"))
        used = processor_seconds(process)
        answered = select.select(callers, [], [], 0)[0]
        heads = [head_of(caller) for caller in answered]
        assert heads, "files did not run out"
        assert {b"HTTP/1.1 503 Service Unavailable"} == {head.partition(b"\r\n")[0] for head in heads}
        assert all(b"\r\nretry-after: " in head for head in heads)
        for caller in callers:
            caller.close()
        wait_until(lambda: service.post("quick", b"cat").status == 200)
        assert processor_seconds(process) - used < 5


Said = Callable[[str], list[dict[str, Any]]]


@contextmanager
def few_files(folder: Path, pipelines: str) -> Iterator[tuple[Running, Said]]:
    """A service that may open 256 files, and the lines of its log with an event."""
    (folder / "pipelines.toml").write_text(pipelines)
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    given = {"PYTHONPATH": str(Path(__file__).parent), "RECOUP_PIPELINES": "pipelines.toml", "RECOUP_PORT": str(port)}
    process = subprocess.Popen(
        ["sh", "-c", f"ulimit -n 256; exec {sys.executable} -m recoup serve --log-format json"],
        cwd=folder,
        env=kept | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()
    with Running(process, port, folder) as service:
        assert "serves" in process.stdout.readline()
        yield service, lambda event: [line for line in map(json.loads, lines) if line["event"] == event]
        service.signal()
        service.wait()
        reader.join(PATIENCE)


def processor_seconds(process: int) -> float:
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
