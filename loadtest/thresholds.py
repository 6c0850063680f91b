"""What a load test has to reach: read from `thresholds.toml`, where each number says why it is what it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

# tomli is tomllib's own source, for the Python before it came into the standard library.
_toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

FILE = Path(__file__).with_name("thresholds.toml")
_TABLES = ("requests", "relaxed")


@dataclass(frozen=True)
class Thresholds:
    """The numbers of `thresholds.toml`, by the same names.

    Attributes:
        requests: The fewest requests of a scenario, by its name.
    """

    hit_ratio_min: float
    hit_ratio_max: float
    speedup_limit_share_min: float
    theory_tolerance: float
    remote_speedup_min: float
    remote_limit_share_min: float
    remote_speedup_agreement: float
    remote_theory_tolerance: float
    remote_achieved_min: float
    replay_tolerance: float
    replay_answers_max: float
    panel_tolerance: float
    achieved_min: float
    slow_hits_max: float
    memory_overhead_max: float
    memory_growth_min: float
    miss_overhead_max: float
    single_gain_min: float
    single_gain_max: float
    hit_seconds_max: float
    hit_client_seconds_max: float
    batch_gain_tolerance: float
    churn_fall_min: float
    churn_recovery_min: float
    flood_hit_p99_max: float
    recovery_seconds_max: float
    soak_memory_growth_max: float
    soak_latency_growth_max: float
    killed_worker_failures_max: float
    shrink_recovery_min: float
    gap_scrapes_max: float
    audit_later_hit_seconds_max: float
    audit_hit_p99_max: float
    audit_cost_excess_max: float
    audit_recouped_tolerance: float
    audit_memory_excess_max: float
    audit_leak_bytes_max: float
    audit_window_tolerance: float
    chat_first_byte_max: float
    chat_recouped_excess_max: float
    requests: Mapping[str, float]


def load(path: Path = FILE, changes: Mapping[str, float] | None = None, *, relaxed: bool = False) -> Thresholds:
    """Read the thresholds.

    Args:
        path: A TOML file of these names.
        changes: Other numbers by name, such as `speedup_min` or `requests.typical`.
        relaxed: The fewest requests are those of the table `relaxed`; all else stays.

    Raises:
        ValueError: A name is unknown or missing, or a value is no number; says which.
        OSError: The file cannot be read.
    """
    found: dict[str, Any] = _toml.loads(path.read_text(encoding="utf-8"))
    tables = {name: dict(found.pop(name, {})) for name in _TABLES}
    requests = tables["relaxed" if relaxed else "requests"]
    for name, value in (changes or {}).items():
        table, _, scenario = name.rpartition(".")
        chosen = found if not table else requests if table == "requests" else None
        if chosen is None or scenario not in chosen:
            raise ValueError(f"there is no threshold {name!r}")
        chosen[scenario] = value
    _check(path, found, tables)
    return Thresholds(**found, requests=requests)


def _check(path: Path, found: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> None:
    names = {field_.name for field_ in fields(Thresholds)} - {"requests"}
    for name in sorted(found.keys() ^ names):
        raise ValueError(f"{path}: {name} is {'not known' if name in found else 'missing'}")
    for name in sorted(tables["requests"].keys() ^ tables["relaxed"].keys()):
        raise ValueError(f"{path}: {name} stands in one of the tables {' and '.join(_TABLES)} only")
    for name, value in [*found.items(), *(item for table in tables.values() for item in table.items())]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ValueError(f"{path}: {name} is {value!r}, and has to be a number from 0 on")
