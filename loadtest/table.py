"""A verdict as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadtest import formatting
from loadtest.result import Check, Result, Usage

_USAGES = ("usage", "requests", "without", "with", "gain", "hit ratio", "limit", "without*", "with*", "gain*")


def headline(result: Result) -> str:
    """One sentence."""
    bad = sum(not check.passed for check in result.checks)
    if result.passed:
        return f"Load test passed: {formatting.count(len(result.checks), 'check')}"
    return f"Load test FAILED: {bad} of {formatting.count(len(result.checks), 'check')} failed"


def as_text(result: Result) -> str:
    """The checks, the product's table, the notes, and the verdict; lines end with a line feed."""
    return "\n".join(
        [*_checks(result.checks), *_usages(result), *_money(result), *_notes(result.notes), "", headline(result), ""]
    )


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    rows = [(_mark(check), check.name, check.measured, check.wanted) for check in checks]
    lines = _aligned(rows)
    scenario = ""
    for check, line in zip(checks, lines, strict=True):
        if check.scenario != scenario:
            scenario = check.scenario
            yield from ("", scenario)
        yield f"  {line}"
        if not check.passed and check.detail:
            yield f"        {check.detail}"


def _mark(check: Check) -> str:
    return "ok" if check.passed else "FAIL"


def _usages(result: Result) -> Iterator[str]:
    if not result.usages:
        return
    yield ""
    rows = [_USAGES, *map(_row, result.usages)]
    yield from (f"  {line}" for line in _aligned(rows, right=range(1, len(_USAGES))))
    seconds = result.settings.get("scaled_generation_seconds")
    yield f"  limit: 1 / (1 - hit ratio).  *: computed for a generation of {seconds} s, not measured"


def _row(usage: Usage) -> tuple[str, ...]:
    return (
        usage.name,
        f"{usage.requests:,}",
        formatting.seconds(usage.without_seconds),
        formatting.seconds(usage.with_seconds),
        formatting.times(usage.gain),
        formatting.percent(usage.hit_ratio),
        "none" if usage.limit is None else formatting.times(usage.limit),
        formatting.seconds(usage.scaled_without_seconds),
        formatting.seconds(usage.scaled_with_seconds),
        formatting.times(usage.scaled_gain),
    )


def _money(result: Result) -> Iterator[str]:
    for currency, value in result.recouped.items():
        spent = formatting.money(result.generated.get(currency, 0), currency)
        yield ""
        yield f"  recouped: {formatting.money(value, currency)}, beside {spent} that generations cost"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield ""
        yield from (f"  Note: {note}" for note in notes)


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines with straight columns; those in `right` end together, the others begin together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
