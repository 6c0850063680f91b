"""Lies of the answers: bodies, headers, what callers are told, and how long they wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from patching import patch

_LENGTH, _TYPE, _TAG = b"content-length", b"content-type", b"etag"
Content = Callable[[int, list[tuple[bytes, bytes]], bytes], bytes]


def _content(change: Content) -> None:
    """Answer with another body, or other headers; told the number of the answer, its headers, its body."""
    from recoup.web.generation import answer

    honest, answers = answer._content, count(1)

    def content(request: Any, result: Any, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
        status, body = honest(request, result, headers)
        body = change(next(answers), headers, body)
        if status == 200:
            headers[:] = [(name, value) for name, value in headers if name != _LENGTH]
            headers.append((_LENGTH, b"%d" % len(body)))
        return status, body

    patch(answer, _content=content)


def _header(headers: list[tuple[bytes, bytes]], name: bytes, value: bytes) -> None:
    headers[:] = [(other, value if other == name else old) for other, old in headers]


def first_body() -> None:
    """Answer everything with the body of the first generation."""
    first = list[bytes]()

    def change(number: int, headers: Any, body: bytes) -> bytes:
        first.append(body)
        return first[0]

    _content(change)


def short_body() -> None:
    """Leave the last fifty thousand bytes out."""
    _content(lambda number, headers, body: body[:-50_000] if len(body) > 50_000 else body)


def another_body() -> None:
    """Answer one in a thousand with what the one before was answered with."""
    last = [b""]

    def change(number: int, headers: Any, body: bytes) -> bytes:
        before, last[0] = last[0], body
        return before if number % 1000 == 0 else body

    _content(change)


def flipped_byte() -> None:
    """Damage one answer in five hundred."""
    _content(lambda number, headers, body: bytes([body[0] ^ 1]) + body[1:] if body and number % 500 == 0 else body)


def changing_etag() -> None:
    """Give each answer an entity tag of its own."""

    def change(number: int, headers: Any, body: bytes) -> bytes:
        _header(headers, _TAG, b'"%d"' % number)
        return body

    _content(change)


def text_plain() -> None:
    """Call every result plain text."""

    def change(number: int, headers: Any, body: bytes) -> bytes:
        _header(headers, _TYPE, b"text/plain")
        return body

    _content(change)


def _status(change: Callable[[Any, str], str]) -> None:
    """Tell callers something else; told the lookup, and what they are to be told."""
    from recoup.web.generation import answer

    honest = vars(answer)["cache_status"]

    def status(lookup: Any, key: str, *, refreshed: bool) -> str:
        return change(lookup, honest(lookup, key, refreshed=refreshed))

    patch(answer, cache_status=status)


def coalesced_told_as_hits() -> None:
    """Tell who waited for another's generation that it was a hit."""
    _status(lambda lookup, text: text.replace("fwd=uri-miss; collapsed", "hit; ttl=86399"))


def wrong_reasons_told() -> None:
    """Tell callers that what was evicted has expired."""
    _status(lambda lookup, text: text.replace("detail=evicted", "detail=expired"))


def age_stands_still() -> None:
    """Tell callers that every result is new."""

    def change(number: int, headers: Any, body: bytes) -> bytes:
        _header(headers, b"age", b"0")
        return body

    _content(change)


def later_hits_slow() -> None:
    """Take twenty milliseconds more for the hits of a key from the fifth on."""
    from recoup.web.generation.endpoint import GenerationEndpoint

    honest, hits = GenerationEndpoint._try_hit, Counter[str]()

    def try_hit(self: GenerationEndpoint, request: Any, *given: Any) -> Any:
        response = honest(self, request, *given)
        if response is not None:
            hits[request.key] += 1
            if hits[request.key] >= 5:
                time.sleep(0.02)
        return response

    patch(GenerationEndpoint, _try_hit=try_hit)


def some_hits_slow() -> None:
    """Take a fifth of a second more for one hit in fifty."""
    from recoup.web.generation.endpoint import GenerationEndpoint

    honest, hits = GenerationEndpoint._try_hit, count(1)

    def try_hit(self: GenerationEndpoint, *given: Any) -> Any:
        if next(hits) % 50 == 0:
            time.sleep(0.2)
        return honest(self, *given)

    patch(GenerationEndpoint, _try_hit=try_hit)


def fails_now_and_then() -> None:
    """Fail one request in three hundred, with 500. A client that asks again sees nothing of it."""
    from recoup.web.generation.endpoint import GenerationEndpoint

    honest, requests = GenerationEndpoint._read, count(1)

    async def read(self: GenerationEndpoint, *given: Any) -> Any:
        if next(requests) % 300 == 0:
            raise RuntimeError("one in three hundred")
        return await honest(self, *given)

    patch(GenerationEndpoint, _read=read)


def late_followers() -> None:
    """Give who joins a stream only what comes from then on."""
    from recoup.pipelines.stream import Stream

    honest = Stream.reader

    def reader(self: Stream) -> Any:
        made = honest(self)
        made.at = self.size
        return made

    patch(Stream, reader=reader)


WAYS: dict[str, Callable[[], None]] = {
    "first-body": first_body,
    "short-body": short_body,
    "another-body": another_body,
    "flipped-byte": flipped_byte,
    "changing-etag": changing_etag,
    "text-plain": text_plain,
    "coalesced-told-as-hits": coalesced_told_as_hits,
    "wrong-reasons-told": wrong_reasons_told,
    "age-stands-still": age_stands_still,
    "later-hits-slow": later_hits_slow,
    "some-hits-slow": some_hits_slow,
    "fails-now-and-then": fails_now_and_then,
    "late-followers": late_followers,
}
