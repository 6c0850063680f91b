"""Every record passes through one formatter to one stream, one line each."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import re
import warnings
from collections.abc import Iterator

import pytest
import structlog
from granian import log as granian_log

from recoup import LRUCache
from recoup.errors import ConfigurationError
from recoup.telemetry import RequestLog, configure_logging
from recoup.telemetry.logs import GRANIAN_LOGGING

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FOREIGN = ("werkzeug", "_granian", "granian.access", "asyncio", "urllib3", "recoup.cache", "py.warnings")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in FOREIGN}
    yield
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:], level, levels = before
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def records(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestOneFormatter:
    def test_a_record_of_structlog_is_one_object_on_one_line(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=stream)
        structlog.get_logger("recoup.web").info("drained", pipeline="relief", seconds=0.5)

        record = records(stream)[0]
        assert TIMESTAMP.fullmatch(record.pop("timestamp"))
        assert record == {
            "event": "drained",
            "level": "info",
            "logger": "recoup.web",
            "pipeline": "relief",
            "seconds": 0.5,
        }

    @pytest.mark.parametrize("name", FOREIGN)
    def test_a_record_of_another_library_has_the_same_shape(self, stream: io.StringIO, name: str) -> None:
        configure_logging("json", stream=stream)
        logging.getLogger(name).warning("worker %d ended", 3, extra={"exit_code": 9})

        record = records(stream)[0]
        assert TIMESTAMP.fullmatch(record.pop("timestamp"))
        assert record == {"event": "worker 3 ended", "level": "warning", "logger": name, "exit_code": 9}

    def test_the_server_s_own_set_up_leaves_its_records_to_ours(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=stream)
        granian_log.configure_logging(granian_log.LogLevels.info, GRANIAN_LOGGING)
        logging.getLogger("_granian").info("Shutting down")

        assert ["Shutting down"] == [record["event"] for record in records(stream)]

    def test_what_fails_open_in_the_cache_is_a_record_too(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=stream)
        LRUCache().note_internal_error("sizer", ValueError("no size"))

        record = records(stream)[0]
        assert record["logger"].startswith("recoup.cache")
        assert "ValueError: no size" in json.dumps(record)

    def test_warnings_are_records(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=stream)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("this will change", FutureWarning, stacklevel=1)

        assert "FutureWarning: this will change" in records(stream)[0]["event"]

    def test_what_another_handler_left_on_a_record_is_not_a_member(self, stream: io.StringIO) -> None:
        other = logging.StreamHandler(io.StringIO())
        other.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logging.getLogger().addHandler(other)
        configure_logging("json", stream=stream)
        logging.getLogger("asyncio").warning("hello")

        assert {"event", "level", "logger", "timestamp"} == set(records(stream)[0])


class TestExceptions:
    @pytest.mark.parametrize(
        "log", [logging.getLogger("asyncio"), structlog.get_logger("recoup")], ids=["stdlib", "structlog"]
    )
    def test_one_is_text_in_its_record_without_the_values_of_variables(self, stream: io.StringIO, log) -> None:
        configure_logging("json", stream=stream)
        token = "-".join(("hunter", "2"))
        try:
            int(token[:0] or "none")
        except ValueError:
            log.exception("failed")

        record = records(stream)[0]
        assert ["failed", "error"] == [record["event"], record["level"]]
        assert record["exception"].endswith("ValueError: invalid literal for int() with base 10: 'none'")
        assert token not in stream.getvalue()

    def test_on_a_console_it_is_plain_and_commands_no_terminal(self, stream: io.StringIO) -> None:
        configure_logging("console", stream=stream)
        body = b"a private body"
        try:
            raise ValueError("\x1b[31mred", len(body))
        except ValueError:
            structlog.get_logger("recoup").exception("failed")

        assert "ValueError: ('\\x1b[31mred', 14)" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()


class TestSetUp:
    @pytest.mark.parametrize("format", ["json", "console", "auto"])
    def test_doing_it_again_writes_nothing_twice(self, stream: io.StringIO, format: str) -> None:
        for _ in range(3):
            configure_logging(format, stream=stream)
        logging.getLogger("asyncio").info("once")
        structlog.get_logger("recoup").info("once")

        assert 2 == stream.getvalue().count("once")

    def test_the_last_one_holds_for_loggers_in_use(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=io.StringIO())
        log = structlog.get_logger("recoup")
        log.info("before")
        configure_logging("json", "debug", stream=stream)
        log.debug("after")

        assert ["after"] == [record["event"] for record in records(stream)]

    def test_handlers_of_others_stay(self, stream: io.StringIO) -> None:
        other = logging.NullHandler()
        logging.getLogger().addHandler(other)
        configure_logging("json", stream=stream)
        configure_logging("json", stream=stream)

        assert other in logging.getLogger().handlers

    @pytest.mark.parametrize(("terminal", "is_json"), [(io.StringIO, True), (Terminal, False)])
    def test_auto_is_console_on_a_terminal_else_json(self, terminal: type[io.StringIO], is_json: bool) -> None:
        stream = terminal()
        configure_logging("auto", stream=stream)
        logging.getLogger("asyncio").warning("hello")

        assert is_json == stream.getvalue().startswith("{")

    @pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
    def test_less_than_the_level_is_not_logged(self, stream: io.StringIO, level: str, count: int) -> None:
        configure_logging("json", level, stream=stream)
        for log in (structlog.get_logger("recoup"), logging.getLogger("asyncio")):
            for word in ("debug", "info", "warning", "error"):
                getattr(log, word)("said")

        assert 2 * count == len(records(stream))

    def test_an_unknown_level_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"level='loud'.*debug, info, warning, error"):
            configure_logging("json", "loud")

    def test_an_unknown_format_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"format='xml'.*auto, json, console"):
            configure_logging("xml")


class TestInjection:
    EVIL = 'x\r\n{"event": "forged"}\x1b[2J\u2028\x85\x00'

    @pytest.mark.parametrize("format", ["json", "console"])
    def test_a_request_is_one_line_whatever_its_path_holds(self, stream: io.StringIO, format: str) -> None:
        configure_logging(format, stream=stream)
        RequestLog().log_request(
            request_id="1",
            trace_id=None,
            route=None,
            method=self.EVIL,
            path="/" + self.EVIL,
            status=404,
            duration_seconds=0.1,
            error=self.EVIL,
        )

        assert 1 == len(stream.getvalue().splitlines())
        assert stream.getvalue().rstrip("\n").isprintable()

    @pytest.mark.parametrize("format", ["json", "console"])
    def test_a_record_of_another_library_is_one_line_too(self, stream: io.StringIO, format: str) -> None:
        configure_logging(format, stream=stream)
        logging.getLogger("werkzeug").warning("GET %s", self.EVIL, extra={"path": self.EVIL})

        assert 1 == len(stream.getvalue().splitlines())
        assert stream.getvalue().rstrip("\n").isprintable()

    def test_json_gives_back_what_was_sent(self, stream: io.StringIO) -> None:
        configure_logging("json", stream=stream)
        structlog.get_logger("recoup").info("said", path=self.EVIL)

        assert self.EVIL == records(stream)[0]["path"]
