"""Who watches the verdict: `python -m tests.load.trials` cripples the cache in each way, and every run has to fail.

And a run on the cache as it is has to pass. Takes about six minutes: each run is `typical`, shortened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .crippled.sitecustomize import WAYS

ROOT = Path(__file__).resolve().parents[2]
_CRIPPLED = ROOT / "tests" / "load" / "crippled"
_SECONDS = 40
_MOST_SECONDS = 300


def trial(way: str | None) -> dict[str, Any]:
    """One run, with the cache crippled in a way, or as it is; gives its result."""
    command = [
        sys.executable,
        "-m",
        "loadtest",
        "--scenario",
        "typical",
        "--duration",
        str(_SECONDS),
        "--relaxed",
        "--json",
    ]
    if way is not None:
        command += ["--set", f"PYTHONPATH={_CRIPPLED}", "--set", f"RECOUP_X_CRIPPLED={way}"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--output", folder], cwd=ROOT, capture_output=True, text=True, timeout=_MOST_SECONDS
        )
        report = Path(folder, "report.json")
        if not report.exists():
            raise RuntimeError(f"no report: {done.stdout}{done.stderr}")
        result: dict[str, Any] = json.loads(report.read_text())
    assert result["passed"] is (done.returncode == 0)
    return result


def main() -> int:
    """Every way, and none."""
    wrong = 0
    for way in (None, *WAYS):
        result = trial(way)
        wrong += result["passed"] is not (way is None)
        print(f"{way or 'as it is'}: {'passed' if result['passed'] else 'failed'}", flush=True)
        for check in result["checks"]:
            if not check["passed"]:
                print(
                    f"    {check['scenario']}: {check['name']}: {check['measured']}, asked {check['wanted']}",
                    flush=True,
                )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
