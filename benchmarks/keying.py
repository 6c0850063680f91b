"""The key of a JSON body, beside what it costs to parse it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial

import orjson

from benchmarks.measuring import calling, side_by_side
from benchmarks.table import Row
from recoup.cache import digest
from recoup.pipelines.canonical import canonical_body
from recoup.pipelines.canonical_json import exact_form
from recoup.pipelines.key_shape import KeyShape

_ROUNDS = 41
_WORDS = ("a", "the", "fox", "model", "cache", "answers", "seldom", "it's", 'so-called "hits"', "café", "two\nlines")
_SMALL = b'{"prompt": "a red fox", "size": 512, "n":1}'


def _chat(size: int, words: tuple[str, ...], dump: Callable[[object], str]) -> bytes:
    """The body of a chat of at least `size` bytes."""
    rng = random.Random(1)
    messages: list[dict[str, str]] = []
    chat = {"model": "m", "temperature": 0.7, "max_tokens": 512, "messages": messages}
    body = b""
    while len(body) < size:
        turn = {"role": rng.choice(("user", "assistant")), "content": " ".join(rng.choices(words, k=60))}
        messages.append(turn)
        body = dump(chat).encode()
    return body


#: As a chat's pipeline may have it: what is ignored, and defaults, some of them in the bodies.
_SHAPE = KeyShape(
    [("user",), ("metadata",), ("messages", "0", "id"), ("stream_options", "include_usage")],
    {("temperature",): 0.7, ("stream",): False, ("n",): 1, ("max_tokens",): 512},
)


def _key(body: bytes) -> str:
    return digest("llm", "1", ("application/json", canonical_body(body, "application/json"), (), []))


def _shaped_key(body: bytes) -> str:
    form = canonical_body(body, "application/json", _SHAPE.reshape)
    return digest("llm", "1", ("application/json", form, (), []))


def keying() -> list[Row]:
    """Keys of bodies as several clients write them. The ratio is what one costs, in times what `json.loads` costs."""
    compact = (",", ":")
    ascii_words = tuple(word for word in _WORDS if word.isascii())
    bodies = {
        "42 bytes": (_SMALL, None),
        "20 KB chat": (_chat(20_000, _WORDS, partial(json.dumps, ensure_ascii=False, separators=compact)), 2.0),
        "20 KB chat, ASCII": (_chat(20_000, ascii_words, partial(json.dumps, separators=compact)), 2.0),
        "20 KB chat, with spaces": (_chat(20_000, _WORDS, partial(json.dumps, ensure_ascii=False)), None),
        "20 KB chat, escaped": (_chat(20_000, _WORDS, json.dumps), None),
    }
    rows = []
    for name, (body, at_most) in bodies.items():
        turn = [body] * max(1, 20_000 // len(body))
        ways: dict[str, Callable[[bytes], object]] = {
            "recoup": _key,
            "recoup, shaped": _shaped_key,
            "json.loads": json.loads,
            "orjson.loads": orjson.loads,
            "the exact form alone": exact_form,
        }
        times = side_by_side(
            {who: calling(way, turn) for who, way in ways.items()}, rounds=_ROUNDS, operations=len(turn)
        )
        ours = times["recoup"]
        rows.append(Row(f"key of a JSON body, {name}", "recoup", f"{ours * 1e6:.1f} us"))
        for who in ("recoup, shaped", "json.loads", "orjson.loads", "the exact form alone"):
            asked = at_most if who == "json.loads" else None
            rows.append(
                Row(f"key of a JSON body, {name}", who, f"{times[who] * 1e6:.1f} us", ours / times[who], at_most=asked)
            )
    return rows
