"""What a simulation says, as a table for a terminal and as a page of its own with curves."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from recoup.insight.advice import duration
from recoup.insight.simulation import SCALES, Point

VENDOR: Final = Path(__file__).parent / "vendor" / "uplot"
_HERE: Final = Path(__file__).parent


def table(points: Sequence[Point]) -> str:
    """Hit ratios, and what is recouped in an hour where that is known, by policy and scale."""
    first = [point for point in points if point.policy == points[0].policy]
    heads = ["", *(f"{point.scale:g}x" for point in first)]
    sizes = ["entries", *(f"{point.max_size:,}" for point in first)]
    memory = ["MB", *(f"{point.max_memory_mb:,.6g}" for point in first)]
    rows = [heads, sizes, memory, ["hit ratio"]]
    rows += [[f"  {policy}", *map(_ratio, of)] for policy, of in _by_policy(points).items()]
    if any(point.recouped_seconds_per_hour for point in points):
        rows.append(["recouped in an hour"])
        rows += [[f"  {policy}", *map(_recouped, of)] for policy, of in _by_policy(points).items()]
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    )


def page(answer: Mapping[str, Any], points: Sequence[Point], title: str) -> str:
    """A page that needs nothing else: the advice, curves over the scale, and all values as a table."""
    data = {
        "scales": list(SCALES),
        "ratios": {policy: [point.hit_ratio for point in of] for policy, of in _by_policy(points).items()},
        "recouped": {
            policy: [point.recouped_seconds_per_hour for point in of] for policy, of in _by_policy(points).items()
        },
    }
    rows = "".join(
        f"<tr><td>{point.policy}</td><td>{point.scale:g}</td><td>{point.max_size:,}</td>"
        f"<td>{point.max_memory_mb:,.6g}</td><td>{_ratio(point)}</td><td>{_recouped(point)}</td></tr>"
        for point in points
    )
    text = (_HERE / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title),
        "ADVICE": html.escape(str(answer["advice"])),
        "FACTS": html.escape(
            f"{answer['lookups']:,} lookups, of which {answer['sampled_lookups']:,} were simulated "
            f"({answer['share']:.1%} of the keys)."
        ),
        "ROWS": rows,
        # No end of the script inside it, whatever the data.
        "DATA": json.dumps(data).replace("<", "\\u003c"),
        "UPLOT_CSS": (VENDOR / "uPlot.min.css").read_text(encoding="utf-8"),
        "UPLOT_JS": (VENDOR / "uPlot.iife.min.js").read_text(encoding="utf-8"),
    }
    for name, part in parts.items():
        text = text.replace(f"@@{name}@@", part)
    return text


def _by_policy(points: Sequence[Point]) -> dict[str, list[Point]]:
    by_policy: dict[str, list[Point]] = {}
    for point in points:
        by_policy.setdefault(point.policy, []).append(point)
    return by_policy


def _ratio(point: Point) -> str:
    return "-" if point.hit_ratio is None else f"{point.hit_ratio:.1%}"


def _recouped(point: Point) -> str:
    seconds = point.recouped_seconds_per_hour
    return "-" if seconds is None else duration(seconds)
