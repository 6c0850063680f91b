"""Who watches the verdict: every lie is told to it, and each has to fail the check that is there to notice it.

    python -m tests.load.trials [NAMES] [--jobs N] [--rounds N]

Each trial is a run of the scenario `audit` (or `chat`, for what only that sends) on a service, a client, rules or
dashboards that lie in one way, applied from outside (`crippled`); and runs as they are, which have to pass. The traffic
is the same each time, its order is known, and so is what has to come of it: nothing is noticed by chance. A lie that
another check alone notices counts as one that has passed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CRIPPLED = ROOT / "tests" / "load" / "crippled"
#: What the rules look back over, in seconds, and what a run may take at most.
_SECONDS, _MOST_SECONDS = 20, 600
#: Runs at one time: most of their time they wait.
_JOBS = 6
HONEST = "as it is"

ORDER = "Answers against an exact LRU"
NEAR = "Requests that hardly differ"
MANAGED = "Cleared and deleted keys"
CONFIGURED = "Changes of the configuration"
EXPIRED = "Entries past their time to live"
BODIES = "Bodies, as the generator makes them"
STATISTICS = "The exposition against the statistics"
SINGLE_FLIGHT = "Single-flight, by the generator's own count"
REQUESTS, OUTCOMES, REASONS = (f"The service's count of {what}" for what in ("requests", "outcomes", "miss reasons"))
STREAMS = "Streams, against the first of each"
WINDOWS, SUMS = "Windows of the recorded rules", "Sums in the panels, by their parts"


@dataclass(frozen=True)
class Trial:
    """One lie.

    Attributes:
        noticed_by: The check that has to fail; None: every check has to pass.
        service: How the service is crippled, one or several with commas.
        run: How the run is.
        scenario: What is played.
    """

    noticed_by: str | None = None
    service: str = ""
    run: str = ""
    scenario: str = "audit"


#: By name. Those of the service have the name of their way.
TRIALS: dict[str, Trial] = {
    HONEST: Trial(),
    **{
        name: Trial(check, service=name)
        for name, check in {
            # The order and the size
            "reversed-order": ORDER,
            "most-recent": ORDER,
            "random-order": ORDER,
            "least-frequent": ORDER,
            "first-in": ORDER,
            "clock-order": ORDER,
            "tenth": ORDER,
            "one-too-few": ORDER,
            "one-too-many": ORDER,
            "five-too-many": ORDER,
            # Keys
            "keys-that-round": NEAR,
            "keys-that-merge-numbers": NEAR,
            # Management, and time
            "one-second": ORDER,
            "ttl-ignored": EXPIRED,
            "clear-not-done": MANAGED,
            "delete-not-done": MANAGED,
            "configure-not-done": CONFIGURED,
            # The generator
            "no-single-flight": SINGLE_FLIGHT,
            "some-single-flight": SINGLE_FLIGHT,
            "no-store-hits": "no-store, by the generator's own count",
            "warm": "The cache before the run",
            # Bodies and headers
            "first-body": BODIES,
            "short-body": BODIES,
            "another-body": BODIES,
            "flipped-byte": BODIES,
            "changing-etag": "Entity tags",
            "text-plain": "Content types",
            "age-stands-still": "Age and ttl",
            "wrong-reasons-told": "Reasons as callers see them",
            "coalesced-told-as-hits": "Callers of one generation",
            # How long it takes
            "later-hits-slow": "Later hits of a key",
            "some-hits-slow": "Hits, 99th percentile",
            # Figures
            "hits-3-percent": OUTCOMES,
            "lost-increment": OUTCOMES,
            "coalesced-counted-as-hits": OUTCOMES,
            "wrong-reasons-counted": REASONS,
            "wrong-causes-counted": "Evictions and invalidations by cause",
            "exported-hits": STATISTICS,
            "exported-counters": STATISTICS,
            "recouped-5-percent": "Recouped seconds",
            "costs-10-percent": "Costs, by the generator's own time",
            "slow-hits-unrecorded": "Waits recorded",
            "memory-10-percent": "Memory accounted, by the bodies held",
            "old-metrics": "Freshness of /metrics",
            "reset-once": "Counters that never fall",
            "leak": "Memory that grows by request",
        }.items()
    },
    # Streams
    "chat as it is": Trial(scenario="chat"),
    "late-followers": Trial(STREAMS, service="late-followers", scenario="chat"),
    # The client, the rules, the dashboards
    "drops-failures": Trial(REQUESTS, run="drops-failures"),
    "retries-failures": Trial(REQUESTS, service="fails-now-and-then", run="retries-failures"),
    "long-rule": Trial(WINDOWS, run="long-rule"),
    "long-headline": Trial(WINDOWS, run="long-headline"),
    "panel-of-the-highest": Trial(SUMS, run="panel-of-the-highest"),
    "panel-of-the-mean": Trial(SUMS, run="panel-of-the-mean"),
}


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: the checks that failed, with what they measured; an error, where there was no verdict."""

    name: str
    failed: dict[str, str]
    error: str
    seconds: float

    @property
    def as_it_must(self) -> bool:
        """Whether the check that is there for it noticed; or none, where there was nothing to notice."""
        check = TRIALS[self.name].noticed_by
        return not self.error and (check in self.failed if check is not None else not self.failed)

    def row(self) -> str:
        """For the table."""
        check = TRIALS[self.name].noticed_by
        failed = self.error or "; ".join(sorted(self.failed)) or "nothing"
        return f"{'ok' if self.as_it_must else 'NOT OK':7} {self.name:27} {check or 'nothing':45} {failed}"


def play(name: str) -> Outcome:
    """One run."""
    trial, begun = TRIALS[name], time.monotonic()
    options = ["--scenario", trial.scenario, "--duration", str(_SECONDS), "--json"]
    if trial.service:
        options += ["--set", f"PYTHONPATH={CRIPPLED}", "--set", f"RECOUP_X_CRIPPLED={trial.service}"]
    environment = dict(os.environ)
    if trial.run:
        environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{CRIPPLED}", "LOADTEST_X_CRIPPLED": trial.run}
    with tempfile.TemporaryDirectory(prefix="recoup-trial-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "loadtest", *options, "--output", folder],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Outcome(name, {}, f"no verdict within {_MOST_SECONDS} s", time.monotonic() - begun)
        report = Path(folder, "report.json")
        if not report.exists():
            lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            return Outcome(name, {}, f"no verdict: {lines[-1]}", time.monotonic() - begun)
        result: dict[str, Any] = json.loads(report.read_text())
    return Outcome(name, failed(result), "", time.monotonic() - begun)


def failed(result: dict[str, Any]) -> dict[str, str]:
    """The checks that failed: what each measured, and what was expected."""
    bad = (check for check in result["checks"] if not check["passed"])
    return {check["name"]: f"{check['measured']}, expected {check['wanted']}; {check['detail']}" for check in bad}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.trials", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(TRIALS)}")
    parser.add_argument("--jobs", type=int, default=_JOBS, help="runs at one time (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is played (%(default)s)")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - TRIALS.keys())
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    wrong: list[Outcome] = []
    begun, names = time.monotonic(), (given.names or list(TRIALS)) * given.rounds
    print(f"{'':7} {'lie':27} {'the check that has to fail':45} what failed", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        for outcome in pool.map(play, names):
            print(outcome.row(), flush=True)
            if not outcome.as_it_must:
                wrong.append(outcome)
    for outcome in wrong:
        for name, told in outcome.failed.items():
            print(f"    {outcome.name}: {name}: {told}", flush=True)
    minutes = (time.monotonic() - begun) / 60
    good = f"{len(names) - len(wrong)} of {len(names)} as they must be, in {minutes:.0f} minutes"
    print(good + (f"; not: {', '.join(outcome.name for outcome in wrong)}" if wrong else ""), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
