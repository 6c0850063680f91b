"""What came of an attack, as it is kept in a file and shown in a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.hostile.attack import Check
from benchmarks.hostile.probe import Latency, milliseconds


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attack.

    Attributes:
        checks: All that had to hold.
        peak_mib: The most memory that the service's processes held together; None where none was measured.
        memory: How that was limited and measured.
        hits: Their latency before, during and after it; empty where nothing was probed.
        recovery_seconds: From its end until hits were as fast as before; infinite if they never were.
        version: The service's.
        short: Whether it was the small form of the attack.
    """

    name: str
    checks: tuple[Check, ...]
    peak_mib: float | None
    memory: str
    hits: Mapping[str, Latency]
    recovery_seconds: float
    version: str
    short: bool

    @property
    def held(self) -> bool:
        """Whether everything did."""
        return all(check.held for check in self.checks)

    @property
    def hits_text(self) -> str:
        """The hits' p99 before, during and after."""
        return " / ".join(milliseconds(latency.p99) if latency.count else "none" for latency in self.hits.values())

    @property
    def failures(self) -> list[str]:
        """What did not hold, each with its figure."""
        return [f"{check.what}: {check.figure}" for check in self.checks if not check.held]


def save(path: Path, results: Iterable[Result]) -> None:
    """Write results into a file; those of other attacks that are in it stay."""
    kept = {result.name: result for result in (*(load(path) if path.exists() else ()), *results)}
    path.write_text(
        json.dumps([_finite(asdict(result)) for result in kept.values()], indent=1, ensure_ascii=False) + "\n"
    )


def load(path: Path) -> list[Result]:
    """The results in a file."""
    return [_result(item) for item in json.loads(path.read_text())]


def _result(item: dict[str, Any]) -> Result:
    checks = tuple(Check(**check) for check in item["checks"])
    hits = {phase: Latency(**{**latency, **_infinite(latency)}) for phase, latency in item["hits"].items()}
    recovery = math.inf if item["recovery_seconds"] is None else item["recovery_seconds"]
    return Result(**{**item, "checks": checks, "hits": hits, "recovery_seconds": recovery})


def _infinite(latency: Mapping[str, Any]) -> dict[str, float]:
    return {name: math.inf for name in ("p50", "p99") if latency[name] is None}


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for, and no more digits than were measured."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return None if math.isinf(value) else round(value, 4)
    return value
