"""A run that is stopped before its end leaves the service configured as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from loadtest import journal
from loadtest.processes import Service, started

from project.tree import ROOT
from web.running import PATIENCE


def config(service: Service) -> dict[str, Any]:
    with urllib.request.urlopen(f"{service.url}/api/cache/config", timeout=PATIENCE) as answer:
        configured: dict[str, Any] = json.load(answer)
    return configured


def wait_for_a_phase(path: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and any(line["line"] == "begin" for line in journal.lines(path))):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.xdist_group("loadtest-stopped")
def test_sigterm_ends_locust_first_which_puts_the_configuration_back(tmp_path: Path) -> None:
    service = Service(tmp_path, {"RECOUP_WORKERS": "1", "CACHE_MAX_SIZE": "777", "CACHE_TTL_SECONDS": "99"})
    with started(service):
        before = config(service)
        # Prometheus is asked at the end alone, which this run does not come to.
        place = ("--service", service.url, "--prometheus", "http://127.0.0.1:1")
        run = subprocess.Popen(
            [sys.executable, "-m", "loadtest", *place, "--scenario", "churn", "--output", str(tmp_path / "out")],
            cwd=ROOT,
            env=os.environ | {"LOADTEST_METRICS_PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for_a_phase(tmp_path / "out" / "journal.jsonl", run)
            meanwhile = config(service)
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=PATIENCE)
        finally:
            run.kill()
            run.communicate()
        after = config(service)

    assert meanwhile["max_size"] != 777 == before["max_size"]
    assert (before, 128 + signal.SIGTERM) == (after, run.returncode)
