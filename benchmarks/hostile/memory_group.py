"""A limit of memory around a service's processes: a control group where the machine lets us make one.

Both versions of control groups are known. Where neither can be used (no right to make one, or no memory controller),
`Watched` reads the processes' share of memory ten times a second, and ends the service once it is over the limit.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_ROOT = Path("/sys/fs/cgroup")
_POLL_SECONDS = 0.1
_REMOVE_SECONDS = 10.0


class MemoryGroup(Protocol):
    """What limits and measures the memory of processes."""

    description: str

    def wrap(self, command: list[str]) -> list[str]:
        """The command that runs `command` inside the group."""

    def watch(self, pids: Callable[[], list[int]], end: Callable[[], None]) -> None:
        """Begin to measure the processes that `pids` names; `end` ends them."""

    def pids(self) -> list[int]:
        """The processes that are known to be inside, orphans among them."""

    def peak_bytes(self) -> int:
        """The most that was held at one time."""

    def killed(self) -> int:
        """How many processes were ended because of the limit."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The names that a version of control groups has for its files."""

    limit: str
    peak: str
    events: str


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
_VERSION_2 = _Files("memory.max", "memory.peak", "memory.events")


class ControlGroup:
    """A control group with a limit, made below this process' own, or below the root where that cannot have one."""

    def __init__(self, folder: Path, files: _Files, limit_bytes: int) -> None:
        self._folder = folder
        self._files = files
        self.description = f"control group of {limit_bytes >> 20} MiB"
        (folder / files.limit).write_text(str(limit_bytes))

    def wrap(self, command: list[str]) -> list[str]:
        """A shell enters the group and becomes the command, so that all that it starts is inside, too."""
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "cgroup.procs"), *command]

    def watch(self, pids: Callable[[], list[int]], end: Callable[[], None]) -> None:
        """Nothing to do: the kernel measures."""

    def pids(self) -> list[int]:
        """All that entered, or whose parent had."""
        return list(map(int, (self._folder / "cgroup.procs").read_text().split()))

    def peak_bytes(self) -> int:
        """The kernel's own high-water mark."""
        return int((self._folder / self._files.peak).read_text())

    def killed(self) -> int:
        """The kernel's count of `oom_kill`."""
        lines = (self._folder / self._files.events).read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def remove(self) -> None:
        """Remove the group, once its processes have ended.

        Raises:
            OSError: Some process is still inside.
        """
        until = time.monotonic() + _REMOVE_SECONDS
        while self.pids() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        self._folder.rmdir()


class Watched:
    """No group: the processes' proportional share of memory, looked at from outside."""

    def __init__(self, limit_bytes: int, reason: str) -> None:
        self._limit = limit_bytes
        self._peak = self._killed = 0
        self._stop = threading.Event()
        self.description = f"limit of {limit_bytes >> 20} MiB, watched from outside ({reason})"

    def wrap(self, command: list[str]) -> list[str]:
        """The command as it is."""
        return command

    def watch(self, pids: Callable[[], list[int]], end: Callable[[], None]) -> None:
        """Measure in a thread until `stop`."""
        threading.Thread(target=self._poll, args=(pids, end), name="memory-watch", daemon=True).start()

    def _poll(self, pids: Callable[[], list[int]], end: Callable[[], None]) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            held = sum(map(proportional_bytes, pids()))
            self._peak = max(self._peak, held)
            if held > self._limit and not self._killed:
                self._killed += 1
                end()

    def pids(self) -> list[int]:
        """None: nothing tells an orphan from any other process."""
        return []

    def peak_bytes(self) -> int:
        """The most that was seen."""
        return self._peak

    def killed(self) -> int:
        """1 once the service was ended for going over the limit."""
        return self._killed

    def stop(self) -> None:
        """Measure no more."""
        self._stop.set()


def proportional_bytes(pid: int) -> int:
    """What a process holds in memory, shared pages by its share of them; 0 for one that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A group of its own for one service; all of its processes must have ended when the block does."""
    reasons: list[str] = []
    for parent, files in _places():
        folder = parent / f"recoup-hostile-{os.getpid()}-{time.monotonic_ns()}"
        try:
            folder.mkdir()
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
            continue
        try:
            group = ControlGroup(folder, files, limit_bytes)
        except OSError as error:
            folder.rmdir()
            reasons.append(f"{parent}: {error.strerror}")
            continue
        try:
            yield group
        finally:
            group.remove()
        return
    watched = Watched(limit_bytes, "; ".join(reasons) or "no control groups here")
    try:
        yield watched
    finally:
        watched.stop()


def _places() -> Iterator[tuple[Path, _Files]]:
    """Where a group may be made, the best first: below this process' own, so that its limits hold, too."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield _ROOT / "memory" / path.lstrip("/"), _VERSION_1
        elif number == "0" and not controllers and (_ROOT / "cgroup.controllers").exists():
            yield _ROOT / path.lstrip("/"), _VERSION_2
            # A group that has processes cannot hand its controllers on (except the root).
            yield _ROOT, _VERSION_2
