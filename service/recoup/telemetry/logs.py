"""The logging set-up: structlog and the standard library's records, through one formatter to one stream."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from recoup.errors import ConfigurationError
from recoup.fields import echo, refusal
from recoup.telemetry.log_writer import LineWriter

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # not to be subscripted on Python 3.10

#: For Granian's `log_dictconfig`: no handlers of its own, so that its records reach the root's.
GRANIAN_LOGGING: dict[str, Any] = {
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}

_FORMATS = ("auto", "json", "console")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
#: Libraries that bring handlers of their own; theirs go, so that their records pass through ours.
_CAPTURED = ("_granian", "granian.access", "werkzeug", "py.warnings")


class _Handler(_StreamHandler):
    """Ours, so that a second set-up finds and replaces the first one's."""


class _BackgroundHandler(_Handler):
    """A handler that never waits for its stream: lines go into a bounded queue, which a thread writes out."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._writer = LineWriter(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Format here, where the context of the request is; write elsewhere."""
        try:
            self._writer.put(self.format(record) + self.terminator)
        except Exception:  # noqa: BLE001  # as every handler does: logging never fails its caller
            self.handleError(record)

    def flush(self) -> None:
        """Nothing here: a caller that waits for the lines calls `flush_log`."""

    def wait(self, seconds: float) -> bool:
        """Wait until all lines so far are written, and tell whether they are."""
        return self._writer.wait(seconds)


def configure_logging(
    format: str = "auto", level: str = "info", stream: TextIO | None = None, *, background: bool = False
) -> None:
    """Send every record, structlog's and the standard library's, through one formatter to one stream.

    Calling it again replaces the set-up of the last call.

    Args:
        format: `json`: one JSON object a line; `console`: for people; `auto`: console on a terminal, else JSON.
        level: The least level that is logged: `debug`, `info`, `warning` or `error`.
        stream: Where to; None: standard error, as it is now.
        background: Write in a thread of its own: a reader of the stream that stalls holds up nobody. What does not fit
            into its queue is dropped and counted (`dropped_lines`).

    Raises:
        ConfigurationError: There is no such format or level.
    """
    stream = sys.stderr if stream is None else stream
    number = _LEVELS[_one_of("level", level, _LEVELS)]
    _one_of("format", format, _FORMATS)
    _configure_structlog(number)
    as_json = format == "json" or (format == "auto" and not stream.isatty())
    handler = _BackgroundHandler(stream) if background else _Handler(stream)
    handler.setFormatter(_formatter(as_json=as_json, colors=stream.isatty()))
    _install(handler, number)
    logging.captureWarnings(True)


def flush_log(seconds: float) -> bool:
    """Wait up to `seconds` until the lines that were logged so far are written, and tell whether they are."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _BackgroundHandler)]
    return all(handler.wait(seconds) for handler in handlers)


def _one_of(name: str, value: str, words: Iterable[str]) -> str:
    if value not in words:
        raise ConfigurationError(refusal(name, echo(value), f"one of {', '.join(words)}"))
    return value


def _configure_structlog(level: int) -> None:
    structlog.configure(
        processors=[
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # else a second set-up would not reach loggers in use
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(*, as_json: bool, colors: bool) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder(), _drop_leftovers],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *(_json() if as_json else _console(colors=colors)),
        ],
    )


def _drop_leftovers(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The formatters of other handlers leave these on the record, where they look like extra members."""
    for name in ("message", "asctime"):
        event.pop(name, None)
    return event


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _console(*, colors: bool) -> list[Processor]:
    # A traceback is text without the values of variables, which may be bodies and tokens; the rich one shows them.
    renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, _escape_controls, renderer]


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Whatever a caller sent stays on its line and cannot command the terminal; JSON escapes by itself."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            keep = "\n" if name == "exception" else ""
            event[name] = "".join(_shown(letter, keep) for letter in value)
    return event


def _shown(letter: str, keep: str) -> str:
    return letter if letter.isprintable() or letter in keep else ascii(letter)[1:-1]


def _install(handler: _Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CAPTURED:
        captured = logging.getLogger(name)
        captured.handlers.clear()
        captured.propagate = True
