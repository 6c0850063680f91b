"""The groups of a pipeline's results: from templates over the request, and from the upstream's `Cache-Groups`."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.cache.config import LONGEST_GROUP, MOST_GROUPS
from recoup.errors import ConfigurationError, SeveralMistakesError
from recoup.fields import UnusableError
from recoup.pipelines.cache_groups import cache_groups
from recoup.pipelines.group_templates import GroupTemplates, parse_template
from recoup.pipelines.protocol import Request
from recoup.pipelines.registry import load_pipelines


def groups(request: Request, *templates: str) -> tuple[str, ...]:
    return GroupTemplates("llm", [parse_template(template) for template in templates]).of(request)


def of_json(value: Any, *templates: str) -> tuple[str, ...]:
    return groups(Request(json.dumps(value).encode(), "application/json"), *templates)


class TestTemplates:
    @pytest.mark.parametrize(
        ("value", "template", "expected"),
        [
            ({"model": "small"}, "model:{/model}", ["model:small"]),
            ({"a": {"b/c": [1, 2]}}, "{/a/b~1c/1}", ["2"]),
            ({"n": 12345678901234567890123}, "n:{/n}", ["n:12345678901234567890123"]),
            ({"n": 1.5, "t": True}, "{/n}-{/t}", ["1.5-true"]),
            ({"tags": ["a", "b", "a"]}, "tag:{/tags}", ["tag:a", "tag:b"]),
            ({"x": ["a", "b"], "y": [1, 2]}, "{/x}{/y}", ["a1", "a2", "b1", "b2"]),
            ({"x": ["a", None, {"z": 1}, ["q"], ""]}, "{/x}", ["a"]),
            ({"model": None}, "model:{/model}", []),
            ({"model": ""}, "model:{/model}", []),
            ({"model": {"a": 1}}, "model:{/model}", []),
            ({}, "model:{/model}", []),
            ([], "model:{/model}", []),
            ({"": 5}, "{/}", ["5"]),
        ],
        ids=repr,
    )
    def test_take_members_of_the_body(self, value: Any, template: str, expected: list[str]) -> None:
        assert tuple(expected) == of_json(value, template)

    def test_take_headers_and_query_members_with_all_their_values(self) -> None:
        request = Request(
            b"not json",
            "text/plain",
            query={"user": ("a", "b"), "empty": ("",)},
            headers={"x-tenant": (b"t1", b"t2"), "x-empty": (b"",)},
        )
        assert ("q:a", "q:b", "t:t1", "t:t2") == groups(
            request,
            "q:{query:user}",
            "{query:empty}",
            "{query:absent}",
            "t:{header:X-Tenant}",
            "{header:x-empty}",
            "{header:x-absent}",
            "{/model}",
        )

    def test_leave_out_what_is_no_name_and_say_so_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING)
        templates = GroupTemplates("llm", [parse_template("g:{/x}")])
        for value in ("x" * LONGEST_GROUP, "\ud800", list(range(MOST_GROUPS + 5))):
            request = Request(json.dumps({"x": value}).encode(), "application/json")
            assert (MOST_GROUPS if isinstance(value, list) else 0) == len(templates.of(request))
        assert ["llm"] == [record.pipeline for record in caplog.records]  # type: ignore[attr-defined]  # it is extra

    def test_are_bounded_however_many_values_there_are(self) -> None:
        many = list(range(300))
        assert MOST_GROUPS == len(of_json({"a": many, "b": many, "c": many}, "{/a}-{/b}-{/c}"))

    @pytest.mark.parametrize(
        "text",
        [
            *("", "plain", "{}", "{model}", "{/a", "/a}", "{/a}}", "{{/a}}", "{/~2}", "{header:}", "{header:a b}"),
            *("{query:}", "{cookie:a}", "{header:Host}", "a\n{/a}", 5, None, "x" * LONGEST_GROUP + "{/a}"),
        ],
        ids=repr,
    )
    def test_are_refused_where_they_are_none(self, text: Any) -> None:
        with pytest.raises(UnusableError):
            parse_template(text)


class TestAFile:
    @pytest.mark.parametrize(
        ("option", "says"),
        [
            ("groups = 'model'", "groups='model': expected a list"),
            ("groups = ['ok:{/a}', '{/~2}']", r"groups\[1\]: '\{/~2\}': expected text of one line"),
            ("groups = ['{header:X-Tenant}']", r"groups\[0\]: .*expected a header of key_headers or ignore_headers"),
            (
                "ignore_headers = ['Authorization']\ngroups = ['{header:authorization}']",
                r"groups\[0\]: .*expected no header that may be a secret",
            ),
        ],
    )
    def test_says_where_a_mistake_is(self, tmp_path: Any, option: str, says: str) -> None:
        path = tmp_path / "pipelines.toml"
        path.write_text(f"[pipelines.llm]\nkind = 'http'\nurl = 'http://a.example/'\n{option}\n")
        with pytest.raises(ConfigurationError, match=f"{path}: pipeline 'llm': {says}"):
            load_pipelines(path)

    def test_lists_every_mistake(self, tmp_path: Any) -> None:
        path = tmp_path / "pipelines.toml"
        path.write_text("[pipelines.llm]\nkind = 'http'\nurl = 'http://a.example/'\ngroups = ['a', 'b', '{/c}']\n")
        with pytest.raises(SeveralMistakesError) as caught:
            load_pipelines(path)
        assert ["groups[0]", "groups[1]"] == [str(one).split(": ")[2] for one in caught.value.mistakes]


def header(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"cache-groups", value.encode()) for value in values]


class TestCacheGroups:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (['"a"'], ("a",)),
            (['"a", "b","c" ,\t"a"'], ("a", "b", "c")),
            (['"a"', '"b"'], ("a", "b")),
            ([r'"a\"b\\c"'], (r'a"b\c',)),
            (['  "a"  '], ("a",)),
            (['"a, b"'], ("a, b",)),
            (['"a";x=1;y="z, w"; flag, "b";t=tok/en'], ("a", "b")),
            (['""'], ("",)),
            ([], ()),
            ([""], ()),
            (["a"], ()),
            (['"a", b'], ()),
            (['"a",'], ()),
            ([',"a"'], ()),
            (['"a" "b"'], ()),
            (['"a'], ()),
            ([r'"a\n"'], ()),
            (['("a" "b")'], ()),
            (['"\xe9"'], ()),
            (['"a";'], ()),
            (['"a";X=1'], ()),
        ],
        ids=repr,
    )
    def test_is_a_list_of_strings_or_nothing(self, values: list[str], expected: tuple[str, ...]) -> None:
        assert expected == cache_groups(header(*values))

    @given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)), max_size=6))
    def test_gives_back_what_was_written(self, names: list[str]) -> None:
        written = ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
        assert tuple(dict.fromkeys(names)) == cache_groups(header(written))

    @given(st.binary(max_size=60))
    def test_reads_any_bytes_in_linear_time(self, value: bytes) -> None:
        assert isinstance(cache_groups([(b"cache-groups", value * 50)]), tuple)
