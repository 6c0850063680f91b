"""What a worker process gets of its surroundings: its environment, and how much memory and processor it may take."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping
from typing import NamedTuple

#: Variables that programs need to run at all. Everything else may be a secret of the service's, and stays with it.
_NEEDED = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LOGNAME", "USER", "VIRTUAL_ENV"}
)
_NEEDED_PREFIXES = ("LC_", "PYTHON")
_NEEDED_SUFFIXES = ("_NUM_THREADS",)
#: Numerical libraries start a thread for each core unless configured otherwise; a worker is one core.
_ONE_CORE = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


def worker_environment(own: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker process.

    Args:
        own: The service's environment: what programs need is taken from it, and nothing else.
        named: What the pipeline asks for by name; it goes before all else.
    """
    needed = {name: value for name, value in own.items() if _is_needed(name)}
    return {**needed, **_ONE_CORE, **named}


def _is_needed(name: str) -> bool:
    return name in _NEEDED or name.startswith(_NEEDED_PREFIXES) or name.endswith(_NEEDED_SUFFIXES)


class WorkerLimits(NamedTuple):
    """What one worker process may take.

    Attributes:
        memory_bytes: Address space (`RLIMIT_AS`); None: no limit. Past it, allocations fail.
        cpu_seconds: Processor seconds of one generation (`RLIMIT_CPU`), on all its threads together. Past it the
            kernel ends the process; the service does so before, by the clock, unless it cannot.
    """

    memory_bytes: int | None
    cpu_seconds: float

    def limit_memory(self) -> None:
        """Limit this process for good."""
        if self.memory_bytes is not None:
            _set_soft(resource.RLIMIT_AS, self.memory_bytes)

    def limit_processor(self) -> None:
        """Limit what this process does from now on."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        _set_soft(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + self.cpu_seconds))


def cpu_seconds(timeout_seconds: float) -> float:
    """The most that a generation can have taken of the processors within its time limit, and a second."""
    return timeout_seconds * (os.cpu_count() or 1) + 1.0


def _set_soft(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))
