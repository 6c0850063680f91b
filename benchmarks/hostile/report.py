"""The results for people: a table on the terminal, and the table of docs/explanation/what-was-thrown-at-it.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.hostile.attack import Attack
from benchmarks.hostile.probe import milliseconds
from benchmarks.hostile.result import Result

BEGIN, END = "<!-- generated: python -m benchmarks.hostile --page -->", "<!-- end of what is generated -->"

#: What a cell of the page shows: the first failures, each cut short. The terminal shows everything.
_MOST_FAILURES, _MOST_CHARACTERS = 4, 200


def lines(result: Result) -> Iterable[str]:
    """One result, a line for each figure and each check."""
    yield f"{result.name}: {'held' if result.held else 'DID NOT HOLD'}"
    if result.peak_mib is not None:
        yield f"  memory at its peak {result.peak_mib:.0f} MiB, {result.memory}"
    if result.hits:
        medians = " / ".join(milliseconds(latency.p50) if latency.count else "none" for latency in result.hits.values())
        yield f"  hits before / during / after: p99 {result.hits_text}; p50 {medians}"
    for check in result.checks:
        yield f"  {'ok  ' if check.held else 'FAIL'} {check.what}: {check.figure}"


def table(attacks: Iterable[Attack], before: Mapping[str, Result], now: Mapping[str, Result]) -> str:
    """The Markdown table of all attacks: what was sent, what came of it before and now, and the command."""
    rows = [
        "| what was thrown at it | before | now | hits' p99 before / during / after | memory | command |",
        "|---|---|---|---|---|---|",
    ]
    for attack in attacks:
        result = now.get(attack.name)
        cells = (
            attack.sends,
            _verdict(before.get(attack.name)),
            _verdict(result),
            result.hits_text if result else "",
            f"{result.peak_mib:.0f} MiB" if result and result.peak_mib is not None else "",
            f"`{attack.command}`",
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _verdict(result: Result | None) -> str:
    if result is None:
        return "not measured"
    if not result.held:
        return "did not hold. " + "; ".join(_cut(text) for text in result.failures[:_MOST_FAILURES])
    return "held. " + "; ".join(_cut(f"{check.what}: {check.figure}") for check in result.checks[:2])


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS].rstrip() + " ..."


def write(page: Path, text: str) -> None:
    """Put the table between the page's markers.

    Raises:
        ValueError: They are not there.
    """
    page.write_text(filled(page.read_text(encoding="utf-8"), text), encoding="utf-8")


def filled(page: str, text: str) -> str:
    """The page with a text between its markers.

    Raises:
        ValueError: They are not there.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN!r} and {END!r} in the page")
    return f"{head}{begin}\n{text}\n{end}{tail}"
