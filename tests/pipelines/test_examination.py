"""What a result says of itself: whether it is to be stored, and the units that it is paid by."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.errors import ConfigurationError
from recoup.pipelines import event_data
from recoup.pipelines.event_data import Lines, ServerSentEvents
from recoup.pipelines.examination import MOST_VALUES, Examiner, Finding
from recoup.pipelines.json_pointer import parse_pointer
from recoup.pipelines.price import Price
from recoup.pipelines.protocol import Request, Result
from recoup.pipelines.registry import load_pipelines
from recoup.pipelines.result_rules import ResultRules

from .json_values import VALUES
from .upstream import serve

SSE, NDJSON, JSON = "text/event-stream; charset=utf-8", "application/x-ndjson", "application/json"


def examiner(
    unless: tuple[str, ...] = (), only_if: dict[str, list[Any]] | None = None, counted: tuple[str, ...] = ()
) -> Examiner:
    return Examiner(
        map(parse_pointer, unless),
        {parse_pointer(text): values for text, values in (only_if or {}).items()},
        map(parse_pointer, counted),
    )


def look(who: Examiner, content_type: str, body: bytes, cuts: tuple[int, ...] = ()) -> Finding:
    """What comes of a body that came in parts."""
    examination = who.begin(content_type)
    at = 0
    for cut in (*sorted(cut for cut in cuts if cut < len(body)), len(body)):
        examination.feed(body[at:cut])
        at = cut
    return examination.finish(body)


def events(*data: object, end: str = "\n") -> bytes:
    """A stream of events, as many services write it."""
    texts = (part if isinstance(part, str) else json.dumps(part) for part in data)
    return "".join(f"data: {text}{end}{end}" for text in texts).encode()


def lines(*data: object) -> bytes:
    return "".join(json.dumps(part) + "\n" for part in data).encode()


def chunk(reason: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"delta": {"content": "a"}, "finish_reason": reason}], **more}


CHAT = examiner(
    ("/error",), {"/choices/0/finish_reason": ["stop", "tool_calls"]}, ("/usage/in", "/usage/out", "/absent")
)


@pytest.mark.parametrize(
    ("kept_out", "body"),
    [
        pytest.param("", {"choices": [{"finish_reason": "stop"}]}, id="as it should be"),
        pytest.param("", {"choices": [{"finish_reason": "tool_calls"}], "x": 1}, id="another value"),
        pytest.param("store_unless", {"choices": [{"finish_reason": "stop"}], "error": {"code": 1}}, id="an error"),
        pytest.param("store_unless", {"choices": [{"finish_reason": "stop"}], "error": None}, id="null is there"),
        pytest.param("store_only_if", {"choices": [{"finish_reason": "length"}]}, id="a value that is not listed"),
        pytest.param("store_only_if", {"choices": [{"finish_reason": None}]}, id="null"),
        pytest.param("store_only_if", {"choices": []}, id="nothing there"),
        pytest.param("store_only_if", {"choices": {"1": {}}}, id="another shape"),
        pytest.param("store_only_if", [1], id="a list"),
        pytest.param("store_only_if", 5, id="a number"),
    ],
)
def test_a_json_result_is_held_against_the_conditions(kept_out: str, body: object) -> None:
    assert kept_out == look(CHAT, JSON, json.dumps(body).encode()).kept_out


@pytest.mark.parametrize(
    ("kept_out", "parts"),
    [
        pytest.param("", [chunk(), chunk("stop"), {"choices": []}, "[DONE]"], id="as it should be"),
        pytest.param("store_only_if", [chunk(), chunk(), "[DONE]"], id="never finished"),
        pytest.param("", [chunk("length"), chunk("stop"), "[DONE]"], id="the last one counts"),
        pytest.param("store_only_if", [chunk("stop"), chunk("length"), chunk(), "[DONE]"], id="the last differs"),
        pytest.param("store_only_if", [], id="no event"),
        pytest.param("store_unless", [chunk("stop"), {"error": {}}], id="an error at the end"),
        pytest.param("store_unless", [{"error": 1}, chunk("stop")], id="an error at the beginning"),
        pytest.param("", ["hello", "{}", chunk("stop"), "7"], id="other events"),
        pytest.param("unreadable", ["{", chunk("stop")], id="broken JSON"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_each_event_of_a_stream_is_held_against_the_conditions(kept_out: str, parts: list[object], end: str) -> None:
    assert kept_out == look(CHAT, SSE, events(*parts, end=end)).kept_out


def test_each_line_of_json_is_held_against_the_conditions() -> None:
    ollama = examiner(("/error",), {"/done": [True]}, ("/eval_count",))
    assert Finding("", (9.0,)) == look(ollama, NDJSON, lines({"done": False}, {"done": True, "eval_count": 9}))
    assert "store_only_if" == look(ollama, NDJSON, lines({"response": "a"})).kept_out
    assert "store_only_if" == look(ollama, NDJSON, lines({"done": True}, {"done": False})).kept_out
    assert "store_unless" == look(ollama, NDJSON, lines({"error": "x"}, {"done": True})).kept_out
    assert Finding("", (1.0,)) == look(ollama, "application/json-seq", b'\x1e{"done":true,"eval_count":1}\n')


@pytest.mark.parametrize(
    ("expected", "content_type", "body"),
    [
        ("store_only_if", "text/plain", b"hello"),
        ("store_only_if", "image/png", b"\x89PNG"),
        ("unreadable", JSON, b'{"choices"'),
        ("unreadable", JSON, b"\xff"),
        ("unreadable", JSON, b"[" * 100_000),
        ("unreadable", JSON, b"[" * 2000 + b"]" * 2000),
        ("unreadable", JSON, b"[" + b"0," * MOST_VALUES + b"0]"),
        ("unreadable", JSON, b""),
        ("store_only_if", JSON, b'{"choices":[{"finish_reason":["stop"]}]}'),
        ("", "application/problem+json", b'{"choices":[{"finish_reason":"stop"}]}'),
        ("", JSON, b'{"choices":[{"finish_reason":"stop"}],"text":"\\ud83d"}'),
        ("", JSON, b'{"choices":[{"finish_reason":"stop"}],"logprob":-Infinity}'),
        ("", SSE, b'\xef\xbb\xbfdata: {"choices":[{"finish_reason":"stop"}]}\n\n'),
        ("", SSE, b'data: {"choices":\ndata: [{"finish_reason":"stop"}]}\n\n'),
        ("", SSE, b'event: x\nid: 7\n: comment\ndata:{"choices":[{"finish_reason":"stop"}]}'),
    ],
    ids=lambda value: ascii(value[:24]) if isinstance(value, bytes) else None,
)
def test_whatever_a_body_is_it_is_stored_only_where_nothing_is_in_doubt(
    expected: str, content_type: str, body: bytes
) -> None:
    assert expected == look(CHAT, content_type, body).kept_out


def test_without_conditions_nothing_is_kept_out() -> None:
    counting = examiner(counted=("/n",))
    assert Finding("", (0.0,)) == look(counting, JSON, b"broken")
    assert Finding("", (0.0,)) == look(counting, SSE, b"data: {\n\n")
    assert Finding("", ()) == look(examiner(), JSON, b"broken")
    assert not examiner()


def test_a_condition_on_what_is_absent_takes_other_types_of_content() -> None:
    assert "" == look(examiner(("/error",)), "image/png", b"\x89PNG").kept_out


@pytest.mark.parametrize(
    ("matches", "value"),
    [(True, 1), (False, 1.0), (False, True), (False, "1"), (True, {"b": 2, "a": [1.5]}), (False, {"a": [1.5]})],
)
def test_values_are_compared_as_in_keys(matches: bool, value: object) -> None:
    listed = examiner(only_if={"/x": [1, {"a": [1.5], "b": 2}]})
    assert matches is (look(listed, JSON, json.dumps({"x": value}).encode()).kept_out == "")


@pytest.mark.parametrize(
    ("units", "body"),
    [
        ((7.0, 0.0, 0.0), {"usage": {"in": 7}}),
        ((0.0, 2.5, 0.0), {"usage": {"in": "7", "out": 2.5}}),
        ((0.0, 0.0, 0.0), {"usage": {"in": -1, "out": True}}),
        ((0.0, 0.0, 0.0), {"usage": {"in": 10**400, "out": None}}),
    ],
)
def test_numbers_are_counted_where_there_are_any(units: tuple[float, ...], body: object) -> None:
    assert units == look(CHAT, JSON, json.dumps(body).encode()).units


def test_of_the_events_with_a_number_the_last_one_counts() -> None:
    body = events(chunk(usage={"in": 5, "out": 1}), chunk(usage={"out": 2}), chunk("stop", usage=None), "[DONE]")
    assert Finding("", (5.0, 2.0, 0.0)) == look(CHAT, SSE, body)


# --- parts

PARTS = st.lists(
    VALUES
    | st.sampled_from([chunk(), chunk("stop"), chunk("length"), {"error": 1}, {"usage": {"in": 3}}, "[DONE]", "a\rb"]),
    max_size=5,
)
CUTS = st.lists(st.integers(0, 300), max_size=8).map(tuple)
RAW = st.text("ad:ta {}[]\n\r\x1e0", max_size=60).map(str.encode) | st.binary(max_size=60)


@given(PARTS, st.sampled_from(["\n", "\r\n", "\r"]), CUTS)
def test_how_a_stream_is_cut_into_parts_does_not_matter(parts: list[object], end: str, cuts: tuple[int, ...]) -> None:
    body = events(*parts, end=end)
    assert look(CHAT, SSE, body) == look(CHAT, SSE, body, cuts) == look(CHAT, SSE, body, tuple(range(len(body))))


def plainly(body: bytes) -> list[bytes]:
    """The data of a stream's events, read the way the standard tells it: whole, and line by line."""
    found, data = [], None
    for line in [*re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            data = value if data is None else data + b"\n" + value
        elif not line and data is not None:
            found.append(data)
            data = None
    return found


@given(RAW, CUTS)
def test_the_data_of_events_is_what_the_standard_says(body: bytes, cuts: tuple[int, ...]) -> None:
    """Whatever the bytes, however they come: nothing else is raised, nothing is lost, nothing comes twice."""
    taken, reader, at = [], ServerSentEvents(), 0
    for cut in (*sorted(cuts), len(body)):
        taken += [*reader.feed(body[at:cut])] if at < cut else []
        at = max(at, cut)
    assert plainly(body) == [*taken, *reader.end()]


@given(RAW, st.sampled_from([SSE, NDJSON, JSON, "text/plain", "", "application/json-seq"]), CUTS)
def test_no_body_raises_anything(body: bytes, content_type: str, cuts: tuple[int, ...]) -> None:
    assert look(CHAT, content_type, body, cuts).kept_out in ("store_only_if", "unreadable")


@pytest.mark.parametrize("kind", [ServerSentEvents, Lines])
def test_an_event_that_is_too_long_is_passed_over_and_not_held(
    kind: type[ServerSentEvents] | type[Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_data, "MOST_EVENT_BYTES", 1000)
    reader = kind()
    first = [*reader.feed(b"data: 1\n\ndata: " + b"x" * 900)]
    tracemalloc.start()
    for _ in range(1000):
        assert [] == [*reader.feed(b"y" * 1000)]
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    last = [*reader.feed(b"\n\ndata: 2\n\n"), *reader.end()]
    assert ([b"1"], [b"2"]) == tuple([part.removeprefix(b"data: ") for part in parts] for parts in (first, last))
    assert reader.passed_over
    assert held < 20_000


def test_a_result_with_an_event_that_was_passed_over_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_data, "MOST_EVENT_BYTES", 1000)
    body = events("x" * 2000, chunk("stop", usage={"in": 4}), "[DONE]")
    assert Finding("unreadable", (4.0, 0.0, 0.0)) == look(CHAT, SSE, body)
    assert Finding("unreadable", (4.0, 0.0, 0.0)) == look(CHAT, SSE, body, tuple(range(0, len(body), 7)))


# --- rules and prices

PRICE = Price("USD", per_second=0.25, per_generation=1.0, per_unit={("usage", "in"): 0.5, ("usage", "out"): 2.0})


def test_a_result_has_its_price_whether_it_is_stored_or_not(loop: Any) -> None:
    rules = ResultRules([("error",)], price=PRICE)
    good = loop.run(rules.apply(Result(b'{"usage":{"in":4,"out":1}}', JSON)))
    assert (1.0 + 2.0 + 2.0, 0.25, "") == (good.price, good.price_per_second, good.kept_out)
    bad = loop.run(rules.apply(Result(b'{"error":1}', JSON)))
    assert (1.0, "store_unless", False, True) == (bad.price, bad.kept_out, bad.decision().keep, bad.shared)


def test_a_large_result_is_looked_at_as_a_small_one(loop: Any) -> None:
    rules = ResultRules([("error",)], price=PRICE)
    body = json.dumps({"usage": {"in": 4}, "text": "x" * 200_000, "error": 1}).encode()
    result = loop.run(rules.apply(Result(body, JSON)))
    assert (3.0, "store_unless") == (result.price, result.kept_out)


def test_what_a_result_says_of_itself_cannot_make_a_sum_useless() -> None:
    assert 1e9 == PRICE.of_units((1e300, 1e300))


def test_what_kept_a_result_out_before_goes_first(loop: Any) -> None:
    result = Result(b'{"error":1}', JSON, kept_out="no-store")
    assert "no-store" == loop.run(ResultRules([("error",)]).apply(result)).kept_out


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Any]:
    def from_lines(lines: str, url: str = "http://a.example/") -> Any:
        path = tmp_path / "pipelines.toml"
        path.write_text(f"[pipelines.chat]\nkind = 'http'\nurl = '{url}'\n{lines}\n", encoding="utf-8")
        return load_pipelines(path)["chat"]

    return from_lines


OPTIONS = """
store_unless = ["/error"]
store_only_if = { "/done" = [true] }
price = { currency = "EUR", per_second = 0.5, per_generation = 1, per_unit = { "/n" = 0.25 } }
"""


def test_the_options_of_a_file_hold_for_what_is_generated(load: Callable[..., Any], loop: Any) -> None:
    bodies = [b'{"done":true,"n":8}', b'{"done":true,"error":1}', b"[]"]

    def answer(handler: Any, request: Any) -> None:
        handler.answer(200, bodies[int(request.body)], Content_Type="application/json")

    with serve(answer) as upstream:
        chat = load(OPTIONS, upstream.url)
        loop.run(chat.start())
        results = [
            loop.run(chat.generate(chat.prepare(Request(str(index).encode(), "text/plain")))) for index in range(3)
        ]
        loop.run(chat.close(0.0))
    assert bodies == [result.body for result in results]
    assert ["", "store_unless", "store_only_if"] == [result.kept_out for result in results]
    assert [(3.0, 0.5), (1.0, 0.5), (1.0, 0.5)] == [(result.price, result.price_per_second) for result in results]
    assert "EUR" == chat.rules.price.currency
    assert "EUR" not in json.dumps(chat.describe())


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("store_unless = '/error'", "store_unless='/error': expected a list of JSON pointers"),
        ("store_unless = ['/a', 'error']", r"store_unless\[1\]='error': expected a JSON pointer"),
        ("store_only_if = ['/a']", "store_only_if=.*: expected a table of lists by JSON pointer"),
        ("store_only_if = { '/a' = 'stop' }", "store_only_if.'/a'='stop': expected a list of values"),
        ("store_only_if = { '/a' = [] }", r"store_only_if.'/a'=\[\]: expected a list of values, not empty"),
        ("store_only_if = { '/a' = [nan] }", r"store_only_if.'/a'=\[nan\]: expected"),
        ("store_only_if = { a = ['x'] }", "store_only_if.'a': expected a JSON pointer"),
        ("price = 5", "price=5: expected a table"),
        ("price = { per_second = 1 }", "price.currency: missing: expected a currency"),
        ("price = { currency = '' }", "price.currency='': expected a currency"),
        ("price = { currency = 'U S D' }", "price.currency='U S D': expected a currency"),
        ("price = { currency = 'USD', per_secnd = 1 }", r"price: unknown member per_secnd; did you mean per_second\?"),
        ("price = { currency = 'USD', per_second = -1 }", "price.per_second=-1: expected a number from 0"),
        ("price = { currency = 'USD', per_generation = 'x' }", "price.per_generation='x': expected a number"),
        ("price = { currency = 'USD', per_unit = 1 }", "price.per_unit=1: expected a table of prices by JSON pointer"),
        ("price = { currency = 'USD', per_unit = { n = 1 } }", "price.per_unit.'n': expected a JSON pointer"),
        ("price = { currency = 'USD', per_unit = { '/n' = inf } }", "price.per_unit.'/n'=inf: expected a number"),
    ],
)
def test_a_mistake_stops_the_start_with_its_place(load: Callable[..., Any], lines: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"pipelines.toml: pipeline 'chat': {says}"):
        load(lines)
