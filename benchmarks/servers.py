"""The servers that the benchmarks compare, each started on a free loopback port and ended by its own process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60
_ROOT = Path(__file__).parent.parent

_PIPELINES = """
[pipelines.bench]
kind = "python"
callable = "benchmarks.generators:two_kilobytes"
max_concurrent = 1

[pipelines.large]
kind = "python"
callable = "benchmarks.generators:as_long_as_it_says"
max_concurrent = 1

[pipelines.slow]
kind = "python"
callable = "benchmarks.generators:sleep"
max_concurrent = 1
timeout_seconds = 120

[pipelines.spin]
kind = "python"
callable = "benchmarks.generators:spin"
max_concurrent = 2
timeout_seconds = 60
"""

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=hits:10m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_cache hits;
            proxy_cache_methods POST;
            proxy_cache_key "$request_uri|$request_body";
            proxy_cache_valid 200 1d;
            proxy_ignore_headers Cache-Control Expires Vary;
        }}
    }}
}}
"""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def post(url: str, body: bytes, timeout: float = 60) -> bytes:
    """POST a body and give the answer's."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        content: bytes = answer.read()
    return content


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: its base URL, and its process."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far, with the processes that it started."""
        return sum(_cpu_seconds(pid) for pid in (self.pid, *_descendants(self.pid)))

    def worker_cpu_seconds(self) -> float:
        """What of it the generation workers have used: the serving process' children."""
        return sum(_cpu_seconds(pid) for pid in _descendants(self.serving_pid()))

    def serving_pid(self) -> int:
        """The process that answers: of those that the main process started, the one with most threads."""
        return max(_children(self.pid), key=lambda pid: len(list(Path(f"/proc/{pid}/task").iterdir())))

    def resident_bytes(self) -> int:
        """What the serving process holds in memory; of a page that it shares with others, its share."""
        rollup = Path(f"/proc/{self.serving_pid()}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) * 1024


def _cpu_seconds(pid: int) -> float:
    # The fields after the command's name, which may hold anything; the 12th and 13th are user and system time.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


@contextlib.contextmanager
def _process(command: list[str], url: str, environment: dict[str, str]) -> Iterator[int]:
    """A server that answers at `url`, until the block ends; gives its process id."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer at {url}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def recoup(**settings: str) -> Iterator[Server]:
    """The service with the benchmarks' pipelines."""
    with tempfile.TemporaryDirectory() as folder:
        pipelines = Path(folder, "pipelines.toml")
        pipelines.write_text(_PIPELINES)
        port = free_port()
        environment = {
            "PYTHONPATH": str(_ROOT),
            "RECOUP_PIPELINES": str(pipelines),
            "RECOUP_PORT": str(port),
            "RECOUP_LOG_FORMAT": "json",
            **settings,
        }
        url = f"http://127.0.0.1:{port}"
        with _process([sys.executable, "-m", "recoup", "serve"], f"{url}/readyz", environment) as pid:
            yield Server(url, pid)


@contextlib.contextmanager
def flask_caching() -> Iterator[str]:
    """Flask-Caching's `SimpleCache` on gunicorn gthread with 16 threads; gives its base URL."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", "16",
               "--keep-alive", "60", "--bind", f"127.0.0.1:{port}", "benchmarks.flask_caching_app:app"]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with _process(command, url, {"PYTHONPATH": str(_ROOT)}):
        yield url


@contextlib.contextmanager
def nginx(upstream: str) -> Iterator[str]:
    """nginx `proxy_cache` in front of another server, on one process; gives its base URL."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise FileNotFoundError("nginx is not installed")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream.rpartition(":")[2]))
        os.chmod(folder, 0o755)
        with _process([binary, "-p", folder, "-c", str(configuration)], f"http://127.0.0.1:{port}", {}):
            yield f"http://127.0.0.1:{port}"
