"""One real run, as a user starts it: a service, a Prometheus, Locust, the verdict; and where it cannot be made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from project.tree import ROOT
from tools import require_tool

#: A busy machine takes its time over the requests that the steady state needs.
_MOST_SECONDS = 400
#: Of the steady state: with a second on each side, what a run of typical usage says most with in under a minute.
_STEADY_SECONDS = 20
#: What a machine that is shared with others cannot promise in twenty seconds: theory holds for long runs, and ratios of
#: times for machines that are as fast in one minute as in the next.
OF_LONG_RUNS = {
    "Hit ratio",
    "Hit ratio: the service's counters against the panel",  # they are of the whole, the panel is of its last 20 s
    "Speed-up, the clients' way",
    "Speed-up, the service's way",
}


def load_test(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest", "--output", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_MOST_SECONDS)


@pytest.mark.load
@pytest.mark.timeout(_MOST_SECONDS + 20)
def test_a_short_run_of_typical_usage_holds_what_it_can_hold(tmp_path: Path) -> None:
    """Every count exact, an LRU to the last request, every panel answered; and hits that pay."""
    require_tool("prometheus")
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    done = load_test(tmp_path, "--scenario", "typical", "--duration", str(_STEADY_SECONDS), "--relaxed", "--json")
    result: dict[str, Any] = json.loads(done.stdout)
    failed = {check["name"]: check for check in result["checks"] if not check["passed"]}
    assert {} == {name: check for name, check in failed.items() if name not in OF_LONG_RUNS}
    assert (0 if result["passed"] else 1) == done.returncode
    assert not any(
        chart["plot"]["lines"] == []
        for chart in result["charts"]
        if chart["plot"]["title"] in {"Hit ratio", "Speed-up"}
    )
    (usage,) = result["usages"]
    assert usage["gain"] > 1.5
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert before == {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.mark.load
@pytest.mark.timeout(_MOST_SECONDS + 20)
def test_a_run_of_the_chat_holds_everything(tmp_path: Path) -> None:
    """Each of its answers is known beforehand, so that nothing of it needs a quiet machine; and money is reported."""
    require_tool("prometheus")
    done = load_test(tmp_path, "--scenario", "chat", "--duration", str(_STEADY_SECONDS), "--relaxed", "--json")
    result: dict[str, Any] = json.loads(done.stdout)
    assert {} == {check["name"]: check for check in result["checks"] if not check["passed"]}
    assert result["recouped"]["USD"] > result["generated"]["USD"] > 0
    assert "spent on generations" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "everything"], "everything"),
        (["--users", "0"], "users=0"),
        (["--service", "http://127.0.0.1:9"], "needs the Prometheus"),
        (["--set", "CACHE_MAX_SIZE"], "NAME=VALUE"),
        (["--set", "CACHE_MAX_SIZE=few"], "CACHE_MAX_SIZE"),
    ],
    ids=["scenario", "users", "no-prometheus", "no-value", "setting"],
)
def test_a_run_that_cannot_be_made_says_why_and_ends_with_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    require_tool("prometheus")
    done = load_test(tmp_path, *arguments)
    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
