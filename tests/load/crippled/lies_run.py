"""Lies of the run itself: a client that hides what went wrong, rules and dashboards that show something else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from patching import patch


def drops_failures(started_as: str) -> None:
    """Leave every request that was not answered well out of the journal, and out of Locust's counts."""
    if "locustfile" not in started_as:
        return
    from loadtest.recorder import Recorder

    honest = Recorder.request

    def request(self: Recorder, phase: Any, one: Any) -> None:
        if one.status < 400:
            honest(self, phase, one)

    patch(Recorder, request=request)


def retries_failures(started_as: str) -> None:
    """Ask again, once, for what failed with 500, and record the second answer."""
    if "locustfile" not in started_as:
        return
    from geventhttpclient.client import HTTPClient

    honest = HTTPClient.request

    def request(self: HTTPClient, *given: Any, **more: Any) -> Any:
        answer = honest(self, *given, **more)
        if answer.status_code != 500:
            return answer
        answer.read()
        return honest(self, *given, **more)

    patch(HTTPClient, request=request)


def _rules(started_as: str, record: str) -> None:
    """Let one recording rule look back four times as far as its name says."""
    if "metrics.build" not in started_as:
        return
    honest = Path.write_text
    rule = re.compile(rf"(- record: {re.escape(record)}\n)(.*?)(?=\n *- record:|\Z)", re.DOTALL)

    def write_text(self: Path, data: str, *given: Any, **more: Any) -> int:
        return honest(self, rule.sub(lambda found: found[1] + _longer(found[2]), data), *given, **more)

    patch(Path, write_text=write_text)


def _longer(text: str) -> str:
    return re.sub(r"\[(\d+)(\w+)\]", lambda found: f"[{4 * int(found[1])}{found[2]}]", text)


def long_rule(started_as: str) -> None:
    """Another window of the speed-up."""
    _rules(started_as, "job:recoup_speedup:rate5m")


def long_headline(started_as: str) -> None:
    """Another window of the rule by which the verdict finds out how far the others look back."""
    _rules(started_as, "job:recoup_hit_ratio:rate5m")


def _boards(started_as: str, operator: str, added: str) -> None:
    """Read dashboards that have another operator where they add something up."""
    if "-m loadtest" not in started_as:
        return
    from grafana import queries

    honest, sums = queries.read, re.compile(rf"\bsum( by \([\w, ]*\))? \((?={re.escape(added)})")

    def read(path: Path) -> dict[str, Any]:
        def changed(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: changed(inner) for name, inner in value.items()}
            if isinstance(value, list):
                return [changed(inner) for inner in value]
            return sums.sub(rf"{operator}\1 (", value) if isinstance(value, str) else value

        return dict(changed(honest(path)))

    patch(queries, read=read)


def panel_of_the_highest(started_as: str) -> None:
    """Show the highest of the pipelines where their sum is meant."""
    _boards(started_as, "max", "rate(recoup_lookups_total")


def panel_of_the_mean(started_as: str) -> None:
    """Show the mean of the pipelines where their sum is meant."""
    _boards(started_as, "avg", "increase(recoup_recouped_seconds_total")


WAYS: dict[str, Callable[[str], None]] = {
    "drops-failures": drops_failures,
    "retries-failures": retries_failures,
    "long-rule": long_rule,
    "long-headline": long_headline,
    "panel-of-the-highest": panel_of_the_highest,
    "panel-of-the-mean": panel_of_the_mean,
}
