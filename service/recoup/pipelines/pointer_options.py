"""Options that are made of JSON pointers: lists of them, and tables by them. A mistake names its member or index."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from recoup.fields import UnusableError, echo
from recoup.pipelines.json_pointer import POINTER_RULE, Path, parse_pointer, pointer_text
from recoup.pipelines.key_shape import KeyShape

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable

T = TypeVar("T")

JSON_RULE = "a value that JSON has: a text, a finite number, true or false, a list or a table of such values"


def key_shape(options: OptionTable) -> KeyShape:
    """What does not belong to the key: `ignore_json`, `ignore_query`, `json_defaults`."""
    ignored = pointers(options, "ignore_json")
    for path, text in ignored.items():
        outer = _outermost(path[:-1], ignored)
        if outer is not None:
            options.mistakes.append(
                options.fault("ignore_json", f"{echo(text)} is within {echo(outer)}, which is there")
            )
    defaults = by_pointer(options, "json_defaults", json_value, JSON_RULE)
    for path in defaults:
        outer = _outermost(path, ignored)
        if outer is not None:
            problem = f"ignore_json has {echo(outer)}: expected a member that belongs to the key"
            options.mistakes.append(options.fault(_member("json_defaults", pointer_text(path)), problem))
    return KeyShape(ignored, defaults, query_names(options, "ignore_query"))


def _outermost(path: Path, ignored: Mapping[Path, str]) -> str | None:
    """The pointer that is ignored and leads to a path, or to what it is in; None: there is none."""
    return next((ignored[path[:length]] for length in range(1, len(path) + 1) if path[:length] in ignored), None)


def pointers(options: OptionTable, option: str) -> dict[Path, str]:
    """A list of JSON pointers, each once: the text of each by its path, in their order."""
    given = options.given(option, [])
    if not isinstance(given, list):
        options.mistakes.append(options.refused(option, "a list of JSON pointers"))
        return {}
    taken: dict[Path, str] = {}
    for index, text in enumerate(given):
        try:
            path = parse_pointer(text)
        except UnusableError:
            options.mistakes.append(options.wrong(f"{option}[{index}]", text, POINTER_RULE))
            continue
        if path in taken:
            options.mistakes.append(options.wrong(f"{option}[{index}]", text, "each pointer once"))
        taken[path] = text
    return taken


def by_pointer(
    options: OptionTable, option: str, check: Callable[[Any], T], expected: str, *, about: str = "values"
) -> dict[Path, T]:
    """A table of values by JSON pointer.

    Args:
        options: The pipeline's.
        option: The option's name.
        check: Gives the value of what stands there; raises UnusableError.
        expected: What it takes.
        about: What the values are, for the error about a table that is none.
    """
    table = options.given(option, {})
    if not isinstance(table, dict):
        options.mistakes.append(options.refused(option, f"a table of {about} by JSON pointer"))
        return {}
    taken: dict[Path, T] = {}
    for text, value in table.items():
        try:
            path = parse_pointer(text)
        except UnusableError:
            options.mistakes.append(options.fault(_member(option, text), f"expected {POINTER_RULE}"))
            continue
        try:
            taken[path] = check(value)
        except UnusableError:
            options.mistakes.append(options.wrong(_member(option, text), value, expected))
    return taken


def query_names(options: OptionTable, option: str) -> tuple[str, ...]:
    """A list of names of query members, each once."""
    names = options.given(option, [])
    if not isinstance(names, list):
        options.mistakes.append(options.refused(option, "a list of names of query members"))
        return ()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name or name in names[:index]:
            options.mistakes.append(options.wrong(f"{option}[{index}]", name, "the name of a query member, each once"))
    return tuple(name for name in names if isinstance(name, str))


def json_value(value: Any) -> Any:
    """A value of the TOML file as JSON has it.

    Raises:
        UnusableError: JSON has none such: a date, a time, NaN, infinity.
    """
    if isinstance(value, dict):
        return {name: json_value(member) for name, member in value.items()}
    if isinstance(value, list):
        return [json_value(element) for element in value]
    if not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise UnusableError
    return value


def json_values(value: Any) -> list[Any]:
    """A list of such values, not empty.

    Raises:
        UnusableError: It is none.
    """
    if not isinstance(value, list) or not value:
        raise UnusableError
    return [json_value(element) for element in value]


def _member(option: str, name: str) -> str:
    return f"{option}.{echo(name)}"
