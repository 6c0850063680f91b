"""What a run shows of itself while it happens."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from loadtest.journal import Follower
from loadtest.progress import Progress

BEGIN = {"line": "begin", "scenario": "pair", "part": "cached", "at": 100.0, "counters": {}}
END = {"line": "end", "scenario": "pair", "part": "cached", "at": 165.4, "counters": {}}


def request(outcome: str, *, allowed: bool = True) -> dict[str, Any]:
    return {"line": "request", "outcome": outcome, "allowed": allowed}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestFollower:
    def test_each_line_is_given_once(self, tmp_path: Path) -> None:
        journal = tmp_path / "journal.jsonl"
        follower = Follower(journal)
        journal.write_text(json.dumps(BEGIN) + "\n")
        assert [BEGIN] == list(follower.lines())
        with journal.open("a") as more:
            more.write(json.dumps(END) + "\n")
        assert [END] == list(follower.lines())
        assert [] == list(follower.lines())

    def test_half_a_line_waits_for_its_other_half(self, tmp_path: Path) -> None:
        journal = tmp_path / "journal.jsonl"
        follower = Follower(journal)
        whole = json.dumps(END) + "\n"
        journal.write_text(whole[:7])
        assert [] == list(follower.lines())
        journal.write_text(whole)
        assert [END] == list(follower.lines())

    def test_a_journal_that_is_not_there_yet_has_no_lines(self, tmp_path: Path) -> None:
        assert [] == list(Follower(tmp_path / "journal.jsonl").lines())


class TestProgress:
    def test_a_phase_has_one_line_when_it_ends(self) -> None:
        stream = io.StringIO()
        progress = Progress(stream)
        for line in (BEGIN, request("miss"), request("hit"), request("hit"), END):
            progress.take(line)
        assert ["pair cached", "1:05", "3", "requests", "hit", "ratio", "66.7%"] == [
            stream.getvalue()[:28].strip(),
            *stream.getvalue()[28:].split(),
        ]

    def test_failures_are_told(self) -> None:
        stream = io.StringIO()
        progress = Progress(stream)
        for line in (BEGIN, request("miss", allowed=False), END):
            progress.take(line)
        assert stream.getvalue().endswith("1 failed\n")

    def test_bypasses_make_no_hit_ratio(self) -> None:
        stream = io.StringIO()
        progress = Progress(stream)
        for line in (BEGIN, request("bypass"), END):
            progress.take(line)
        assert "ratio" not in stream.getvalue()

    def test_beside_a_terminal_a_long_phase_is_told_of_now_and_then(self) -> None:
        stream = io.StringIO()
        progress = Progress(stream)
        progress.take(BEGIN)
        for now in (101.0, 114.0, 116.0, 117.0, 132.0):
            progress.show(now)
        assert ["0:16", "0:32"] == [line.split()[2] for line in stream.getvalue().splitlines()]

    def test_on_a_terminal_one_line_is_written_over(self) -> None:
        stream = Terminal()
        progress = Progress(stream)
        progress.take(BEGIN)
        for now in (101.0, 102.0):
            progress.show(now)
        progress.take(END)
        assert 3 == stream.getvalue().count("\r\x1b[K")
        assert 1 == stream.getvalue().count("\n")
