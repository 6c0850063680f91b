"""The registry of pipelines, and the TOML file that it is loaded from."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recoup.errors import ConfigurationError, SeveralMistakesError
from recoup.pipelines import registry as registry_module
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.protocol import Request
from recoup.pipelines.python import PythonPipeline
from recoup.pipelines.registry import PipelineRegistry, load_pipelines

from . import generators
from .upstream import serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipelines.toml"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "pipelines.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def http(name: str) -> HttpPipeline:
    return HttpPipeline(PipelineOptions(name=name), url="http://127.0.0.1:9/")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


class TestLoading:
    def test_every_option_of_the_example_is_taken(self):
        registry = load_pipelines(EXAMPLE, environ={"LLM_AUTHORIZATION": "Bearer secret"})
        llm, relief = registry["llm"], registry["relief"]
        assert list(registry) == ["llm", "echo", "relief"]
        assert [pipeline.kind for pipeline in registry.values()] == ["http", "python", "relief"]
        assert (llm.version, llm.timeout_seconds, llm.ttl_seconds) == ("1", 300.0, 86400.0)
        assert (llm.max_concurrent, llm.max_waiting) == (4, 64)
        assert (llm.key_headers, llm.ignore_headers) == (("accept-language",), ("x-request-id",))
        assert (relief.timeout_seconds, relief.ttl_seconds, relief.max_waiting) == (120.0, 604800.0, 32)
        assert "secret" not in repr([pipeline.describe() for pipeline in registry.values()])

    def test_the_callable_of_the_example_generates(self, loop):
        echo = loop.blocking(load_pipelines(EXAMPLE, environ={"LLM_AUTHORIZATION": "Bearer secret"})["echo"])
        echo.start()
        try:
            assert b"body=b'hello'" in echo.generate(echo.prepare(Request(b"hello"))).body
        finally:
            echo.close(0.0)

    def test_the_example_tells_every_option(self):
        text = EXAMPLE.read_text(encoding="utf-8")
        options = {option for kind in registry_module._KINDS.values() for option in kind.options}
        assert [] == [option for option in sorted(options) if f"\n{option} = " not in text]

    def test_a_pipeline_of_a_file_generates_with_all_that_it_configures(self, write, loop):
        with serve(lambda handler, _: handler.answer(200, b"hello", Content_Type="text/plain")) as upstream:
            registry = load_pipelines(
                write(f"""
                    [pipelines.llm]
                    kind = "http"
                    url = "{upstream.url}"
                    method = "PUT"
                    headers = {{ X-Client = "recoup" }}
                    headers_from_env = {{ Authorization = "TOKEN" }}
                """),
                environ={"TOKEN": "Bearer t"},
            )
            loop.run(registry.start())
            llm = registry["llm"]
            result = loop.run(llm.generate(llm.prepare(Request(b"x", "text/plain"))))
            loop.run(registry.close(0.0))
        sent = upstream.last.headers
        assert (b"hello", "PUT") == (result.body, upstream.last.method)
        assert ("recoup", "Bearer t") == (sent["x-client"], sent["authorization"])

    def test_what_the_file_leaves_out_has_its_default(self, write):
        llm = load_pipelines(write('pipelines.llm = { kind = "http", url = "http://a.example" }'))["llm"]
        assert (llm.version, llm.timeout_seconds, llm.ttl_seconds) == ("1", 300.0, None)
        assert (llm.max_concurrent, llm.max_waiting, llm.key_headers, llm.ignore_headers) == (4, 64, (), ())

    def test_a_ttl_of_zero_is_kept_apart_from_none(self, write):
        file = write('pipelines.llm = { kind = "http", url = "http://a.example", ttl_seconds = 0 }')
        assert load_pipelines(file)["llm"].ttl_seconds == 0

    def test_a_file_has_exactly_the_pipelines_that_it_names_in_its_order(self, write):
        text = "".join(f'[pipelines.{name}]\nkind = "http"\nurl = "http://a.example"\n' for name in ("z", "a", "m"))
        assert list(load_pipelines(write(text))) == ["z", "a", "m"]

    def test_without_a_file_there_is_relief_with_the_workers_that_were_asked_for(self):
        registry = load_pipelines(None, relief_workers=3)
        assert list(registry) == ["relief"]
        assert registry["relief"].max_concurrent == 3

    @pytest.mark.parametrize(("expected", "line"), [(3, ""), (1, "workers = 1")])
    def test_the_workers_of_relief_in_the_file_go_first(self, write, expected, line):
        file = write(f'[pipelines.figures]\nkind = "relief"\n{line}')
        assert load_pipelines(file, relief_workers=3)["figures"].max_concurrent == expected

    @pytest.mark.parametrize("text", [None, '[pipelines.relief]\nkind = "relief"'])
    def test_relief_without_its_libraries_says_what_to_install(self, write, monkeypatch, text):
        monkeypatch.setattr(registry_module, "_RELIEF_LIBRARIES", ("numpy", "absent_one", "absent_two"))
        with pytest.raises(ConfigurationError, match=r"needs absent_one, absent_two, which the extra recoup\[relief\]"):
            load_pipelines(write(text) if text else None)

    def test_the_libraries_that_are_looked_for_are_all_that_relief_imports(self):
        folder = Path(registry_module.__file__).parent / "relief"
        imported = {name.partition(".")[0] for path in folder.glob("*.py") for name in imports_of(path)}
        assert set(registry_module._RELIEF_LIBRARIES) == imported - sys.stdlib_module_names - {"recoup"}

    def test_http_alone_does_not_need_the_libraries_of_relief(self, write, monkeypatch):
        monkeypatch.setitem(sys.modules, "recoup.pipelines.relief", None)
        assert list(load_pipelines(write('pipelines.llm = { kind = "http", url = "http://a.example" }'))) == ["llm"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("option", "says"),
        [
            ("kind = 'htttp'", "kind='htttp': expected one of http, python, relief"),
            ("kind = 1", "kind=1: expected"),
            ("ur = 'http://a'", r"unknown option ur; did you mean url\?"),
            ("callable = 'json:dumps'", "unknown option callable"),
            ("url = 9000", "url=9000: expected an http"),
            ("url = ''", "url=''"),
            ("url = 'ftp://a'", "url='ftp://a'"),
            ("url = 'localhost:9000/v1'", "url='localhost:9000/v1'"),
            ("url = '/v1'", "url='/v1'"),
            ("url = 'http://'", "url='http://'"),
            ("url = 'http://a:99999999/'", "url='http://a:99999999/'"),
            ("url = 'http://a/#part'", "url='http://a/#part'"),
            ("method = 'post'", "method='post': expected one of POST, PUT, PATCH, GET"),
            ("method = 'CONNECT'", "method='CONNECT'"),
            ("method = 'FETCH'", "method='FETCH'"),
            ("version = 1", "version=1: expected a text"),
            ("description = ['a']", "description="),
            ("timeout_seconds = 0", "timeout_seconds=0: expected a number above 0 and up to"),
            ("timeout_seconds = -1.5", "timeout_seconds=-1.5"),
            ("timeout_seconds = nan", "timeout_seconds=nan"),
            ("timeout_seconds = inf", "timeout_seconds=inf"),
            ("timeout_seconds = true", "timeout_seconds=True"),
            ("timeout_seconds = '300'", "timeout_seconds='300'"),
            ("timeout_seconds = 1" + "0" * 400, "timeout_seconds=an integer of very many digits"),
            ("ttl_seconds = -1", "ttl_seconds=-1: expected a number from 0 to"),
            ("max_concurrent = 0", "max_concurrent=0: expected a whole number from 1"),
            ("max_concurrent = 1.0", r"max_concurrent=1\.0"),
            ("max_concurrent = 1000000000", "max_concurrent=1000000000"),
            ("max_waiting = -1", "max_waiting=-1: expected a whole number from 0"),
            ("max_waiting = false", "max_waiting=False"),
            ("max_result_mb = 0", "max_result_mb=0: expected .*megabytes"),
            ("key_headers = 'Accept'", "key_headers='Accept': expected a list of header names"),
            ("key_headers = ['a b']", "key_headers="),
            ("key_headers = [1]", "key_headers="),
            ("key_headers = ['Host']", "key_headers=.*Host"),
            ("key_headers = ['Accept', 'accept']", "key_headers=.*each once"),
            ("ignore_headers = ['Content-Length']", "ignore_headers="),
            ("key_headers = ['Cookie']\nignore_headers = ['cookie']", "ignore_headers=.*'cookie' is one"),
            ("max_entries = 0", "max_entries=0: expected a whole number from 1"),
            ("max_memory_mb = 0", "max_memory_mb=0: expected .*megabytes"),
            ("reserve_memory_mb = -1", "reserve_memory_mb=-1: expected .*megabytes"),
            ("reserve_memory_mb = 5\nmax_memory_mb = 4", "reserve_memory_mb=5: expected at most max_memory_mb, 4"),
            ("headers = 'X: y'", "headers: expected a table"),
            ("headers = { X = 1 }", "headers.'X': expected"),
            ("headers = { 'X Y' = 'z' }", "headers.'X Y': expected"),
            ('headers = { X = "a\\r\\nb" }', "headers.'X': expected"),
            ("headers = { Host = 'a' }", "headers.'Host': expected"),
            ("headers = { Accept = 'a' }\nkey_headers = ['Accept']", "headers: names 'accept', which is passed on"),
            ("headers_from_env = { X = 'ABSENT' }", "headers_from_env: expected 'ABSENT' in the environment"),
            ("headers_from_env = { X = 'LINES' }", "headers_from_env: expected 'LINES'"),
            ("headers = { X = 'a' }\nheaders_from_env = { x = 'TOKEN' }", "headers_from_env: names 'x'"),
        ],
        ids=lambda value: value[:40],
    )
    def test_an_option_that_cannot_be_used_says_where_what_and_what_is_allowed(self, write, option, says):
        lines = {"kind": "kind = 'http'", "url": "url = 'http://a.example/'"}
        lines[option.split(" ")[0]] = option
        path = write("[pipelines.llm]\n" + "\n".join(lines.values()))
        with pytest.raises(ConfigurationError, match=f"{path}: pipeline 'llm': {says}"):
            load_pipelines(path, environ={"TOKEN": "t", "LINES": "a\nb"})

    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ("url = 'http://a'", "kind: missing: expected one of http, python, relief"),
            ("kind = 'http'", "url: missing: expected an http"),
            ("kind = 'python'", 'callable: missing: expected "package.module:function"'),
            ("kind = 'python'\ncallable = 'json.dumps'", "callable='json.dumps': expected"),
            ("kind = 'python'\ncallable = 'no_such_package_here:f'", "callable='no_such_package_here:f'"),
            ("kind = 'python'\ncallable = 'json:dumps'\nurl = 'http://a'", "unknown option url"),
            ("kind = 'relief'\nmax_concurrent = 2", "unknown option max_concurrent; expected one of kind, max_entries"),
            ("kind = 'relief'\nworkers = 0", "workers=0"),
            ("kind = 'relief'\ntimeout_seconds = 0", "timeout_seconds=0"),
            ("kind = 'relief'\nmemory_mb = -1", "memory_mb=-1"),
            ("kind = 'python'\ncallable = 'json:dumps'\nenvironment = 'HOME'", "environment='HOME'"),
            ("kind = 'python'\ncallable = 'json:dumps'\nenvironment = ['A B']", "environment="),
            (
                "kind = 'python'\ncallable = 'json:dumps'\nenvironment = ['ABSENT_HERE']",
                "environment: expected 'ABSENT_HERE' in the environment",
            ),
        ],
    )
    def test_what_a_kind_needs_or_does_not_know_is_said(self, write, table, says):
        with pytest.raises(ConfigurationError, match=f"pipeline 'llm': {says}"):
            load_pipelines(write(f"[pipelines.llm]\n{table}"))

    def test_every_mistake_of_every_pipeline_is_listed_at_once(self, write):
        path = write(
            "[pipelines.a]\nkind = 'http'\nurl = 'ftp://a'\nmax_waiting = -1\nur = 1\nheaders = { Host = 'x' }\n"
            "[pipelines.b]\nkind = 'python'\n[pipelines.c]\nkind = 'no'\n"
            "[pipelines.d]\nkind = 'http'\nurl = 'http://d.example'"
        )
        with pytest.raises(SeveralMistakesError) as caught:
            load_pipelines(path)
        mistakes = [str(mistake).removeprefix(f"{path}: pipeline ") for mistake in caught.value.mistakes]
        assert ["'a': unkno", "'a': url='", "'a': max_w", "'a': heade", "'b': calla", "'c': kind="] == [
            mistake[:10] for mistake in mistakes
        ]

    @pytest.mark.parametrize(
        "options", ["url = 'http://a.example'\nheaders = { 'X Y' = 'hunter2' }", "url = 'http://me:hunter2@a.example'"]
    )
    def test_a_secret_is_in_no_error(self, write, options):
        with pytest.raises(ConfigurationError) as raised:
            load_pipelines(write(f"[pipelines.a]\nkind = 'http'\n{options}"))
        assert "hunter2" not in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "no pipeline in it"),
            ("[pipelines]", "no pipeline in it"),
            ("pipelines = 1", "no pipeline in it"),
            ("[pipeline.llm]\nkind = 'http'", "unknown table 'pipeline'; expected only"),
            ("[pipelines]\nllm = 1", "pipeline 'llm'=1: expected a table"),
            ("[pipelines.LLM]\nkind = 'http'", "the pipeline name 'LLM': expected lower-case"),
            ("[pipelines.'a/b']\nkind = 'http'", "'a/b': expected"),
            ("[pipelines.'']\nkind = 'http'", "'': expected"),
            (f"[pipelines.{'a' * 65}]\nkind = 'http'", "expected lower-case"),
            ("[pipelines.llm", "not a TOML file"),
            ("[pipelines.llm]\nkind = 'http'\n[pipelines.llm]\nkind = 'http'", "not a TOML file"),
        ],
    )
    def test_a_file_that_holds_no_pipelines_is_refused(self, write, text, says):
        path = write(text)
        with pytest.raises(ConfigurationError, match=f"{path}: .*{says}"):
            load_pipelines(path)

    def test_a_file_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"absent\.toml: cannot be read"):
            load_pipelines(tmp_path / "absent.toml")

    def test_a_file_that_is_no_text_is_refused(self, tmp_path):
        path = tmp_path / "pipelines.toml"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigurationError, match="not a TOML file"):
            load_pipelines(path)


class TestTogether:
    def test_it_is_a_mapping_in_the_order_given(self):
        one, two = http("z"), http("a")
        registry = PipelineRegistry([one, two])
        assert [("z", one), ("a", two)] == list(registry.items())
        assert (2, True, None) == (len(registry), "a" in registry, registry.get("absent"))

    @pytest.mark.parametrize("names", [("a", "a"), ("A",), ("a b",), ("",), ("../a",), ("a\n",)])
    def test_a_name_that_cannot_be_used_is_refused(self, names):
        with pytest.raises(ConfigurationError, match="name"):
            PipelineRegistry([http(name) for name in names])

    def test_it_is_ready_when_all_of_them_are(self, loop):
        one, two = http("one"), http("two")
        registry = PipelineRegistry([one, two])
        states = [registry.ready()]
        loop.run(registry.start())
        states.append(registry.ready())
        loop.run(two.close(0.0))
        assert [False, True, False] == [*states, registry.ready()]

    def test_one_that_cannot_start_ends_the_others(self, loop):
        one = http("one")
        broken = PythonPipeline(PipelineOptions(name="broken", max_concurrent=1), path=f"{generators.__name__}:absent")
        with pytest.raises(ConfigurationError, match="absent"):
            loop.run(PipelineRegistry([one, broken]).start())
        assert not one.ready()

    def test_all_are_closed_at_the_same_time_within_one_grace(self, loop):
        closing: list[float] = []
        both = asyncio.Event()

        class Slow(HttpPipeline):
            async def close(self, grace_seconds: float) -> None:
                closing.append(grace_seconds)
                if len(closing) == 2:
                    both.set()
                await both.wait()
                await super().close(grace_seconds)

        registry = PipelineRegistry(
            [Slow(PipelineOptions(name=name), url="http://127.0.0.1:9/") for name in ("one", "two")]
        )
        loop.run(registry.start())
        loop.run(registry.close(7.0))
        assert [7.0, 7.0] == closing
        assert not registry.ready()

    def test_one_that_cannot_be_closed_is_logged_and_the_others_are_closed(self, caplog, loop):
        class Broken(HttpPipeline):
            async def close(self, grace_seconds: float) -> None:
                raise OSError("it is stuck")

        two = http("two")
        registry = PipelineRegistry([Broken(PipelineOptions(name="one"), url="http://127.0.0.1:9/"), two])
        loop.run(registry.start())
        with caplog.at_level(logging.ERROR):
            loop.run(registry.close(0.0))
        assert ["pipeline_not_closed"] == [record.message for record in caplog.records]
        assert not two.ready()


class TestPaths:
    """Paths of pipelines' own, and passthrough."""

    PLACE = """
        [pipelines.a]
        kind = "http"
        url = "http://a.example/x"
        path = "/x"
    """

    def test_they_are_loaded_with_their_urls(self, write):
        registry = load_pipelines(
            write(
                self.PLACE
                + """
                [pipelines.b]
                kind = "http"
                url = "http://b.example/y/*"
                path = "/y/*"
                method = "GET"
                [[passthrough]]
                path = "/y/*"
                url = "https://c.example/*"
                """
            )
        )
        served: list[Any] = list(registry.values())
        assert [("/x", ("POST",)), ("/y/*", ("GET", "HEAD"))] == [(it.path.text, it.methods) for it in served]
        assert ["/y/*"] == [it.path.text for it in registry.passthrough]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path = 'x'", "pipeline 'b': path='x': expected a path such as"),
            ("path = 7", "pipeline 'b': path=7: expected a path such as"),
            ("path = '/metrics'", "pipeline 'b': path='/metrics': expected a path that Recoup does not answer itself"),
            ("path = '/api/cache/*'", "pipeline 'b': path='/api/cache/*': expected paths that Recoup does not"),
            ("path = '/x'", "pipeline 'b': path: '/x' is that of pipeline 'a', too (POST): expected another"),
            ("path = '/y/*'", "pipeline 'b': url: expected a URL that ends in \"/*\", as path does"),
            ("keep_headers = ['*']", "pipeline 'b': keep_headers=['*']: expected a list of header names"),
            ("keep_headers = ['A*b']", "pipeline 'b': keep_headers=['A*b']: expected a list of header names"),
            ("keep_headers = ['Connection']", "pipeline 'b': keep_headers=['Connection']: expected a list of header"),
            ("keep_headers = ['Set-Cookie']", "pipeline 'b': keep_headers=['Set-Cookie']: expected a list of header"),
            ("keep_headers = ['SET-*']", "pipeline 'b': keep_headers=['SET-*']: expected a list of header names, none"),
            ("stream_end = ['']", "pipeline 'b': stream_end=['']: expected a list of texts"),
            ("stream_end = 'x'", "pipeline 'b': stream_end='x': expected a list of texts"),
            (
                "upstream_cache_control = 'no'",
                "pipeline 'b': upstream_cache_control='no': expected one of obey, ignore",
            ),
        ],
    )
    def test_a_mistake_stops_the_start_with_its_place(self, write, text, message):
        file = write(self.PLACE + f"[pipelines.b]\nkind = 'http'\nurl = 'http://b.example/'\n{text}")
        with pytest.raises(ConfigurationError, match=re.escape(f"{file}: {message}")):
            load_pipelines(file)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[[passthrough]]\nurl = 'http://a/'", "passthrough 1: path: missing: expected a path such as"),
            ("[[passthrough]]\npath = '/z'", "passthrough 1: url: missing"),
            (
                "[[passthrough]]\npath = '/z'\nurl = 'http://a/'\nx = 1",
                "passthrough 1: unknown option x; expected one of path, url",
            ),
            ("[[passthrough]]\npath = '/z'\nurl = 'http://a/*'", "passthrough 1: url: expected a URL without"),
            (
                "[[passthrough]]\npath = '/z'\nurl = 'http://a/'\n[[passthrough]]\npath = '/z'\nurl = 'http://b/'",
                "passthrough 2: path: '/z' is that of passthrough 1, too",
            ),
            ("[passthrough]\npath = '/z'", "passthrough="),
        ],
    )
    def test_a_mistake_of_a_passthrough_does_too(self, write, text, message):
        file = write(f"{self.PLACE}\n{text}")
        with pytest.raises(ConfigurationError, match=re.escape(f"{file}: {message}")):
            load_pipelines(file)

    def test_an_upstream_and_a_file_are_one_too_many(self, write):
        with pytest.raises(ConfigurationError, match="RECOUP_UPSTREAM and RECOUP_PIPELINES are both set"):
            load_pipelines(write(self.PLACE), upstream="http://a.example")

    @pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a/?b", "http://a b", "http://u:hunter2@a"])
    def test_an_upstream_that_cannot_be_used_is_refused_and_its_password_not_shown(self, url):
        with pytest.raises(ConfigurationError, match="RECOUP_UPSTREAM") as raised:
            load_pipelines(None, upstream=url)
        assert "hunter2" not in str(raised.value)
