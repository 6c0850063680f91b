"""What is said of answers on their way: the event that ends a stream, the upstream's word, the paths, the readers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.errors import BadRequestError, StreamCutError
from recoup.pipelines import stream as stream_module
from recoup.pipelines.answer_parser import ExchangeError
from recoup.pipelines.hop_by_hop import end_to_end
from recoup.pipelines.paths import conflict, is_own_path, parse_path, sent_path, sent_query
from recoup.pipelines.protocol import Result
from recoup.pipelines.result_rules import ResultRules
from recoup.pipelines.server_sent_events import Event, ended_well, last_event
from recoup.pipelines.stream import READERS_A_ROUND, WINDOW_BYTES, Reader, Stream
from recoup.pipelines.upstream_word import word_of

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
WORDS = st.text(st.characters(exclude_characters="\r\n\x00", codec="utf-8"), min_size=1).map(lambda text: "w" + text)


class TestTheLastEvent:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", None),
            (b"\n\n: a comment\n\n", None),
            (b"data: a\n\ndata: b\n\n", Event("", "b")),
            (b"data: b", Event("", "b")),
            (b"data:b\n\n", Event("", "b")),
            (b"data:  b\n\n", Event("", " b")),
            (b"data: a\ndata: b\n\n", Event("", "a\nb")),
            (b"event: end\ndata: {}\nid: 1\n\n", Event("end", "{}")),
            (b"event: end\n\n", Event("end", "")),
            (b"data: a\n\n: bye\n\n\n", Event("", "a")),
            (b"data: " + b"x" * 10_000 + b"\n\n", Event("", "x" * 10_000)),
            (b"data: \xff\n\n", Event("", "\ufffd")),
        ],
    )
    def test_is_what_the_standard_says(self, body, expected):
        assert expected == last_event(body)

    @given(st.lists(WORDS, max_size=30), WORDS, LINE_ENDS, st.integers(0, 6000))
    def test_is_the_last_one_however_many_there_are_and_however_lines_end(self, words, last, end, comment):
        events = [*words, last]
        body = "".join(f"data: {word}{end}{end}" for word in events) + f": {'c' * comment}{end}{end}"
        assert Event("", last) == last_event(body.encode())
        assert ended_well(body.encode(), (last,))


class TestTheUpstreamsWord:
    @pytest.mark.parametrize(
        ("headers", "kept_out", "ttl"),
        [
            ([], "", None),
            ([(b"cache-control", b"public, max-age=60")], "", 60.0),
            ([(b"cache-control", b'max-age="60"')], "", 60.0),
            ([(b"cache-control", b"max-age=60"), (b"cache-control", b"no-store")], "no-store", None),
            ([(b"cache-control", b"NO-STORE")], "no-store", None),
            ([(b"cache-control", b'private="x-a, x-b"')], "private", None),
            ([(b"cache-control", b'ext="no-store", max-age=5')], "", 5.0),
            ([(b"cache-control", b"max-age=60, max-age=0")], "", 60.0),
            ([(b"cache-control", b"max-age=-1")], "max-age=0", 0.0),
            ([(b"cache-control", b"max-age")], "max-age=0", 0.0),
            ([(b"cache-control", b"max-age=99999999999999999999")], "", 10.0**9),
            ([(b"cache-control", b"max-age=10"), (b"age", b"4")], "", 6.0),
            ([(b"cache-control", b"max-age=10"), (b"age", b"soon")], "", 10.0),
            ([(b"set-cookie", b"")], "set-cookie", None),
            ([(b"vary", b"Accept-Language, accept-encoding")], "", None),
            ([(b"vary", b"Accept-Language"), (b"vary", b"Cookie")], "vary", None),
            ([(b"vary", b"accept-language, *")], "vary", None),
        ],
    )
    def test_is_read_as_rfc_9111_has_it(self, headers, kept_out, ttl):
        assert (kept_out, ttl) == word_of(headers, {"accept-language"})[:2]


class TestPaths:
    @pytest.mark.parametrize("text", ["/v1", "/v1/", "/v1/chat", "/*", "/v1/*", "/api/chat", "/a.b/~c@d:e"])
    def test_a_path_is_taken(self, text):
        assert text == parse_path(text).text

    @pytest.mark.parametrize(
        "text",
        ["", "v1", "*", "/v1*", "/*/a", "/a/../b", "/./a", "/a b", "/a?b", "/a#b", "/%41", "/ä", "/a/**", "/{x}"],
    )
    def test_what_is_none_is_refused(self, text):
        with pytest.raises(ValueError, match="a path is expected"):
            parse_path(text)

    @pytest.mark.parametrize(
        ("pattern", "path", "rest"),
        [
            ("/v1", "/v1", ""),
            ("/v1", "/v1/", None),
            ("/v1/*", "/v1/", ""),
            ("/v1/*", "/v1/a/b", "a/b"),
            ("/v1/*", "/v1", None),
            ("/v1/*", "/v10/a", None),
            ("/*", "/", ""),
            ("/*", "/a", "a"),
        ],
    )
    def test_a_path_matches_all_of_itself_and_an_open_one_what_is_below(self, pattern, path, rest):
        assert rest == parse_path(pattern).rest(path)

    def test_only_one_path_with_one_method_conflicts(self):
        chat, below = parse_path("/v1/chat"), parse_path("/v1/*")
        assert "POST" == conflict(chat, ("POST",), chat, ("POST", "PUT"))
        assert conflict(chat, ("POST",), chat, ("GET", "HEAD")) is None
        assert conflict(chat, ("POST",), below, ("POST",)) is None

    @pytest.mark.parametrize(
        "raw", [b"/a/../b", b"/a/%2E%2e/b", b"/a/.", b"/..;x/b", b"/a%2f..%2fb", b"/a\\..\\b", b"/a b"]
    )
    def test_a_path_that_was_sent_leads_nowhere_else(self, raw):
        with pytest.raises(BadRequestError):
            sent_path(raw)

    @pytest.mark.parametrize("raw", [b"/a/.well-known", b"/a...b", b"/..a", b"/a%2fb", b"/a//b"])
    def test_a_path_with_dots_of_its_own_is_as_good_as_any(self, raw):
        assert raw.decode() == sent_path(raw)

    @pytest.mark.parametrize("raw", [b"a b", b"a\r\nHost: x", b"a#b", b"a\x00"])
    def test_a_query_that_no_client_sends_is_refused(self, raw):
        with pytest.raises(BadRequestError):
            sent_query(raw)

    @pytest.mark.parametrize("path", ["/metrics", "/docs", "/docs/runbook", "/api/cache/stats", "/api/generate/x", "/"])
    def test_recoups_own(self, path):
        assert is_own_path(path)

    @pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/v1/metrics", "/docs2", "/metricsx"])
    def test_not_recoups_own(self, path):
        assert not is_own_path(path)


class TestHeadersOfTheConnection:
    def test_they_and_those_that_it_names_stay_behind(self):
        headers = [(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"te", b"trailers"), (b"x-a", b"1")]
        assert [(b"x-a", b"1")] == end_to_end(headers)

    def test_nobody_takes_away_whose_a_request_is(self):
        headers = [(b"connection", b"authorization, cookie, content-length"), (b"authorization", b"me")]
        assert [(b"authorization", b"me")] == end_to_end(headers)


class Source:
    """Chunks that come when the test says so."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.taken = 0

    def put(self, chunk: bytes | Exception | None) -> None:
        self._chunks.put_nowait(chunk)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            self.taken += 1
            yield chunk


def make(source: Source, *, max_bytes: int = 100, ends: tuple[str, ...] = ()) -> Stream:
    head = Result(b"", "text/event-stream", "-")
    return Stream(
        200,
        [],
        source.chunks(),
        head=head,
        max_bytes=max_bytes,
        ends=ends,
        rules=ResultRules(),
        exchange=AsyncExitStack(),
        timeout_seconds=60.0,
    )


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def drain(reader: Reader, most: int = 2**20) -> bytes:
    whole = b""
    while piece := await reader.read(most):
        whole += piece
    return whole


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


class TestReaders:
    def test_each_goes_at_its_own_pace_and_holds_nobody_up(self):
        async def main() -> None:
            source = Source()
            stream = make(source, max_bytes=2**24)
            whole = asyncio.create_task(stream.whole())
            fast, slow = stream.reader(), stream.reader()
            for _ in range(64):
                source.put(b"x" * 2**16)
            source.put(None)
            assert 2**22 == len(await drain(fast))
            assert 2**22 == len((await whole).body)
            assert 0 == slow.at
            assert 2**22 == len(await drain(slow, 1000))

        run(main())

    def test_one_that_begins_later_gets_the_same(self):
        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            source.put(b"one")
            await settle()
            reader = stream.reader()
            assert b"one" == await reader.read(10)
            source.put(b"two")
            source.put(None)
            assert b"two" == await drain(reader)
            assert b"onetwo" == (await whole).body

        run(main())

    def test_they_see_that_it_broke_off_after_what_came(self):
        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            reader = stream.reader()
            source.put(b"one")
            source.put(ExchangeError("gone"))
            with pytest.raises(StreamCutError):
                await whole
            assert b"one" == await reader.read(10)
            with pytest.raises(StreamCutError, match="gone"):
                await reader.read(10)

        run(main())


class TestOverTheLimit:
    def test_the_upstream_waits_for_the_slowest_reader_and_little_is_kept(self):
        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            slow, fast = stream.reader(), stream.reader()
            chunks = 4 * WINDOW_BYTES // 2**16
            for _ in range(chunks):
                source.put(b"x" * 2**16)
            source.put(None)
            await settle()
            taken = source.taken
            assert taken * 2**16 <= WINDOW_BYTES + 2 * 2**16
            got = await asyncio.gather(drain(fast), drain(slow, 5000))
            assert [chunks * 2**16] * 2 == [len(body) for body in got]
            result = await whole
            assert (b"", "too-large", False) == (result.body, result.kept_out, result.decision().store)

        run(main())

    def test_a_reader_who_takes_nothing_is_cut_off(self, monkeypatch):
        monkeypatch.setattr(stream_module, "STALL_SECONDS", 0.05)

        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            stuck, fast = stream.reader(), stream.reader()
            for _ in range(2 * WINDOW_BYTES // 2**16):
                source.put(b"x" * 2**16)
            source.put(None)
            assert 2 * WINDOW_BYTES == len(await drain(fast))
            with pytest.raises(StreamCutError):
                await stuck.read(1)
            await whole

        run(main())

    def test_without_readers_it_is_ended(self):
        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            reader = stream.reader()
            source.put(b"x" * 101)
            await settle()
            reader.close()
            source.put(b"more")
            assert "too-large" == (await whole).kept_out

        run(main())


async def small_reads(reader: Reader) -> None:
    while await reader.read(2**14):
        await asyncio.sleep(0)


def processor_seconds_of_readers(count: int) -> float:
    """What it takes to hand an answer that is not kept to so many readers."""

    async def main() -> float:
        source = Source()
        stream = make(source)
        whole = asyncio.create_task(stream.whole())
        readers = [asyncio.create_task(small_reads(stream.reader())) for _ in range(count)]
        for _ in range(32):
            source.put(b"x" * 2**16)
        source.put(None)
        began = time.process_time()
        await asyncio.gather(*readers)
        await whole
        return time.process_time() - began

    return float(run(main()))


class TestManyReaders:
    def test_some_of_them_are_woken_in_each_round_of_the_loop(self):
        async def main() -> None:
            source = Source()
            stream = make(source)
            whole = asyncio.create_task(stream.whole())
            readers = [stream.reader() for _ in range(10 * READERS_A_ROUND)]
            tasks = [asyncio.create_task(drain(reader)) for reader in readers]
            await settle()
            source.put(b"one")
            read = [0]
            while read[-1] < len(readers):
                await asyncio.sleep(0)
                read.append(sum(reader.at == 3 for reader in readers))
            assert max(after - before for before, after in itertools.pairwise(read)) <= READERS_A_ROUND
            source.put(None)
            assert {b"one"} == set(await asyncio.gather(*tasks))
            await whole

        run(main())

    def test_each_costs_what_it_reads_however_many_there_are(self):
        few = min(processor_seconds_of_readers(200) for _ in range(3))
        many = min(processor_seconds_of_readers(1600) for _ in range(2))
        assert many < 24 * few  # eight times as many: 64 times it would be if each read looked at all of them
