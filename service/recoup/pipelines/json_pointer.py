"""JSON pointers (RFC 6901), read strictly, and what they point to in a value."""

from __future__ import annotations

import re
from typing import Any, Final

from recoup.fields import UnusableError
from recoup.strict_json import MAX_DEPTH

#: A pointer, read: the names and indexes that lead to a value, from the outermost one in.
Path = tuple[str, ...]

POINTER_RULE = "a JSON pointer (RFC 6901) such as '/user' or '/messages/0/id', with '~0' for '~' and '~1' for '/'"

_LONE_TILDE = re.compile(r"~(?![01])")
#: An index is written without leading zeros; no array has as many elements as this has digits.
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


class Absent:
    """The type of `ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


#: What a pointer points to where there is nothing.
ABSENT: Final = Absent()


def parse_pointer(text: object) -> Path:
    """The path of a pointer. The empty pointer, which means the whole text, is none here.

    Raises:
        UnusableError: It is no pointer, or leads deeper than any body may be.
    """
    if not isinstance(text, str) or not text.startswith("/") or _LONE_TILDE.search(text):
        raise UnusableError
    path = tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))
    if len(path) > MAX_DEPTH:
        raise UnusableError
    return path


def pointer_text(path: Path) -> str:
    """The pointer of a path."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def index_of(token: str) -> int | None:
    """The element of an array that a token of a path means; None: none. `-`, the one past the end, is never there."""
    return int(token) if _INDEX.fullmatch(token) else None


def find(value: Any, path: Path) -> Any:
    """What is at a path of a JSON value; `ABSENT`: nothing."""
    for token in path:
        if isinstance(value, dict):
            value = value.get(token, ABSENT)
        elif isinstance(value, list):
            index = index_of(token)
            value = value[index] if index is not None and index < len(value) else ABSENT
        else:
            return ABSENT
    return value
