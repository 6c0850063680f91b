"""Writing log lines where nobody waits for it: a bounded queue, and a thread that empties it."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TextIO

#: Lines and characters that may wait to be written: some seconds of a busy service.
_MOST_LINES = 10_000
_MOST_CHARACTERS = 4 * 2**20

_dropped_lock = threading.Lock()
_dropped = 0


def dropped_lines() -> int:
    """Lines that this process has dropped because their reader was too slow."""
    return _dropped


def _drop() -> None:
    global _dropped  # of the process, as logging is
    with _dropped_lock:
        _dropped += 1


class LineWriter:
    """Writes lines to a stream in a thread of its own, in their order.

    Args:
        stream: Where to. When it does not take anything, lines pile up in the queue and are dropped past its bounds.
        most_lines: Lines that may wait.
        most_characters: Characters that may wait, in all of them.
    """

    def __init__(
        self, stream: TextIO, *, most_lines: int = _MOST_LINES, most_characters: int = _MOST_CHARACTERS
    ) -> None:
        self._stream = stream
        # Past the stream's own buffer, whose lock would be held for as long as its reader stalls: by then, the
        # process could not even end, since it flushes the stream then.
        self._descriptor = _descriptor_of(stream)
        self._most_lines = most_lines
        self._most_characters = most_characters
        self._lines: deque[str] = deque()
        self._characters = 0
        self._writing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="recoup-log", daemon=True).start()

    def put(self, line: str) -> None:
        """Have a line written, or drop and count it. Never waits for the stream."""
        with self._changed:
            fits = len(self._lines) < self._most_lines and self._characters + len(line) <= self._most_characters
            if fits:
                self._lines.append(line)
                self._characters += len(line)
                self._changed.notify()
        if not fits:
            _drop()

    def wait(self, seconds: float) -> bool:
        """Wait until all lines so far are written, and tell whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                lines = [*self._lines]
                self._lines.clear()
                self._characters = 0
                self._writing = True
            self._write(lines)

    def _write(self, lines: list[str]) -> None:
        try:
            self._write_text("".join(lines))
        except (OSError, ValueError):  # closed at the other end, or here: there is nowhere to say so
            for _ in lines:
                _drop()

    def _write_text(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None
