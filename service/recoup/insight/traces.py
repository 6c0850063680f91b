"""Recorded traces: CSV and JSON lines, gzipped or not. One request a line: time, key, size, cost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from recoup.errors import ConfigurationError
from recoup.fields import echo

COLUMNS: Final = ("time", "key", "size", "cost")
_GZIP: Final = b"\x1f\x8b"
_MOST_SIZE: Final = 10**15


class TracedRequest(NamedTuple):
    """One request of a trace.

    Attributes:
        at: When it was, in seconds; 0 where the trace does not say.
        key_hash: The hash of its key, of 64 bits; the same in every process.
        size: The bytes of its result.
        cost: Seconds that its generation takes.
    """

    at: float
    key_hash: int
    size: int
    cost: float


class TraceFile:
    """A trace in a file.

    Args:
        path: The file: CSV with a header (`key`, and any of `time`, `size`, `cost`) or without one (in this order:
            time, key, size, cost; or keys alone), or JSON lines with the same members; gzipped or not.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: io.TextIOWrapper | None = None
        try:
            self._raw: BinaryIO = path.open("rb")
            self.bytes = path.stat().st_size
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines is not None:
            self._lines.close()
        self._raw.close()

    def position(self) -> int:
        """The bytes of the file that have been read."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[TracedRequest]:
        """The requests. What cannot be used is a `ConfigurationError` with its line."""
        compressed = self._raw.read(2) == _GZIP
        self._raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=self._raw) if compressed else self._raw
        lines = self._lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        number = 0
        try:
            last = -math.inf
            for number, record in _numbered(lines):  # noqa: B007  # the errors below name it
                request = _request(record)
                # Lines of several writers may be a little out of order; time does not go back.
                last = max(last, request.at)
                yield request._replace(at=last)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(f"{self._path}, after line {number}: {error}") from error
        except _LineError as error:
            raise ConfigurationError(f"{self._path}, line {error.line or number}: {error}") from None


class _LineError(ValueError):
    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line that is not empty, with its number, as members by name."""
    iterator = iter(lines)
    first = next(iterator, "")
    if first.lstrip().startswith("{"):
        yield from _json_lines(first, iterator)
    elif first:
        yield from _csv_lines(first, iterator)


def _json_lines(first: str, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_chain(first, lines), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _LineError(f"no JSON: {error}", number) from None
        if not isinstance(record, dict):
            raise _LineError("expected a JSON object", number)
        yield number, record


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _csv_lines(first: str, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(_chain(first, lines))
    row = next(reader, [])
    header = [name.strip().lower() for name in row]
    if "key" in header:
        names = header
    else:
        if len(row) > len(COLUMNS):
            raise _LineError(f"{len(row)} columns; expected a header, or {', '.join(COLUMNS)}", 1)
        names = ["key"] if len(row) == 1 else [*COLUMNS]
        yield 1, dict(zip(names, row, strict=False))
    for row in reader:
        if row:
            yield reader.line_num, dict(zip(names, row, strict=False))


def _request(record: dict[str, Any]) -> TracedRequest:
    key = record.get("key")
    if key is None or key == "" or isinstance(key, (dict, list)):
        raise _LineError(f"key={echo(key)}: expected text or a number")
    digest = blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    size, cost = record.get("size"), record.get("cost")
    return TracedRequest(
        _time(record.get("time")),
        int.from_bytes(digest, "big"),
        0 if size in (None, "") else int(_number("size", size, _MOST_SIZE)),
        1.0 if cost in (None, "") else _number("cost", cost, 1e9),
    )


def _number(name: str, value: Any, most: float) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= most:
        raise _LineError(f"{name}={echo(value)}: expected a number from 0 to {most:g}")
    return number


def _time(value: Any) -> float:
    """Seconds: a number of them, or a moment as RFC 3339 writes it."""
    if value in (None, ""):
        return 0.0
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        except ValueError:
            number = math.nan
        else:
            number = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    if not math.isfinite(number):
        raise _LineError(f"time={echo(value)}: expected seconds, or a moment as RFC 3339 writes it")
    return number
