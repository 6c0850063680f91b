"""The processes of a run: a service and a Prometheus of its own, on free loopback ports, ended by their own ids."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import urllib3

from loadtest import chat

ROOT = Path(__file__).parents[1]
#: Seconds that a start or an end may take on a busy machine.
PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05
#: What the committed recording rules look back over.
WINDOW_SECONDS = 300.0
#: Of the environment, what a service of the run's own gets; its settings are the run's.
_PASSED_ON = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR"})


#: The event that the service logs when it ends, and what its members say of which outcome.
_LAST_WORD = "service stopped"
_OUTCOMES = {"hit": "hits", "stale": "stale", "coalesced": "coalesced", "miss": "misses", "bypass": "bypassed"}


class ProcessError(Exception):
    """A process did not start, did not end, or ended before its time; says which, and the end of its output."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """A process that can be ended and started again on the same port.

    Args:
        name: For messages.
        command: What starts it.
        log: Where its output goes; a later start appends.
        environment: Its whole environment; None: that of this process.
        url: Where it answers.
        ready: A path that answers 200 as soon as it is ready; None: its start is not waited for.
    """

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        url: str = "",
        ready: str | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self._command, self._environment = list(command), environment
        self._ready = None if ready is None else url + ready
        self._log = log.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of its process.

        Raises:
            ProcessError: It does not run.
        """
        if self._process is None or not self.runs:
            raise ProcessError(f"{self.name} does not run\n{self.output()}")
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            ProcessError: It ended, or is not ready in time.
        """
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                self._command, cwd=self._log.parent, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        if self._ready is not None:
            self.wait_until("ready", lambda: self.pid > 0 and _get(self._ready or "") is not None)

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something is true of it.

        Raises:
            ProcessError: It is not in time.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} is not {what} within {PATIENCE_SECONDS:g} s\n{self.output()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> int:
        """Ask it to end, wait until it has, and give its exit status; kill it when it does not end in time."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def output(self, lines: int | None = 20) -> str:
        """The last lines of what it has said; None: all."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines if lines else None :])


def _get(url: str) -> bytes | None:
    """The body of an answer with 200; None: there is none."""
    try:
        answer = urllib3.request("GET", url, timeout=5, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    return answer.data if answer.status == 200 else None


class Service(Server):
    """Recoup with its built-in pipelines.

    Args:
        folder: For its output.
        settings: Environment variables beside its port.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        given = {"RECOUP_PORT": str(port), "RECOUP_LOG_FORMAT": "json", **settings}
        super().__init__(
            "the service",
            [sys.executable, "-m", "recoup", "serve"],
            folder / "service.log",
            kept | given,
            url=f"http://127.0.0.1:{port}",
            ready="/readyz",
        )

    def accounts(self) -> list[dict[str, int]]:
        """The last word of each of its processes that has ended in order: lookups by outcome, over its whole life."""
        ends = [line for line in self.output(lines=None).splitlines() if f'"event": "{_LAST_WORD}"' in line]
        return [{outcome: int(told[name]) for outcome, name in _OUTCOMES.items()} for told in map(json.loads, ends)]

    def kill_worker(self) -> int:
        """Kill one generation worker, one that computes if any does; gives its process id.

        Raises:
            ProcessError: There is none.
        """
        workers = list(filter(_is_worker, psutil.Process(self.pid).children(recursive=True)))
        if not workers:
            raise ProcessError("the service has no generation worker")
        worker = next((worker for worker in workers if worker.status() == psutil.STATUS_RUNNING), workers[0])
        worker.kill()
        return int(worker.pid)


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return any("recoup.pipelines.worker_process" in part for part in process.cmdline())
    return False


class Upstream(Server):
    """The generator behind the service's pipelines `remote` and `chat`.

    Args:
        folder: For its output.
    """

    def __init__(self, folder: Path) -> None:
        port, counted = free_port(), (folder / "upstream.count").absolute()
        counted.unlink(missing_ok=True)
        super().__init__(
            "the upstream",
            [sys.executable, "-m", "loadtest.upstream", "--port", str(port), "--count", str(counted)],
            folder / "upstream.log",
            {**os.environ, "PYTHONPATH": str(ROOT)},
            url=f"http://127.0.0.1:{port}",
            ready="/count",
        )

    def pipelines(self, path: Path) -> Path:
        """Write the service's pipelines, two of them before this one, into a file; gives the file."""
        path.write_text(
            '[pipelines.relief]\nkind = "relief"\n'
            f'[pipelines.remote]\nkind = "http"\nurl = "{self.url}/"\nmax_concurrent = 64\nmax_waiting = 256\n'
            + chat.pipeline(self.url)
        )
        return path


class Prometheus(Server):
    """Prometheus with the committed rules, on a second's pace.

    Args:
        folder: For its data, its configuration and its output.
        targets: By job, the loopback port that is scraped.
        scrape_seconds: Between two scrapes, and between two evaluations of the rules.
        shorter_by: What every window of the rules is divided by, so that five minutes become a trial's steady state.

    Raises:
        ProcessError: There is no `prometheus` on this machine.
    """

    def __init__(self, folder: Path, targets: Mapping[str, int], *, scrape_seconds: float, shorter_by: float) -> None:
        binary = shutil.which("prometheus")
        if binary is None:
            raise ProcessError("prometheus is not installed. On Debian and Ubuntu: apt-get install prometheus")
        port = free_port()
        configuration = folder / "prometheus.json"
        configuration.write_text(json.dumps(_configuration(targets, scrape_seconds)))
        build = [sys.executable, "-m", "metrics.build", "--output", str((folder / "rules").resolve())]
        subprocess.run([*build, "--shorter-by", f"{shorter_by:g}"], check=True, cwd=ROOT)  # noqa: S603  # our own
        super().__init__(
            "Prometheus",
            [
                binary,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            folder / "prometheus.log",
            url=f"http://127.0.0.1:{port}",
            ready="/-/ready",
        )

    def wait_until_scraped(self, job: str) -> None:
        """Wait until it has scraped a job's target: it takes its first look at its targets seconds after its start.

        Raises:
            ProcessError: It has not in time.
        """
        self.wait_until(f"scraping the job {job}", lambda: self._scrapes(job))

    def _scrapes(self, job: str) -> bool:
        targets = json.loads(_get(f"{self.url}/api/v1/targets") or b"{}").get("data", {}).get("activeTargets", [])
        return any((target["labels"]["job"], target["health"]) == (job, "up") for target in targets)


def _configuration(targets: Mapping[str, int], scrape_seconds: float) -> dict[str, object]:
    """In JSON, which is YAML, too."""
    pace = f"{round(1000 * scrape_seconds)}ms"
    return {
        "global": {"scrape_interval": pace, "scrape_timeout": pace, "evaluation_interval": pace},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()
        ],
    }


@contextlib.contextmanager
def started(*servers: Server) -> Iterator[None]:
    """Start servers in their order, and end them in the other, whatever happens meanwhile."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield
