"""`recoup what-if FILE`: what other sizes and policies would bring, for a recorded trace."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from recoup import fields
from recoup.cache.config import checked
from recoup.cache.sizing import ENTRY_OVERHEAD
from recoup.errors import ConfigurationError
from recoup.insight.advice import advice, next_gigabyte
from recoup.insight.report import page, table
from recoup.insight.simulation import Simulation
from recoup.insight.traces import TracedRequest, TraceFile

#: Bytes of a key of the service: 32 hex digits.
_KEY_BYTES: Final = 96
_BAR: Final = 30
_SHOW_EVERY: Final = 8192

DESCRIPTION: Final = (
    "Simulate every policy at 0.25 to 8 times the limits on a recorded trace: CSV or JSON lines with time, key, size "
    "(bytes of the result) and cost (seconds of its generation), gzipped or not. Shows hit ratios and recouped seconds."
)


def add_arguments(parser: argparse.ArgumentParser, defaults: dict[str, Any]) -> None:
    """The arguments of the command; `defaults` are those of the cache that would be served."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the trace")
    parser.add_argument("--max-size", metavar="N", default=defaults["max_size"], help="limit of entries today")
    parser.add_argument(
        "--max-memory-mb", metavar="MB", default=defaults["max_memory_mb"], help="limit of memory today"
    )
    parser.add_argument("--ttl-seconds", metavar="SECONDS", default=defaults["ttl_seconds"], help="TTL; 0: none")
    parser.add_argument("--policy", metavar="NAME", default=defaults["policy"], help="the policy today")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page with curves, too")
    parser.add_argument("--json", action="store_true", help="write the answer as JSON instead of a table")


def what_if(given: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or 2 where an argument or the trace cannot be used.
    """
    out, err = out or sys.stdout, err or sys.stderr
    try:
        max_size = _parsed("max-size", fields.MAX_SIZE, given.max_size)
        max_memory_mb = _parsed("max-memory-mb", fields.MAX_MEMORY_MB, given.max_memory_mb)
        ttl = _parsed("ttl-seconds", fields.TTL_SECONDS, given.ttl_seconds or 0) or math.inf
        policy = _parsed("policy", fields.POLICY, given.policy)
        simulation = Simulation(max_size, max_memory_mb)
        lookups = 0
        with TraceFile(given.file) as trace:
            for request in _watched(trace, trace, err):
                lookups += 1
                size = request.size + ENTRY_OVERHEAD + _KEY_BYTES
                simulation.access(request.key_hash, request.at, size, request.cost, ttl)
        if not lookups:
            raise ConfigurationError(f"{given.file}: there is no request in it")
        points = simulation.points()
        answer = {
            "lookups": lookups,
            "sampled_lookups": simulation.sampled_lookups,
            "share": simulation.share,
            "points": [point.as_dict() for point in points],
            "next_gigabyte_seconds_per_hour": next_gigabyte(points, policy),
            "advice": advice(points, policy),
        }
        if given.page is not None:
            _write(given.page, page(answer, points, f"What if: {given.file.name}"))
    except ConfigurationError as error:
        err.write(f"recoup: {error}\n")
        return 2
    if given.json:
        out.write(f"{json.dumps(answer)}\n")
        return 0
    out.write(f"{table(points)}\n\n{answer['advice']}\n")
    sampled = (
        f"{simulation.sampled_lookups:,} of {lookups:,} lookups were simulated ({simulation.share:.1%} of the keys)"
    )
    out.write(f"{sampled}.\n")
    return 0


def _parsed(name: str, kind: fields.Kind[Any], value: Any) -> Any:
    if not isinstance(value, str):
        return checked(name, kind, value)
    try:
        return kind.parse(value.strip())
    except fields.UnusableError:
        raise ConfigurationError(fields.refusal(f"--{name}", fields.echo(value), kind.expected_text)) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _watched(requests: Iterable[TracedRequest], trace: TraceFile, err: TextIO) -> Iterator[TracedRequest]:
    """The requests, with a bar of how much of the file has been read, on a terminal."""
    if not err.isatty():
        yield from requests
        return
    for count, request in enumerate(requests, 1):
        if count % _SHOW_EVERY == 0:
            share = min(1.0, trace.position() / max(1, trace.bytes))
            done = "#" * round(_BAR * share)
            err.write(f"\r[{done:<{_BAR}}] {share:4.0%}  {count:,} requests")
            err.flush()
        yield request
    err.write(f"\r{'':<70}\r")
