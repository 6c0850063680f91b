"""The results as a table: what was measured, beside whom, the ratio, and whether it is what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        what: What was measured.
        who: The contender.
        figure: Its own figure, with a unit.
        ratio: How many times as fast as the contender we are (or what `what` says); None where there is none.
        at_least: The least that the ratio may be.
        at_most: The most that the ratio may be.
    """

    what: str
    who: str
    figure: str
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @classmethod
    def times(
        cls, what: str, who: str, seconds: Mapping[str, float], ours: float, at_least: float | None = None
    ) -> Row:
        """How many times as fast as a contender we are."""
        return cls(what, who, f"{seconds[who] * 1e9:.0f} ns", seconds[who] / ours, at_least)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is what was asked for; None where nothing was."""
        if self.ratio is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )

    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        asked = ""
        if self.at_least is not None:
            asked = f">= {self.at_least:.2f}"
        elif self.at_most is not None:
            asked = f"<= {self.at_most:.2f}"
        verdict = {True: "met", False: "NOT MET", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return (self.what, self.who, self.figure, ratio, asked, verdict)


def markdown(rows: Sequence[Row]) -> str:
    """The lines as a Markdown table."""
    header = ("what", "who", "figure", "ratio", "asked", "")
    cells = [header, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
