"""What a load test came to: the verdict makes it, the report shows it, and as JSON it is for machines.

Standard library only. Times are seconds since the epoch, durations are seconds.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from grafana.charts import Chart


@dataclass(frozen=True)
class Check:
    """One thing that was asked, and whether it held.

    Attributes:
        scenario: Which scenario it is of; `run` for the whole.
        name: What is asked, in a few words, such as `Hit ratio`.
        measured: What was found, with its unit, such as `70.3 %`.
        wanted: What is asked for, such as `66.7 to 72 %`.
        passed: Whether it held.
        detail: A sentence more, where there is one: why not, or from where.
        source: The panel whose query gave it, such as `Load test: Hit ratio`; empty: measured directly.
    """

    scenario: str
    name: str
    measured: str
    wanted: str
    passed: bool
    detail: str = ""
    source: str = ""


@dataclass(frozen=True)
class Usage:
    """One row of the table that the product promises.

    Attributes:
        name: Such as `2-item pipeline`.
        requests: Measured with the cache.
        without_seconds: Mean response time with `Cache-Control: no-store`.
        with_seconds: Mean response time with the cache.
        gain: The first by the second.
        hit_ratio: Of the requests with the cache, from 0 to 1.
        limit: 1 / (1 - hit ratio); None where that has no bound.
        scaled_without_seconds: A generation of the length that was asked for (124.6 s). Computed, not measured.
        scaled_with_seconds: The mean with the cache, were generations that long. Computed, not measured.
        scaled_gain: The first by the second of these two. Computed, not measured.
    """

    name: str
    requests: int
    without_seconds: float
    with_seconds: float
    gain: float
    hit_ratio: float
    limit: float | None
    scaled_without_seconds: float
    scaled_with_seconds: float
    scaled_gain: float


@dataclass(frozen=True)
class Span:
    """One phase on the time axis.

    Attributes:
        scenario: Its scenario.
        part: Its name within that.
        begin: Seconds since the epoch.
        end: The same.
        requests: That were sent within it.
        failures: That the contract does not have there.
        hit_ratio: Of its lookups; None where there were none but bypasses.
        outcomes: Requests by outcome.
        reasons: Misses by reason.
        window: Whether it is the steady state that the panels' queries are asked for.
    """

    scenario: str
    part: str
    begin: float
    end: float
    requests: int
    failures: int
    hit_ratio: float | None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    window: bool = False


@dataclass(frozen=True)
class PanelChart:
    """What a dashboard's panel shows for the time of the run.

    Attributes:
        board: The dashboard's title, such as `Recoup: Load test`.
        description: The panel's.
        queries: The expressions that were asked, with every variable filled in.
        plot: Its lines, as Prometheus answered, and how they look on the panel.
    """

    board: str
    description: str
    queries: tuple[str, ...]
    plot: Chart


@dataclass(frozen=True)
class Result:
    """The whole.

    Attributes:
        passed: Whether every check did.
        checks: In the order of the scenarios.
        usages: The product's table; empty where its scenarios did not run.
        spans: The phases.
        charts: The panels.
        settings: Of the workload, by name.
        environment: What it ran on, by name: versions, cores, the window of the recorded rules.
        recouped: Money that was not spent, by currency, where a pipeline has a price.
        generated: What generations cost, likewise.
        notes: Sentences that a reader needs: what Prometheus lacks, what was shortened.
        begin: Seconds since the epoch.
        end: The same.
    """

    passed: bool
    checks: tuple[Check, ...]
    usages: tuple[Usage, ...]
    spans: tuple[Span, ...]
    charts: tuple[PanelChart, ...]
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    notes: tuple[str, ...]
    begin: float
    end: float
    recouped: Mapping[str, float] = field(default_factory=dict)
    generated: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """As JSON: members are the attributes' names."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """What `to_json` gave."""
        made: Result = _made(cls, json.loads(text))
        return made


def _made(kind: Any, value: Any) -> Any:
    """A value of a type of this module, from what JSON makes of it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (known,) = (option for option in inner if option is not type(None))
        return None if value is None else _made(known, value)
    if origin in (tuple, Sequence):
        endless = origin is Sequence or inner[-1] is Ellipsis
        kinds = [inner[0]] * len(value) if endless else inner
        return tuple(_made(one, item) for one, item in zip(kinds, value, strict=True))
    if hasattr(kind, "__dataclass_fields__"):
        return kind(**{name: _made(hint, value[name]) for name, hint in typing.get_type_hints(kind).items()})
    return value
