"""The event loop never stands still for long: whatever takes time runs elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What a hit may wait for somebody else's request, at most.
LONGEST_SECONDS = 0.020


@pytest.mark.load
def test_large_bodies_deep_json_and_metrics_hold_up_nobody() -> None:
    command = [sys.executable, "-m", "tests.web.stall", "50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    stalls = json.loads(done.stdout.splitlines()[-1])
    assert 6 == len(stalls)
    assert {} == {kind: seconds for kind, seconds in stalls.items() if seconds > LONGEST_SECONDS}
