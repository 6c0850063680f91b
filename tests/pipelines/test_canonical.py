"""What a request means: the canonical form of bodies and queries, and the keys that come of it."""

from __future__ import annotations

import json
import random
import struct
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recoup.cache import digest
from recoup.errors import BadRequestError, UnsupportedMediaError
from recoup.pipelines import canonical_json as forms
from recoup.pipelines.canonical import canonical_body, is_json
from recoup.pipelines.canonical_json import canonical_json, exact_form
from recoup.pipelines.configured import ConfiguredPipeline, PipelineOptions
from recoup.pipelines.protocol import Request
from recoup.strict_json import MAX_DEPTH

from .json_values import VALUES, has_surrogates, spelled, typed


@given(VALUES, st.randoms(use_true_random=False))
def test_spacing_and_member_order_do_not_matter(value, rng):
    one, two = (digest(canonical_json(spelled(value, rng).encode())) for _ in range(2))
    assert one == two


@given(VALUES, VALUES)
@example(1, 1.0)
@example(1, True)
@example(1, "1")
@example(None, "null")
@example([], {})
@example([[1], 2], [1, [2]])
@example({"a": {"b": 1}}, {"a": 1, "b": 1})
def test_two_values_have_one_key_only_if_they_are_the_same(one, two):
    keys = [digest(canonical_json(json.dumps(value).encode())) for value in (one, two)]
    assert (typed(one) == typed(two)) == (keys[0] == keys[1])


@pytest.mark.parametrize(
    ("one", "two"),
    [("1.0", "1.00"), ("100.0", "1e2"), ('"a"', '"\\u0061"'), ('"/"', '"\\/"'), ('{"a":1}', '{"\\u0061": 1}')],
)
def test_two_spellings_of_one_value_have_one_key(one, two):
    assert digest(canonical_json(one.encode())) == digest(canonical_json(two.encode()))


@pytest.mark.parametrize("text", [str(10**400), "-" + "9" * 4000, str(2**63), str(2**64), "-9223372036854775809"])
def test_integers_are_read_exactly_however_long(text):
    assert text.encode() == canonical_json(text.encode())


#: Texts that a reader takes for other values than its neighbour's, though a fast parser may not.
APART = [
    ("0", "-0", "0.0", "-0.0"),
    ("[0,-0]", "[-0,0]"),
    ("12345678901234567890123", "12345678901234567890124", "1.2345678901234568e22"),
    # As long as the float that stands for both.
    ("123456789012345678901", "123456789012345678902", "1.2345678901234568e20", "123456789012345680000"),
    ("18446744073709551615", "18446744073709551616", "1.8446744073709552e19"),
    ('"\\ud800"', '"\\udc00"', '"\\\\ud800"', '"?"', '"\ufffd"'),
    ('{"\\ud800":1}', '{"\\ud801":1}'),
    ('"a b"', '"ab"', '"a  b"', '"a\\tb"'),
    ('[" ",""]', '[""," "]'),
    ('["a","b"]', '["a\\",\\"b"]'),
    ('{"a":1,"b":2}', '{"a":2,"b":1}'),
    ("[[],[]]", "[[[]]]", "[[],{}]"),
    ('"\\u0001"', '"\\u0002"', '"\\\\u0001"'),
    ('"\u00e9"', '"e\u0301"'),
]


@pytest.mark.parametrize("texts", APART, ids=lambda texts: ascii(texts[0]))
def test_what_a_reader_could_tell_apart_has_keys_of_its_own(texts):
    assert len(texts) == len({canonical_json(text.encode()) for text in texts})


@pytest.mark.parametrize("text", ["-0", "2e400", "1e-400", "[1e5, -0]", '{"a":1e5,"b":-0}'])
def test_a_number_that_is_refused_or_kept_apart_is_so_beside_others(text):
    """What one number adds in length to its canonical form hides nothing that another one takes away."""
    hidden = f'{{"a":1e15,"b":[{text},1e-7,1e5],"c":100000}}'.encode()
    assert outcome(exact_form, hidden) == outcome(canonical_json, hidden)


@given(st.integers(1, 40), st.integers(0, 6), st.data())
def test_a_member_twice_is_refused_whatever_is_beside_it(longer, spare, data):
    """Numbers that are written longer than they were spelled do not make up for the member that was lost."""
    name = data.draw(st.text(max_size=3))
    members = [f"{json.dumps(name)}:{'1' * spare or 0}", f"{json.dumps(name, ensure_ascii=False)}:1"]
    others = [f'"{number}?":1e{number % 15}' for number in range(longer)]
    text = "{" + ",".join(data.draw(st.permutations(members + others))) + "}"
    with pytest.raises(BadRequestError, match="twice"):
        canonical_json(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"1 2", "not JSON"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e999", "double precision"),
        (b"1e-400", "double precision"),
        (b"[0.000, -0e5, -0.001e-400]", "double precision"),
        (b"[-" + b"9" * 400 + b".5]", "double precision"),
        (b'{"a": 1, "b": 2, "a": 1}', "'a' twice"),
        (b'[{"x": {"\\u0061": 1, "a": 2}}]', "'a' twice"),
        (b'{"":0,"":0}', "'' twice"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"9" * 5000, "over 4300 digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
        (b"[" * 500 + b"]" * 500, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply|not usable JSON"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "at most 250000 values"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_a_body_that_is_no_json_is_refused_and_says_why(body, says):
    for form in (canonical_json, exact_form):
        with pytest.raises(BadRequestError, match=says) as caught:
            form(body)
        assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("shape", [b'[%s,{"a":[1]}]', b'{"a":%s}', b"[%s]"])
@pytest.mark.parametrize("inner", [b"1", b"[]", b"-0", b'"\\ud800"'])
def test_the_deepest_body_that_is_taken_has_a_key(shape, inner):
    """And one that is a level deeper is refused, by both ways."""
    # Two levels more where the shape has some beside the inner one; one more where that is a list.
    beside = 2 if b"," in shape else inner.count(b"[")
    body = inner
    for _ in range(MAX_DEPTH - beside):
        body = shape % body
    assert exact_form(body) == canonical_json(body)
    for form in (canonical_json, exact_form):
        with pytest.raises(BadRequestError, match="nested too deeply"):
            form(shape % body)


def test_many_containers_side_by_side_are_not_deep():
    body = json.dumps([{"a": [number]} for number in range(10_000)]).encode()
    assert orjson.dumps(json.loads(body)) == canonical_json(body) == exact_form(body)


def spellings(value: Any, rng: random.Random) -> list[bytes]:
    """The value as several writers spell it."""
    texts = [spelled(value, rng), json.dumps(value), json.dumps(value, separators=(",", ":"))]
    if not any(has_surrogates(part) for part in parts(value)):
        texts.append(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return [text.encode() for text in texts]


def parts(value: Any) -> list[Any]:
    """The value and all that is in it, names of members too."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(part for item in inner for part in parts(item))]


#: Tokens of which texts are made at random: what is alike, and what a fast parser reads otherwise than it is written.
TOKENS = (
    *(
        "0",
        "-0",
        "1",
        "1.0",
        "1e0",
        "1E5",
        "100000.0",
        "1e-7",
        "1e22",
        "0.1",
        "-0.0",
        "0e5",
        "1e400",
        "1e-400",
        "5e-324",
    ),
    *(
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901",
        "12345678901234567890123",
        "true",
        "null",
    ),
    *(
        '""',
        '"a"',
        '"a b"',
        '"\\u0061"',
        '"\\/"',
        '"\\n"',
        '"\\u000a"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\u00e9"',
        '"\\u00e9"',
    ),
    *('"[{,:"', '"\\\\"', '"\\""', '"\\\\\\""', '"\x7f"', '"\u2028"', "[]", "{}"),
)
NAMES = ('"a"', '"b"', '"\\u0061"', '"\u00e9"', '"\\u00e9"', '""', '"a b"', '"\\ud800"', '"\U0001f600"', '"\uffff"')


def random_text(rng: random.Random, depth: int = 0) -> str:
    """A JSON text of tokens that are easily confused; some have a member twice."""

    def space() -> str:
        return rng.choice(("", "", "", " ", "\n\t"))

    kind = rng.random()
    if depth > 3 or kind < 0.4:
        text = rng.choice(TOKENS) if rng.random() < 0.8 else random_float(rng)
    elif kind < 0.7:
        text = "[" + ",".join(random_text(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    else:
        names = rng.choices(NAMES, k=rng.randrange(4)) if rng.random() < 0.2 else rng.sample(NAMES, rng.randrange(4))
        text = "{" + ",".join(f"{space()}{name}{space()}:{random_text(rng, depth + 1)}" for name in names) + "}"
    return space() + text + space()


def random_float(rng: random.Random) -> str:
    number = struct.unpack("d", rng.randbytes(8))[0]
    number = number if abs(number) < 1e308 else rng.random()
    return rng.choice((repr(number), f"{number:.17e}", f"{number:.16g}", orjson.dumps(number).decode()))


def outcome(form: Any, body: bytes) -> tuple[str, bytes | str]:
    """What comes of a body: its form, or its refusal."""
    try:
        return ("form", form(body))
    except BadRequestError as error:
        return ("refused", str(error))


def test_both_ways_give_one_form_or_one_refusal():
    """What the fast way answers, the exact way answers, too: byte for byte, and word for word."""
    rng = random.Random(8)
    outcomes = set()
    for _ in range(100_000):
        body = random_text(rng).encode()
        if rng.random() < 0.1 and body:
            cut = rng.randrange(len(body))
            body = body[:cut] + rng.choice((b"", b",", b'"', b"\xff", b" ", b"1")) + body[cut + rng.randrange(2) :]
        exact = outcome(exact_form, body)
        assert exact == outcome(canonical_json, body), body
        outcomes.add(exact[0])
    assert {"form", "refused"} == outcomes


@settings(max_examples=300)
@given(VALUES, st.randoms(use_true_random=False))
def test_every_spelling_of_a_value_has_one_form_by_both_ways(value, rng):
    written = {form(text) for text in spellings(value, rng) for form in (canonical_json, exact_form)}
    assert len(written) == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_float_is_written_like_an_integer(number):
    """The proof of the fast way rests on it: what is written without `.` and `e` was read as an integer."""
    for written in (orjson.dumps(number), json.dumps(number).encode()):
        assert set(written) & set(b".e")
        assert repr(number) == repr(json.loads(written)) == repr(orjson.loads(written))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"m","messages":[{"role":"user","content":"a fox, \\"red\\"\\n"}]}', id="compact"),
        pytest.param(b'{"model": "m", "size": [1, 2.5, 1e+16], "n": null}', id="with spaces"),
        pytest.param('{"model": "caf\u00e9", "messages": [{"content": " a  b\\n"}]}'.encode(), id="not ASCII"),
    ],
)
def test_what_clients_send_goes_the_fast_way(body, monkeypatch):
    """Held by taking the other one away."""
    expected = exact_form(body)
    monkeypatch.delattr(forms, "_exact_form")
    assert expected == canonical_json(body)


@pytest.mark.parametrize(
    ("expected", "content_type"),
    [
        (True, "application/json"),
        (True, "application/ld+json"),
        (False, "application/jsonl"),
        (False, "text/plain"),
        (False, None),
    ],
)
def test_json_is_known_by_its_content_type(expected, content_type):
    assert expected == is_json(content_type)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_any_other_body_is_its_bytes(content_type):
    assert canonical_body(b'{"a":1}', content_type) == b'{"a":1}'


def test_a_json_body_is_never_confused_with_bytes():
    assert digest(canonical_body(b"1", "application/json")) != digest(canonical_body(b"1", "text/plain"))


JSON_LIKE = st.lists(st.sampled_from('{}[]:,"\\u0dae1 -.E+nulltrueNaN\n'), max_size=40).map("".join).map(str.encode)
BROKEN = st.tuples(VALUES.map(json.dumps).map(str.encode), st.integers(0, 200), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)


@given(
    body=st.binary() | JSON_LIKE | BROKEN,
    content_type=st.sampled_from(["application/json", "a/b+json", "text/plain", "multipart/form-data", "", None])
    | st.text(),
    query=st.dictionaries(st.text(), st.lists(st.text(), min_size=1, max_size=3).map(tuple), max_size=4),
    headers=st.dictionaries(st.sampled_from(["accept-language", "authorization", "content-type"]), st.text()),
)
def test_whatever_is_sent_gets_a_key_or_a_refusal(body, content_type, query, headers):
    pipeline = ConfiguredPipeline(PipelineOptions(name="any", key_headers=("accept-language",)))
    # Whatever else it may raise fails the test.
    with suppress(BadRequestError, UnsupportedMediaError):
        assert len(digest(pipeline.prepare(Request(body, content_type, query, headers)).canonical)) == 32
