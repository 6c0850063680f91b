"""Logging never waits for whoever reads it: lines are written in their order, or dropped and counted."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import threading
from collections.abc import Iterator

import pytest
import structlog

from recoup.telemetry import configure_logging
from recoup.telemetry.log_writer import LineWriter, dropped_lines
from recoup.telemetry.logs import flush_log

LIMIT_SECONDS = 60.0


class Stalled(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.asked.set()
        assert self.go.wait(LIMIT_SECONDS)
        return super().write(text)

    def fileno(self) -> int:
        raise OSError("no file")


def test_lines_are_written_in_their_order() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    lines = [f"line {number}\n" for number in range(1000)]
    for line in lines:
        writer.put(line)
    assert writer.wait(LIMIT_SECONDS)
    assert lines == stream.getvalue().splitlines(keepends=True)


def test_lines_past_the_bound_are_dropped_and_counted_and_nobody_waits() -> None:
    stream = Stalled()
    writer = LineWriter(stream, most_lines=10)
    before = dropped_lines()
    writer.put("first\n")
    assert stream.asked.wait(LIMIT_SECONDS)
    for number in range(100):
        writer.put(f"{number}\n")
    assert 90 == dropped_lines() - before
    assert not writer.wait(0.01)
    stream.go.set()
    assert writer.wait(LIMIT_SECONDS)
    assert ["first", *map(str, range(10))] == stream.getvalue().splitlines()


def test_what_waits_is_bounded_in_characters_as_well() -> None:
    stream = Stalled()
    writer = LineWriter(stream, most_characters=1000)
    before = dropped_lines()
    writer.put("x")
    assert stream.asked.wait(LIMIT_SECONDS)
    for _ in range(5):
        writer.put("y" * 400)
    assert 3 == dropped_lines() - before
    stream.go.set()


def test_lines_for_a_stream_that_is_closed_are_dropped_and_counted() -> None:
    stream = io.StringIO()
    stream.close()
    writer, before = LineWriter(stream), dropped_lines()
    writer.put("lost\n")
    assert writer.wait(LIMIT_SECONDS)
    assert 1 == dropped_lines() - before


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def test_a_logger_does_not_wait_for_a_pipe_that_nobody_reads(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("json", stream=stream, background=True)
    try:
        for number in range(500):
            logging.getLogger("test").info("a line that is longer than one would think %s %s", number, "." * 100)
        assert not flush_log(0.01)
        received = b""
        while received.count(b"\n") < 500:
            received += os.read(reading, 65536)
        assert flush_log(LIMIT_SECONDS)
    finally:
        logging.captureWarnings(False)
        structlog.reset_defaults()
        root.handlers[:], level = before
        root.setLevel(level)
