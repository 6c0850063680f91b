"""The attacked service: a real one on a free loopback port, in a memory group, ended by its processes' ids."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hostile.client import Address, Answer, Headers, ask, request
from benchmarks.hostile.memory_group import MemoryGroup, proportional_bytes
from benchmarks.servers import free_port

_ROOT = Path(__file__).parent.parent.parent
_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_END_SECONDS = 45.0
_POLL_SECONDS = 0.05

#: Every pipeline that an attack needs. `UPSTREAM` is the address of the scripted upstream.
PIPELINES = """
[pipelines.probe]
kind = "python"
callable = "benchmarks.generators:two_kilobytes"
max_concurrent = 1

[pipelines.digest]
kind = "python"
callable = "benchmarks.hostile.generators:digest"
max_concurrent = 1
timeout_seconds = 20

[pipelines.keyed]
kind = "python"
callable = "benchmarks.hostile.generators:once"
key_headers = ["Cookie", "X-Forwarded-User", "X-Tenant"]
max_concurrent = 1

[pipelines.slow]
kind = "python"
callable = "benchmarks.hostile.generators:slow"
max_concurrent = 1
timeout_seconds = 40

[pipelines.large]
kind = "python"
callable = "benchmarks.hostile.generators:large"
max_concurrent = 1

[pipelines.page]
kind = "python"
callable = "benchmarks.hostile.generators:page"
max_concurrent = 1

[pipelines.environment]
kind = "python"
callable = "benchmarks.hostile.generators:environment"
max_concurrent = 1

[pipelines.mirror]
kind = "http"
url = "http://UPSTREAM/mirror"
key_headers = ["Authorization"]
max_concurrent = 4
timeout_seconds = 5

[pipelines.fetched]
kind = "http"
url = "http://UPSTREAM/fetched"
method = "GET"
timeout_seconds = 5

[pipelines.fixed]
kind = "http"
url = "http://UPSTREAM/fixed?model=ours"
timeout_seconds = 5

[pipelines.relief]
kind = "relief"
workers = 2
timeout_seconds = 30
"""

#: Where starting fast is all that matters.
ONE_PIPELINE = """
[pipelines.large]
kind = "python"
callable = "benchmarks.hostile.generators:large"
max_concurrent = 1
"""


@dataclass(frozen=True, slots=True)
class Options:
    """How the service is started; see `Attack`."""

    pipelines: str
    environment: Mapping[str, str]
    resources: str = ""
    stalled_stderr: bool = False


@dataclass(slots=True)
class Service:
    """A service that was started.

    Attributes:
        process: Its main process.
        address: Where it listens.
        log: The file of what it wrote on standard error; empty where nobody reads that.
    """

    process: subprocess.Popen[bytes]
    address: Address
    log: Path

    def pids(self) -> list[int]:
        """All of its processes that run now."""
        return [self.process.pid, *_descendants(self.process.pid)]

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used so far."""
        return sum(map(_cpu_seconds, self.pids()))

    def memory_bytes(self) -> int:
        """What its processes hold in memory now."""
        return sum(map(proportional_bytes, self.pids()))

    def descriptors(self) -> int:
        """Open files of the process that has most of them."""
        return max(map(_open_files, self.pids()))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    async def post(self, pipeline: str, body: bytes, headers: Headers = (), *, seconds: float = 30.0) -> Answer:
        """Ask a pipeline."""
        return await ask(self.address, request("POST", f"/api/generate/{pipeline}", body, headers), seconds=seconds)

    async def get(self, path: str, headers: Headers = (), *, seconds: float = 30.0) -> Answer:
        """GET a path."""
        return await ask(self.address, request("GET", path, headers=headers), seconds=seconds)

    async def stats(self, headers: Headers = ()) -> dict[str, Any]:
        """The cache's statistics; empty where they cannot be had."""
        answer = await self.get("/api/cache/stats", headers)
        if answer.status != "200":
            return {}
        stats: dict[str, Any] = json.loads(answer.body)
        return stats


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _started_at(pid: int) -> str | None:
    """What tells a process from another one that later has its id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


@contextlib.contextmanager
def started(options: Options, group: MemoryGroup | None = None, port: int | None = None) -> Iterator[Service]:
    """A service whose main process was started; it need not answer yet. It has ended when the block does."""
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        service = _start(options, group, port, Path(folder))
        try:
            yield service
        finally:
            pids = (*service.pids(), *(group.pids() if group is not None else ()))
            family = {pid: _started_at(pid) for pid in pids}
            _end(service, family)


def _start(options: Options, group: MemoryGroup | None, port: int, folder: Path) -> Service:
    pipelines, log = folder / "pipelines.toml", folder / "stderr"
    pipelines.write_text(options.pipelines)
    log.touch()
    command = [sys.executable, "-m", "recoup", "serve"]
    if options.resources:
        command = ["/bin/sh", "-c", f'ulimit {options.resources} && exec "$@"', "sh", *command]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "RECOUP_PIPELINES": str(pipelines),
        "RECOUP_HOST": _HOST,
        "RECOUP_PORT": str(port),
        "RECOUP_LOG_FORMAT": "json",
        **options.environment,
    }
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command if group is None else group.wrap(command),
            env=environment,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if options.stalled_stderr else stderr,
        )
    service = Service(process, (_HOST, port), log)
    if group is not None:
        group.watch(service.pids, process.kill)
    return service


def _end(service: Service, family: Mapping[int, str | None]) -> None:
    """End it as an operator would; what is left of its family after that, by id."""
    service.signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        service.process.wait(_END_SECONDS)
    for pid, began in family.items():
        if began is not None and _started_at(pid) == began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    service.process.wait(_END_SECONDS)
    if service.process.stderr is not None:
        service.process.stderr.close()


async def ready(service: Service) -> bool:
    """Wait until it answers; False if it ended or did not begin in a minute."""
    until = time.monotonic() + _START_SECONDS
    while service.process.poll() is None and time.monotonic() < until:
        if (await service.get("/readyz", seconds=5)).status == "200":
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False
