"""The event loop never stands still for long: whatever takes time runs elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

#: What a hit may wait for somebody else's request, at most.
LONGEST_SECONDS = 0.020


@pytest.mark.load
@pytest.mark.timeout(300)
def test_large_bodies_long_and_deep_json_and_metrics_hold_up_nobody() -> None:
    command = [sys.executable, "-m", "web.stall", "50"]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=280, check=True)
    stalls = json.loads(done.stdout.splitlines()[-1])
    assert 18 == len(stalls)
    assert {} == {kind: seconds for kind, seconds in stalls.items() if seconds > LONGEST_SECONDS}
