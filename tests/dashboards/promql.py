"""What the tests need to know of a PromQL expression: its selectors. Whether it is valid, Prometheus tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r'\$\w+|"(?:[^"\\]|\\.)*"|[a-zA-Z_:][a-zA-Z0-9_:]*|\[[^\]]*\]|[0-9][\w.]*|=~|!~|!=|>=|<=|==|\S')
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*$")
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _GROUPING | {"and", "or", "unless", "bool", "offset"}


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Selector:
    """`name{matchers}[range]`, and the function that is given it."""

    name: str
    matchers: tuple[Matcher, ...]
    range: str
    function: str

    def matches(self, label: str, operator: str, value: str) -> bool:
        return Matcher(label, operator, value) in self.matchers


def selectors(expression: str) -> list[Selector]:
    tokens = _TOKEN.findall(expression)
    selected, functions, at = [], [""], 0
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if token in _GROUPING:
            at = tokens.index(")", at)
        elif token == "(":
            functions.append(tokens[at - 1] if at and _is_function(tokens[at - 1]) else "")
        elif token == ")":
            functions.pop()
        elif _NAME.match(token) and token not in _WORDS and after != "(" and after not in {"by", "without"}:
            end = tokens.index("}", at) if after == "{" else at
            following = tokens[end + 1] if end + 1 < len(tokens) else ""
            window = following[1:-1] if following.startswith("[") else ""
            selected.append(Selector(token, tuple(_matchers(tokens[at + 2 : end])), window, functions[-1]))
            at = end
        at += 1
    return selected


def _is_function(token: str) -> bool:
    return bool(_NAME.match(token)) and token not in _WORDS


def _matchers(tokens: list[str]) -> Iterator[Matcher]:
    words = [token for token in tokens if token != ","]
    for label, operator, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield Matcher(label, operator, value[1:-1])
