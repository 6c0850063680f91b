"""Long JSON is read in other processes: what comes of it is the same, and what fails there fails its own request."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recoup.errors import BadRequestError, OverloadedError
from recoup.pipelines import aside as aside_module
from recoup.pipelines.aside import AT_HOME_BYTES, Aside
from recoup.pipelines.canonical_json import canonical_json
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.group_templates import parse_template
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.json_pointer import parse_pointer
from recoup.pipelines.key_shape import KeyShape
from recoup.pipelines.protocol import Request, Result
from recoup.pipelines.registry import PipelineRegistry
from recoup.pipelines.result_rules import ResultRules

from .loops import LoopThread

LONG = AT_HOME_BYTES + 1
JSON = "application/json"


@pytest.fixture(scope="module")
def aside(loop: LoopThread) -> Iterator[Aside]:
    made = Aside()
    loop.run(begin(made))
    yield made
    loop.run(made.close())


async def begin(aside: Aside) -> None:
    aside.start()


def process_of(*_: Any) -> int:
    return os.getpid()


def die_once(place: str) -> str:
    """Kills its process the first time."""
    try:
        os.mkdir(place)
    except FileExistsError:
        return "alive"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def allocate(size: int) -> int:
    return len(bytearray(size))


class TestWhere:
    @pytest.mark.parametrize(("size", "elsewhere"), [(AT_HOME_BYTES, False), (LONG, True)])
    def test_what_is_long_is_read_in_another_process(self, loop, aside, size, elsewhere):
        assert elsewhere == (loop.run(aside.run(size, process_of)) != os.getpid())
        assert elsewhere == (aside.run_in_thread(size, process_of) != os.getpid())

    def test_in_this_one_where_the_caller_is_the_loop_itself_that_would_have_to_wait(self, loop, aside):
        async def ask() -> int:
            return aside.run_in_thread(LONG, process_of)

        assert os.getpid() == loop.run(ask())

    def test_in_this_one_before_the_start_and_after_the_end(self, loop):
        made = Aside()
        assert os.getpid() == made.run_in_thread(LONG, process_of)
        loop.run(begin(made))
        assert os.getpid() != made.run_in_thread(LONG, process_of)
        loop.run(made.close())
        assert os.getpid() == made.run_in_thread(LONG, process_of)

    def test_no_process_is_started_before_there_is_something_to_read(self, loop):
        made = Aside()
        loop.run(begin(made))
        before = threading.active_count()
        loop.run(made.run(1, process_of))
        assert made._pool is None
        assert threading.active_count() <= before + 1
        loop.run(made.close())


class TestFailures:
    def test_a_refusal_is_the_functions_own(self, aside):
        with pytest.raises(BadRequestError, match="The body is not JSON"):
            aside.run_in_thread(LONG, canonical_json, b"[" + b" " * LONG + b"1,]")

    def test_a_process_that_dies_is_one_request_that_is_refused_and_the_next_one_is_read(self, aside, tmp_path):
        with pytest.raises(OverloadedError, match="could not be read: the worker process was killed by SIGKILL"):
            aside.run_in_thread(LONG, die)
        place = str(tmp_path / "died")
        with pytest.raises(OverloadedError):
            aside.run_in_thread(LONG, die_once, place)
        assert "alive" == aside.run_in_thread(LONG, die_once, place)

    def test_memory_is_in_proportion_to_the_text(self, aside):
        with pytest.raises(OverloadedError, match="MemoryError"):
            aside.run_in_thread(LONG, allocate, 1 << 30)
        assert 1 << 27 == aside.run_in_thread(LONG, allocate, 1 << 27)
        assert 1 << 30 == aside.run_in_thread(64 * LONG, allocate, 1 << 30)

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell of its processes")
    def test_the_limit_is_measured_from_what_the_process_has(self):
        assert 2**20 < aside_module._address_space() < 2**40


@pytest.fixture(scope="module")
def pipeline(loop: LoopThread) -> Iterator[HttpPipeline]:
    options = PipelineOptions(
        name="llm",
        groups=(parse_template("model:{/model}"),),
        key_shape=KeyShape([parse_pointer("/user")]),
        rules=ResultRules([parse_pointer("/error")]),
    )
    made = HttpPipeline(options, url="http://127.0.0.1:9/")
    registry = PipelineRegistry([made])
    loop.run(registry.start())
    yield made
    loop.run(registry.close(0.0))


class TestOneMeaning:
    """Whatever the size of a text, and wherever it was read."""

    @pytest.mark.parametrize(
        "value",
        [
            {"model": "m", "user": "u", "text": "x"},
            {"model": "m", "user": "u", "numbers": [1, 1.0, -0.0, 1e300, 12345678901234567890123]},
            {"user": "u", "texts": ["\u00e9", "\U0001f600", "\ud800", '"\\\n'], "none": None, "both": [True, False]},
        ],
        ids=["text", "numbers", "texts"],
    )
    def test_white_space_and_what_is_ignored_make_no_other_key(self, pipeline, value):
        short = json.dumps({**value, "user": "another"}, separators=(",", ":")).encode()
        long = json.dumps(value).encode().replace(b"{", b"{" + b" " * LONG, 1)
        assert len(short) < AT_HOME_BYTES < len(long)
        assert prepared(pipeline, short) == prepared(pipeline, long)

    def test_long_texts_that_differ_have_keys_that_differ(self, pipeline):
        one, other = (b'{"text": "%b%d"}' % (b"x" * LONG, number) for number in (1, 2))
        assert prepared(pipeline, one) != prepared(pipeline, other)

    def test_a_long_text_that_is_no_json_is_refused_as_a_short_one(self, pipeline):
        for body in (b'{"a": 1, "a": 2}', b'{"a": "' + b"x" * LONG + b'", "a": 2}'):
            with pytest.raises(BadRequestError, match="it has the member 'a' twice in one object"):
                prepared(pipeline, body)

    @pytest.mark.parametrize("member", ["error", "usage"])
    def test_long_results_are_looked_at_as_short_ones(self, loop, pipeline, member):
        word = "store_unless" if member == "error" else ""
        for size in (1, 2 * LONG):
            body = json.dumps({"text": "x" * size, member: 1}).encode()
            assert word == loop.run(pipeline.rules.apply(Result(body, JSON), pipeline.aside)).kept_out

    @pytest.mark.parametrize("size", [1, 1 << 17, LONG])
    def test_so_are_long_events(self, loop, pipeline, size):
        body = b"data: {}\n\n" + b'data: {"text": "%b",\ndata: "error": 1}\n\n' % (b"x" * size) + b"data: {}\n\n"
        result = Result(body, "text/event-stream")
        assert "store_unless" == loop.run(pipeline.rules.apply(result, pipeline.aside)).kept_out


def prepared(pipeline: HttpPipeline, body: bytes) -> Any:
    return pipeline.prepare(Request(body, JSON)).canonical
