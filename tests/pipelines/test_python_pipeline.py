"""The `python` pipeline with real worker processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType

import pytest

from recoup.errors import (
    BadRequestError,
    ConfigurationError,
    GenerationFailedError,
    GenerationTimeoutError,
    UnprocessableError,
    WorkerDiedError,
)
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.protocol import Request, Result
from recoup.pipelines.python import PythonPipeline, is_callable_path
from recoup.pipelines.worker_limits import WorkerLimits
from recoup.pipelines.workers import WorkerPool

from . import generators
from .loops import LoopThread


def path(name: str) -> str:
    return f"{generators.__name__}:{name}"


def make(name: str, **options: float) -> PythonPipeline:
    defaults = {"timeout_seconds": 30.0, "max_concurrent": 1}
    return PythonPipeline(PipelineOptions(name="own", **{**defaults, **options}), path=path(name))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def started(loop: LoopThread) -> Iterator[Callable[[str], PythonPipeline]]:
    """Pipelines by callable, started once for all tests."""
    pipelines: dict[str, PythonPipeline] = {}
    with ExitStack() as stack:

        def get(name: str) -> PythonPipeline:
            if name not in pipelines:
                pipelines[name] = loop.blocking(make(name))
                stack.callback(pipelines[name].close, 0.0)
                pipelines[name].start()  # type: ignore[unused-coroutine]
            return pipelines[name]

        yield get


def generate(pipeline: PythonPipeline, body: bytes, **parts: str | Mapping[str, object]) -> Result:
    return pipeline.generate(pipeline.prepare(Request(body=body, **parts)))  # type: ignore[arg-type, return-value]


def test_the_callable_gets_the_whole_request_in_a_process_of_its_own(started):
    result = generate(
        started("echo"),
        b'{"a": 1}',
        content_type="application/json",
        query=MappingProxyType({"style": ("x", "y")}),
        headers=MappingProxyType({"accept-language": (b"de", b"en")}),
    )
    told = json.loads(result.body)
    assert told.pop("process") != os.getpid()
    assert told == {
        "body": '{"a": 1}',
        "content_type": "application/json",
        "query": {"style": ["x", "y"]},
        "headers": {"accept-language": "de, en"},
    }


@pytest.mark.parametrize(
    ("what", "body", "content_type"),
    [
        ("bytes", b"\x00\xff", "application/octet-stream"),
        ("bytearray", b"ab", "application/octet-stream"),
        ("text", "grün".encode(), "text/plain; charset=utf-8"),
        ("object", '{"a": [1, "ü"]}'.encode(), "application/json"),
        ("array", b"[1, null]", "application/json"),
        ("bytes with a type", b"GIF", "image/gif"),
        ("text with a type", b"<p>", "text/html"),
    ],
)
def test_what_it_returns_becomes_bytes_with_a_content_type(started, what, body, content_type):
    result = generate(started("by_name"), what.encode())
    assert (body, content_type) == (result.body, result.content_type)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("none", "returned NoneType; a result is bytes, str"),
        ("number", "returned int"),
        ("set", "returned set"),
        ("nan", "cannot be encoded"),
        ("object of sets", "cannot be encoded"),
        ("lone surrogate", "cannot be encoded"),
        ("long tuple", "returned another tuple"),
        ("tuple of no body", "returned another tuple"),
        ("tuple of no type", "returned another tuple"),
        ("tuple of a broken type", "returned another tuple"),
    ],
)
def test_what_is_no_result_is_a_failed_generation(started, what, says):
    with pytest.raises(GenerationFailedError, match=says):
        generate(started("by_name"), what.encode())


def test_an_attribute_of_a_class_can_be_the_callable(started):
    assert generate(started("Styles.plain"), b"as it is").body == b"as it is"


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"raise", GenerationFailedError, "TypeError.*not JSON serializable"),
        (b"exit", GenerationFailedError, "SystemExit"),
        (b"die", WorkerDiedError, "SIGKILL"),
        (b"refuse", UnprocessableError, "no such style"),
    ],
)
def test_it_fails_its_own_request_alone(started, body, error, says):
    with pytest.raises(error, match=says):
        generate(started("fail"), body)
    with pytest.raises(UnprocessableError):
        generate(started("fail"), b"refuse")


def test_one_that_is_late_is_ended(loop):
    pipeline = loop.blocking(make("fail", timeout_seconds=0.3))
    pipeline.start()
    try:
        with pytest.raises(GenerationTimeoutError):
            generate(pipeline, b"hang")
    finally:
        pipeline.close(0.0)


def test_json_bodies_are_canonical_for_the_key():
    pipeline = make("echo")
    texts = (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', b'{"a":1.0,"b":2}')
    one, same, other = (pipeline.prepare(Request(text, "application/json")).canonical for text in texts)
    assert repr(one) != repr(other)
    assert one == same
    with pytest.raises(BadRequestError):
        pipeline.prepare(Request(b"{", "application/json"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "has no attribute 'absent'"),
        ("number", "int, which cannot be called"),
        ("later", "coroutine function"),
    ],
)
def test_a_callable_that_is_none_stops_the_start_and_names_the_option(loop, name, says):
    with pytest.raises(ConfigurationError, match=f"'own'.*'callable'.*{name}.*{says}"):
        loop.run(make(name).start())


def test_a_module_that_is_not_there_stops_the_start(loop):
    pipeline = PythonPipeline(PipelineOptions(name="own", max_concurrent=1), path="pipelines_absent.module:function")
    with pytest.raises(ConfigurationError, match="No module named 'pipelines_absent'"):
        loop.run(pipeline.start())


def test_it_is_ready_from_start_to_close(loop):
    pipeline = loop.blocking(make("echo"))
    states = [pipeline.ready()]
    pipeline.start()
    states.append(pipeline.ready())
    pipeline.close(1.0)
    assert [False, True, False] == [*states, pipeline.ready()]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "json:dumps"),
        (True, "collections.abc:Mapping.get"),
        (False, "json"),
        (False, "json.dumps"),
        (False, "json:"),
        (False, ":dumps"),
        (False, "json:dumps()"),
        (False, ".json:dumps"),
        (False, "no_such_package_here.module:function"),
        (False, "__main__:function"),
    ],
)
def test_a_path_is_checked_without_importing_it(expected, text):
    assert expected == is_callable_path(text)


class TestSurroundings:
    def test_a_worker_gets_what_programs_need_and_what_the_pipeline_names(self, loop, monkeypatch):
        for name in ("RECOUP_ADMIN_TOKEN", "LLM_AUTHORIZATION", "AWS_SECRET_ACCESS_KEY", "NAMED", "LC_TIME", "TZ"):
            monkeypatch.setenv(name, f"value of {name}")
        pipeline = PythonPipeline(
            PipelineOptions(name="own", max_concurrent=1), path=path("environment"), environment={"NAMED": "n"}
        )
        told = self.run(loop, pipeline)
        assert ("n", "value of LC_TIME", "value of TZ", "1") == (
            told["NAMED"],
            told["LC_TIME"],
            told["TZ"],
            told["OMP_NUM_THREADS"],
        )
        assert {"PATH"} <= set(told)
        assert {"RECOUP_ADMIN_TOKEN", "LLM_AUTHORIZATION", "AWS_SECRET_ACCESS_KEY"}.isdisjoint(told)

    def test_its_memory_and_its_processor_are_limited(self, loop):
        options = PipelineOptions(name="own", max_concurrent=1, timeout_seconds=100.0)
        pipeline = PythonPipeline(options, path=path("limits"), memory_bytes=2**31)
        told = self.run(loop, pipeline)
        assert told["RLIMIT_AS"][0] == 2**31
        assert 100 < told["RLIMIT_CPU"][0] <= 101 * (os.cpu_count() or 1) + 60

    def test_one_that_takes_too_much_memory_fails_its_own_request_alone(self, loop):
        pipeline = loop.blocking(
            PythonPipeline(PipelineOptions(name="own", max_concurrent=1), path=path("allocate"), memory_bytes=2**30)
        )
        pipeline.start()
        try:
            with pytest.raises(GenerationFailedError, match="MemoryError"):
                generate(pipeline, b"2000")
            assert generate(pipeline, b"1").body == b"1048576"
        finally:
            pipeline.close(0.0)

    def test_one_that_the_service_cannot_end_is_ended_by_the_kernel(self, skipping):
        """The service's own clock stands still; the processor's does not."""
        pipeline = skipping.blocking(WorkerPool(workers=1, timeout_seconds=1000.0, niceness=0))
        pipeline.start()
        try:
            with pytest.raises(WorkerDiedError, match="SIGXCPU"):
                pipeline.run(spin_within, 1)
        finally:
            pipeline.close(0.0)

    @pytest.mark.parametrize(("kind", "error"), [(b"own", UnprocessableError), (b"other", GenerationFailedError)])
    def test_an_error_is_no_longer_than_a_person_reads(self, started, kind, error):
        with pytest.raises(error, match=kind.decode()) as raised:
            generate(started("raise_at_length"), kind + b"x" * 1_000_000)
        assert len(str(raised.value)) <= 2000

    @staticmethod
    def run(loop, pipeline):
        pipeline = loop.blocking(pipeline)
        pipeline.start()
        try:
            return json.loads(generate(pipeline, b"").body)
        finally:
            pipeline.close(0.0)


def spin_within(seconds: float) -> None:
    """Take processor time for ever, where a generation may take so many seconds of it."""
    WorkerLimits(None, seconds).limit_processor()
    generators.spin(Request(b""))
