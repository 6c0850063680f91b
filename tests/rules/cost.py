"""What the rules cost: `python -m tests.rules.cost 30 400` for so many pairs of an instance and a pipeline.

Three days of made-up samples are written into a Prometheus of its own, which then evaluates the committed rules as it
would anywhere. Printed are the durations that it tells of itself, and what the dearest panel takes over 30 days.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from grafana.queries import ALL, View, load, panel, queries, substitute

from dashboards.world import Prometheus, serving, wait_for
from recoup.telemetry.catalogue import METRICS, Metric
from tools import require_tool

from .rulefiles import RULES, read

_DAY = 86400
_STEP = 60
#: Of a job's instances, so many have each pipeline.
_INSTANCES = 10
_VALUES = {"status": ("200", "502", "503"), "route": ("/api/generate/{pipeline}",), "method": ("POST",)}
_EVALUATED = "prometheus_rule_group_iterations_total >= 3"


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each number of pairs."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules.cost", description=__doc__)
    parser.add_argument("pairs", nargs="+", type=int, help="how many pairs of an instance and a pipeline")
    parser.add_argument("--days", type=float, default=3, help="of samples, one a minute (%(default)s)")
    given = parser.parse_args(arguments)
    for pairs in given.pairs:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), pairs, given.days)


def _measure(folder: Path, pairs: int, days: float) -> None:
    end = int(time.time()) // _STEP * _STEP + 600
    with (folder / "samples.txt").open("w", encoding="utf-8") as file:
        count = _write(file.write, pairs, range(int(end - days * _DAY), end + 1, _STEP))
    command = [require_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*command, str(folder / "samples.txt"), str(folder / "data")], check=True, capture_output=True)
    (folder / "samples.txt").unlink()
    own = {"scrape_configs": [], "rule_files": [str(path) for path in sorted(RULES.iterdir())]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(own))
