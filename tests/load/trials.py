"""Who watches the verdict: `python -m tests.load.trials` cripples the cache in each way, and every run has to fail.

Each by the check that is there to notice it; and a run on the cache as it is has to pass. About seven minutes: each
run is `typical`, shortened.
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


#: By way, the check that has to notice.
NOTICED_BY = {
    "reversed-order": "Answers that an exact LRU would not give",
    "one-second": "Hit ratio against Che's approximation",
    "tenth": "Hit ratio against Che's approximation",
    "lying": "The service's count of outcomes",
}


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


def failed(result: dict[str, Any]) -> dict[str, str]:
    """The checks that failed: what each measured, and what was asked."""
    bad = (check for check in result["checks"] if not check["passed"])
    return {check["name"]: f"{check['measured']}, asked {check['wanted']}" for check in bad}


def main() -> int:
    """Every way, and none."""
    wrong = []
    for way in (None, *WAYS):
        found = failed(trial(way))
        as_it_must = NOTICED_BY[way] in found if way is not None else not found
        if not as_it_must:
            wrong.append(way or "as it is")
        print(
            f"{way or 'as it is'}: {'failed' if found else 'passed'}{'' if as_it_must else ', AND MUST NOT'}",
            flush=True,
        )
        for name, told in found.items():
            print(f"    {name}: {told}", flush=True)
    print(f"not as they must be: {', '.join(wrong)}" if wrong else "every run came out as it must", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
