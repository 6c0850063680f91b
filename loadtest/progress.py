"""What a run shows of itself while it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from loadtest.journal import hit_ratio

_BESIDE_A_TERMINAL_SECONDS = 15.0


@dataclass
class _Phase:
    name: str
    begin: float
    requests: int = 0
    failures: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


class Progress:
    """Shows which phase runs, for how long, how many requests it has had, and its hit ratio so far.

    On a terminal one line is written over; elsewhere each phase has a line when it ends, and one now and then.

    Args:
        stream: Where it is shown.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._phase: _Phase | None = None
        self._shown = 0.0

    def take(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the journal."""
        kind = line["line"]
        if kind == "begin":
            self._phase = _Phase(f"{line['scenario']} {line['part']}", line["at"])
            self._shown = line["at"]
        elif kind == "request" and self._phase is not None:
            self._phase.requests += 1
            self._phase.failures += not line["allowed"]
            self._phase.outcomes[str(line["outcome"])] += 1
        elif kind == "end" and self._phase is not None:
            self._write(self._text(self._phase, line["at"]), last=True)
            self._phase = None
        elif kind == "ask":
            self._write(f"  {line['name']}", last=True)

    def show(self, now: float) -> None:
        """Show where the run is, at a time in seconds since the epoch."""
        if self._phase is not None and (self._terminal or now - self._shown >= _BESIDE_A_TERMINAL_SECONDS):
            self._shown = now
            self._write(self._text(self._phase, now), last=not self._terminal)

    def _text(self, phase: _Phase, now: float) -> str:
        minutes, seconds = divmod(max(0, round(now - phase.begin)), 60)
        ratio = hit_ratio(phase.outcomes)
        shown = "" if ratio is None else f"  hit ratio {ratio:6.1%}"
        failed = f"  {phase.failures} failed" if phase.failures else ""
        return f"{phase.name:<28} {minutes}:{seconds:02} {phase.requests:>7,} requests{shown}{failed}"

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
