"""Scenarios for the rules, in a few lines each: series in, and when an alert fires out. Promtool evaluates them."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools import require_tool

from .pruning import pruned, with_rules
from .rulefiles import ALERT_NAMES, run

#: Minutes of a day.
DAY = 24 * 60


class Scenario:
    """Made-up series of one job, minute by minute, and the alerts that they raise."""

    def __init__(self, *, job: str = "recoup", step: int = 1) -> None:
        self._job = job
        self._step = step
        self._series: dict[str, str] = {}

    def gauge(self, name: str, values: str, **labels: str) -> Scenario:
        """A series as promtool notes it, such as `1x59 stale`; one value a step."""
        self._series[self._selector(name, labels)] = values
        return self

    def counter(self, name: str, paces: Iterable[tuple[int, float]], **labels: str) -> Scenario:
        """A counter that starts at 0.

        Args:
            name: Its name.
            paces: How many steps it grows for, and by how much in each.
            labels: Its labels beside the job.
        """
        value, parts = 0.0, ["0"]
        for steps, pace in paces:
            parts.append(f"{value + pace:.9g}+{pace:.9g}x{steps - 1}")
            value += pace * steps
        return self.gauge(name, " ".join(parts), **labels)

    def starting(self, every: int, steps: int, *, name: str, pace: float, **labels: str) -> Scenario:
        """A counter that begins again every so many steps."""
        lives = " ".join(f"0+{pace:.9g}x{every - 1}" for _ in range(steps // every))
        return self.gauge(name, lives, **labels)

    def lookups(
        self,
        phases: Iterable[tuple[int, float, float, str]],
        *,
        pipeline: str = "relief",
        instance: str = "a:8080",
    ) -> Scenario:
        """Lookups by phase: how many steps, hits and misses in each, and why they are misses."""
        phases = list(phases)
        labels = {"pipeline": pipeline, "instance": instance}
        lookups = "recoup_lookups_total"
        self.counter(lookups, [(steps, hits) for steps, hits, _, _ in phases], outcome="hit", **labels)
        self.counter(lookups, [(steps, misses) for steps, _, misses, _ in phases], outcome="miss", **labels)
        for reason in ("cold", "expired", "evicted", "invalidated"):
            paces = [(steps, misses if because == reason else 0) for steps, _, misses, because in phases]
            self.counter("recoup_misses_total", paces, reason=reason, **labels)
        return self

    def firing(self, minutes: Iterable[int], *, alert: str = "Recoup.+", **labels: str) -> dict[int, set[str]]:
        """The names of the alerts that fire, by minute.

        Args:
            minutes: When to look.
            alert: Which alerts, as a pattern.
            labels: What else the alerts must have.
        """
        matchers = "".join(f', {label}="{value}"' for label, value in labels.items())
        query = f'count by (alertname) (ALERTS{{alertstate="firing", alertname=~"{alert}"{matchers}}})'
        asked = [name for name in ALERT_NAMES if re.fullmatch(alert, name)]
        return {
            minute: set(re.findall(r'alertname="(\w+)"', answer))
            for minute, answer in self._ask(query, minutes, asked).items()
        }

    def changes(self, alert: str, minutes: Iterable[int]) -> int:
        """How often an alert begins or ends to fire."""
        states = [bool(names) for names in self.firing(minutes, alert=alert).values()]
        return sum(before != after for before, after in itertools.pairwise([False, *states]))

    def ask(self, query: str, minutes: Iterable[int]) -> dict[int, str]:
        """What promtool got for a query, by minute; nothing where it got nothing."""
        return self._ask(query, minutes, ())

    def _ask(self, query: str, minutes: Iterable[int], alerts: Iterable[str]) -> dict[int, str]:
        minutes = list(minutes)
        # A sample that no query gives: so promtool tells what it got instead.
        impossible = [{"labels": "impossible", "value": 0}]
        asked: list[Mapping[str, object]]
        asked = [{"expr": query, "eval_time": f"{minute}m", "exp_samples": impossible} for minute in minutes]
        there = {selector.partition("{")[0] for selector in self._series}
        needed = pruned(alerts=alerts, expressions=[query], series=there)
        with tempfile.TemporaryDirectory() as folder:
            path = with_rules(self._document(asked), needed, Path(folder))
            done = run(require_tool("promtool"), "test", "rules", path)
        output = done.stdout + done.stderr
        answers = dict(re.findall(r"time: (\w+),\s+exp:.*?\n\s+got:(.*?)(?=\n\s*expr:|\n\s*\n|\Z)", output, re.DOTALL))
        told = {_minutes(time): answer.strip().replace("nil", "") for time, answer in answers.items()}
        assert set(minutes) == set(told), output
        return {minute: told[minute] for minute in minutes}

    def _document(self, asked: list[Mapping[str, object]]) -> dict[str, object]:
        return {
            "evaluation_interval": f"{self._step}m",
            "tests": [
                {
                    "interval": f"{self._step}m",
                    "input_series": [{"series": name, "values": values} for name, values in self._series.items()],
                    "promql_expr_test": asked,
                }
            ],
        }

    def _selector(self, name: str, labels: Mapping[str, str]) -> str:
        chosen = {"job": self._job, "instance": "a:8080", **labels}
        return name + "{" + ", ".join(f'{label}="{value}"' for label, value in chosen.items()) + "}"


def _minutes(time: str) -> int:
    """Promtool's `1h5m`, or `1d2h`, in minutes."""
    units = {"d": DAY, "h": 60, "m": 1, "w": 7 * DAY}
    return sum(int(value) * units[unit] for value, unit in re.findall(r"(\d+)([wdhm])(?!s)", time))
