"""What does not belong to a key, and that all else does."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recoup.cache import digest
from recoup.errors import BadRequestError, ConfigurationError, SeveralMistakesError
from recoup.fields import UnusableError
from recoup.pipelines.canonical_json import canonical_json, exact_form
from recoup.pipelines.configured import ConfiguredPipeline, PipelineOptions
from recoup.pipelines.json_pointer import ABSENT, find, index_of, parse_pointer, pointer_text
from recoup.pipelines.json_pointer import Path as Pointer
from recoup.pipelines.key_shape import KeyShape
from recoup.pipelines.protocol import Request
from recoup.pipelines.registry import load_pipelines

from .json_values import ALIKE, spelled, typed

NAMES = st.sampled_from(["a", "b", "0", "1", "", "~", "/", "\u00e9", "\ud800"])
INNER = st.recursive(
    ALIKE | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(NAMES, INNER, max_size=5) | st.lists(INNER, max_size=5)
#: Drawn as a seed: `st.randoms` draws every single number, which takes most of the time and of the memory.
RANDOM = st.integers(0, 2**32 - 1).map(random.Random)


def shape(
    ignored: tuple[str, ...] = (), defaults: dict[str, Any] | None = None, query: tuple[str, ...] = ()
) -> KeyShape:
    return KeyShape(
        map(parse_pointer, ignored), {parse_pointer(text): value for text, value in (defaults or {}).items()}, query
    )


def key(text: str | bytes, key_shape: KeyShape) -> str:
    """The key of a body; by the slow way it is the same."""
    body = text if isinstance(text, bytes) else text.encode()
    form = canonical_json(body, key_shape.reshape)
    assert exact_form(body, key_shape.reshape) == form
    return digest(form)


# --- a model, written another way: whole paths are compared, nothing is taken out of anything


def meaning(value: Any, ignored: set[Pointer], defaults: dict[Pointer, Any], at: Pointer = ()) -> Any:
    """What a value means: its parts with their types, but for what is ignored or at its default."""

    def inside(token: object) -> Any:
        return meaning(parts[token], ignored, defaults, (*at, str(token)))

    if isinstance(value, dict):
        parts: Any = value
        members = {name: inside(name) for name in value if (*at, name) not in ignored}
        for name, member in list(members.items()):
            path = (*at, name)
            if path in defaults and member == meaning(defaults[path], ignored, defaults, path):
                del members[name]
        return ("dict", tuple(sorted(members.items())))
    if isinstance(value, list):
        parts = value
        return ("list", tuple(inside(index) for index in range(len(value)) if (*at, str(index)) not in ignored))
    return typed(value)


def paths(value: Any, at: Pointer = ()) -> Iterator[Pointer]:
    """The paths of all that is in a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for token, part in parts:
        yield (*at, str(token))
        yield from paths(part, (*at, str(token)))


@st.composite
def shaped(draw: st.DrawFn) -> tuple[Any, list[Pointer], dict[Pointer, Any]]:
    """A body, what is ignored of it, and defaults, most of them of members that it has."""
    body = draw(BODIES)
    known = list(paths(body))
    places = (st.sampled_from(known) if known else st.nothing()) | st.lists(NAMES, min_size=1, max_size=2).map(tuple)
    ignored = draw(st.lists(places, max_size=3, unique=True))
    defaults: dict[Pointer, Any] = {}
    for path in draw(st.lists(places, max_size=3, unique=True)):
        there = find(body, path)
        defaults[path] = draw(ALIKE) if there is ABSENT or draw(st.booleans()) else copy.deepcopy(there)
    return body, ignored, defaults


def parent_of(body: Any, path: Pointer) -> Any:
    return find(body, path[:-1])


def changed(body: Any, path: Pointer, value: Any, how: int) -> Any:
    """The body with another value at a path, or nothing there; the same body where there is no such place."""
    body = copy.deepcopy(body)
    parent, last = parent_of(body, path), path[-1]
    if isinstance(parent, dict):
        if how:
            parent[last] = value
        else:
            parent.pop(last, None)
    elif isinstance(parent, list) and (index := index_of(last)) is not None and index < len(parent):
        if how:
            parent[index] = value
        else:
            del parent[index]
    return body


@pytest.mark.properties
@given(shaped(), st.data(), RANDOM)
def test_a_key_changes_with_what_belongs_to_it_and_with_nothing_else(
    drawn: tuple[Any, list[Pointer], dict[Pointer, Any]], data: st.DataObject, rng: random.Random
) -> None:
    body, ignored, defaults = drawn
    key_shape = KeyShape(ignored, defaults)
    known = [*paths(body), *ignored, *defaults]
    assume(known)
    path = data.draw(st.sampled_from(known))
    value = defaults[path] if path in defaults and data.draw(st.booleans()) else data.draw(INNER)
    other = changed(body, path, value, data.draw(st.integers(0, 3)))
    same = meaning(body, set(ignored), defaults) == meaning(other, set(ignored), defaults)
    assert same == (key(spelled(body, rng), key_shape) == key(spelled(other, rng), key_shape))


@pytest.mark.properties
@given(shaped(), st.data(), RANDOM)
def test_noise_never_changes_a_key(
    drawn: tuple[Any, list[Pointer], dict[Pointer, Any]], data: st.DataObject, rng: random.Random
) -> None:
    """Ignored members added, removed, changed; defaults spelled out; all of it in another order and spelling."""
    body, ignored, defaults = drawn
    key_shape = KeyShape(ignored, defaults)
    before = key(spelled(body, rng), key_shape)
    for path in ignored:
        parent = parent_of(body, path)
        if isinstance(parent, dict):
            body = changed(body, path, data.draw(INNER), data.draw(st.integers(0, 1)))
        elif isinstance(parent, list):
            body = changed(body, path, data.draw(INNER), 1)
    for path, value in defaults.items():
        parent = parent_of(body, path)
        if isinstance(parent, dict) and path[-1] not in parent:
            body = changed(body, path, value, 1)
    assert before == key(spelled(body, rng), key_shape)


@pytest.mark.properties
@given(BODIES, RANDOM)
def test_without_a_shape_the_key_is_what_it_was(body: Any, rng: random.Random) -> None:
    text = spelled(body, rng).encode()
    assert canonical_json(text) == canonical_json(text, shape().reshape)


# --- the rules, one by one

CHAT = shape(("/user", "/metadata", "/messages/0/id"), {"/temperature": 1, "/stream": False, "/stop": []})


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ('{"user":"ann"}', "{}"),
        ('{"user":{"id":[1]},"metadata":null}', '{"metadata":5}'),
        ('{"m":1,"\\u0075ser":1}', '{"m":1}'),
        ('{"messages":[{"id":7,"c":1}]}', '{"messages":[{"c":1}]}'),
        ('{"temperature":1,"stream":false,"stop":[]}', "{}"),
        ('{"user":12345678901234567890123}', '{"user":-0}'),
        ('{"user":"\\ud800"}', "{}"),
    ],
)
def test_what_is_noise_shares_a_key(one: str, two: str) -> None:
    assert key(one, CHAT) == key(two, CHAT)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ('{"temperature":1.0}', "{}"),
        ('{"temperature":"1"}', "{}"),
        ('{"temperature":true}', "{}"),
        ('{"temperature":-0}', '{"temperature":0}'),
        ('{"stream":0}', "{}"),
        ('{"stream":null}', "{}"),
        ('{"stop":[0]}', "{}"),
        ('{"stop":{}}', "{}"),
        ('{"messages":[{"c":1},{"id":7}]}', '{"messages":[{"c":1},{}]}'),
        ('{"messages":{"0":{"id":7}}}', '{"messages":[{"id":7}]}'),
        ('{"a":{"user":1}}', '{"a":{}}'),
        ('[{"user":1}]', "[{}]"),
        ('{"User":1}', "{}"),
        ('{"n":12345678901234567890123,"user":1}', '{"n":12345678901234567890124,"user":1}'),
    ],
)
def test_what_only_looks_like_noise_does_not(one: str, two: str) -> None:
    assert key(one, CHAT) != key(two, CHAT)


@pytest.mark.parametrize(
    ("key_shape", "same", "other"),
    [
        pytest.param(shape(("/0",)), ["[1,2]", "[9,2]"], ["[2]", "[2,1]"], id="an element"),
        pytest.param(shape(("/0",)), ["[]", "[1]"], ["{}"], id="the only element"),
        pytest.param(shape(("/0", "/2")), ["[1,2,3]", "[4,2]", "[4,2,5]"], ["[1,2,3,4]"], id="two elements"),
        pytest.param(shape(("/0", "/1/x")), ['[1,{"x":2}]', "[3,{}]"], ['[{"x":2}]'], id="an element before another"),
        pytest.param(shape((), {"/0": 1}), ["[1,2]"], ["[2]"], id="no element for its default"),
        pytest.param(shape(("/a/-",)), ['{"a":{"-":1}}', '{"a":{}}'], ['{"a":[1]}', '{"a":[]}'], id="past the end"),
        pytest.param(shape(("/a/01",)), ['{"a":{"01":1}}', '{"a":{}}'], ['{"a":[1,2]}', '{"a":[1]}'], id="zeros"),
        pytest.param(shape(("/a~1b", "/c~0")), ['{"a/b":1,"c~":2}', "{}"], ['{"a":{"b":1}}'], id="escapes"),
        pytest.param(shape(("/~01",)), ['{"~1":1}', "{}"], ['{"/":1}'], id="an escaped escape"),
        pytest.param(shape(("/",)), ['{"":1}', "{}"], ['{"a":1}'], id="the empty name"),
        pytest.param(shape(("/a/b",)), ['{"a":{"b":1}}', '{"a":{}}'], ["{}"], id="not what it is in"),
        pytest.param(
            shape((), {"/a": {}, "/a/b": 1}), ['{"a":{"b":1}}', '{"a":{}}', "{}"], ['{"a":{"b":2}}'], id="inner first"
        ),
        pytest.param(
            shape((), {"/a": {"b": 2}, "/a/b": 1}), ['{"a":{"b":2}}', "{}"], ['{"a":{"b":1}}', '{"a":1}'], id="nested"
        ),
        pytest.param(shape(("/a/0",), {"/a": []}), ['{"a":[5]}', '{"a":[]}', "{}"], ['{"a":[5,5]}'], id="both"),
        pytest.param(shape((), {"/x": 1.0}), ['{"x":1.0}', '{"x":10e-1}', "{}"], ['{"x":1}'], id="a float"),
        pytest.param(shape((), {"/x": 0.0}), ['{"x":0.0}', "{}"], ['{"x":-0.0}', '{"x":0}', '{"x":-0}'], id="zero"),
        pytest.param(
            shape((), {"/x": {"b": 1, "a": [2]}}), ['{"x":{"a":[2],"b":1}}', "{}"], ['{"x":{"a":[2]}}'], id="a table"
        ),
    ],
)
def test_the_rules_of_pointers_and_defaults(key_shape: KeyShape, same: list[str], other: list[str]) -> None:
    keys = {key(text, key_shape) for text in same}
    assert 1 == len(keys)
    assert len({key(text, key_shape) for text in other} - keys) == len(other)


@pytest.mark.parametrize(
    "text", ['{"user":1e400}', '{"user":{"a":1,"a":2}}', '{"user":NaN}', '{"user":' + "[" * 300 + "]" * 300 + "}"]
)
def test_what_is_ignored_has_to_be_usable_all_the_same(text: str) -> None:
    with pytest.raises(BadRequestError):
        key(text, CHAT)


def test_what_is_configured_is_not_changed_by_what_is_asked() -> None:
    defaults = {"/a": {"b": 1, "c": 2}, "/a/b": 1}
    key_shape = shape((), defaults)
    for _ in range(2):
        assert key('{"a":{"c":2}}', key_shape) == key("{}", key_shape)
    assert {"b": 1, "c": 2} == defaults["/a"] == key_shape.describe()["json_defaults"]["/a"]


class TestPipeline:
    def prepared(self, key_shape: KeyShape, body: bytes, content_type: str = "application/json", **query: str) -> Any:
        pipeline = ConfiguredPipeline(PipelineOptions(name="chat", key_shape=key_shape))
        return pipeline.prepare(
            Request(body, content_type, {name: (value, value) for name, value in query.items()}),
        )

    def test_the_generator_gets_the_request_as_it_came(self) -> None:
        job = self.prepared(CHAT, b'{"user":1}', utm_source="x").job
        assert (b'{"user":1}', {"utm_source": ("x", "x")}) == (job.body, job.query)

    def test_query_members_that_are_ignored_do_not_belong_to_the_key(self) -> None:
        noisy = shape((), {}, ("utm_source",))
        plain = self.prepared(noisy, b"{}", q="1").canonical
        assert plain == self.prepared(noisy, b"{}", q="1", utm_source="mail").canonical
        assert plain != self.prepared(noisy, b"{}", q="1", utm_medium="mail").canonical
        assert plain != self.prepared(noisy, b"{}", q="2").canonical

    def test_a_body_that_is_no_json_is_its_bytes(self) -> None:
        bodies = [self.prepared(CHAT, body, "text/plain").canonical[1] for body in (b'{"user":1}', b"{}")]
        assert [b'{"user":1}', b"{}"] == bodies


# --- pointers


@given(st.lists(st.text(max_size=3), min_size=1, max_size=4).map(tuple))
def test_a_pointer_is_read_as_it_is_written(path: Pointer) -> None:
    assert path == parse_pointer(pointer_text(path))


@pytest.mark.parametrize("text", ["", "user", "#/user", "/a~", "/a~2", "/~", 1, None, ["/a"], "/a" * 255])
def test_what_is_no_pointer_is_refused(text: object) -> None:
    with pytest.raises(UnusableError):
        parse_pointer(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["bar", "baz"], "/foo"),
        ("bar", "/foo/0"),
        (0, "/"),
        (1, "/a~1b"),
        (2, "/c%d"),
        (3, "/e^f"),
        (4, "/g|h"),
        (5, "/i\\j"),
        (6, '/k"l'),
        (7, "/ "),
        (8, "/m~0n"),
        (ABSENT, "/foo/2"),
        (ABSENT, "/foo/-"),
        (ABSENT, "/foo/00"),
        (ABSENT, "/foo/0/0"),
        (ABSENT, "/foo/" + "9" * 30),
    ],
)
def test_pointers_lead_where_the_standard_says(expected: object, text: str) -> None:
    """The examples of RFC 6901, section 5, and what leads nowhere."""
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7}
    assert expected == find({**document, "m~n": 8}, parse_pointer(text))


# --- the file


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Any]:
    def from_lines(lines: str) -> Any:
        path = tmp_path / "pipelines.toml"
        path.write_text(f"[pipelines.chat]\nkind = 'http'\nurl = 'http://a.example/'\n{lines}\n", encoding="utf-8")
        return load_pipelines(path)["chat"]

    return from_lines


def test_the_options_of_a_file_shape_its_keys(load: Callable[[str], Any]) -> None:
    chat = load(
        "ignore_json = ['/user']\nignore_query = ['utm']\njson_defaults = { '/n' = 1, '/o' = { a = [1.5, true] } }"
    )
    noisy = Request(b'{"user": 1, "n": 1, "o": {"a": [1.5, true]}}', "application/json", {"utm": ("x",)})
    assert chat.prepare(noisy).canonical == chat.prepare(Request(b"{}", "application/json")).canonical
    assert {
        "ignore_json": ["/user"],
        "ignore_query": ["utm"],
        "json_defaults": {"/n": 1, "/o": {"a": [1.5, True]}},
    }.items() <= chat.describe().items()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("ignore_json = '/user'", r"ignore_json='/user': expected a list of JSON pointers"),
        ("ignore_json = ['/a', 'user']", r"ignore_json\[1\]='user': expected a JSON pointer \(RFC 6901\)"),
        ("ignore_json = ['']", r"ignore_json\[0\]='': expected a JSON pointer"),
        ("ignore_json = ['/a~2']", r"ignore_json\[0\]='/a~2': expected"),
        ("ignore_json = [1]", r"ignore_json\[0\]=1: expected"),
        ("ignore_json = ['/a', '/b', '/a']", r"ignore_json\[2\]='/a': expected each pointer once"),
        ("ignore_json = ['/a/b', '/a']", "ignore_json: '/a/b' is within '/a', which is there"),
        ("json_defaults = ['/a']", "json_defaults=.* expected a table of values by JSON pointer"),
        ("json_defaults = { a = 1 }", "json_defaults.'a': expected a JSON pointer"),
        ("json_defaults = { '/a' = nan }", "json_defaults.'/a'=nan: expected a value that JSON has"),
        ("json_defaults = { '/a' = [1, -inf] }", "json_defaults.'/a'=.*: expected a value that JSON has"),
        ("json_defaults = { '/a' = 2026-01-01 }", "json_defaults.'/a'=.*: expected a value that JSON has"),
        ("json_defaults = { '/a' = { b = [07:30:00] } }", "json_defaults.'/a'=.*: expected a value that JSON has"),
        ("ignore_json = ['/a']\njson_defaults = { '/a' = 1 }", "json_defaults.'/a': ignore_json has '/a': expected"),
        ("ignore_json = ['/a']\njson_defaults = { '/a/b' = 1 }", "json_defaults.'/a/b': ignore_json has '/a'"),
        ("ignore_query = 'utm'", "ignore_query='utm': expected a list of names"),
        ("ignore_query = ['a', '']", r"ignore_query\[1\]='': expected the name of a query member"),
        ("ignore_query = ['a', 'a']", r"ignore_query\[1\]='a': expected the name of a query member, each once"),
        ("ignore_query = [1]", r"ignore_query\[0\]=1: expected"),
    ],
)
def test_a_mistake_stops_the_start_with_its_place(load: Callable[[str], Any], lines: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"pipelines.toml: pipeline 'chat': {says}"):
        load(lines)


def test_all_mistakes_are_said_at_once(load: Callable[[str], Any]) -> None:
    with pytest.raises(SeveralMistakesError) as caught:
        load("ignore_json = ['a', 'b']\njson_defaults = { c = 1 }\nignore_query = [1]")
    assert 4 == len(caught.value.mistakes)


@pytest.mark.parametrize("value", [1, 1.5, "x", True, [1, "a"], {"b": [False]}])
def test_a_default_of_any_type_is_left_out(load: Callable[[str], Any], value: Any) -> None:
    toml = json.dumps(value).replace('"b":', "b =")
    chat = load(f"json_defaults = {{ '/a' = {toml} }}")
    given, left_out = (
        chat.prepare(Request(body, "application/json")) for body in (json.dumps({"a": value}).encode(), b"{}")
    )
    assert given.canonical == left_out.canonical
