"""What of a request does not belong to its key: JSON members that are noise, and members given at their default.

A value is shaped in one pass over the configured paths, whatever its size: first everything within a member, then the
member itself. So what is ignored is gone before a member is compared with its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recoup.pipelines.canonical_json import form_of
from recoup.pipelines.json_pointer import Path, index_of, pointer_text


class _Node:
    """The members and elements of one place that a path leads to.

    Attributes:
        by_name: What is below it, by name.
        by_index: The same by index, the highest first: what goes leaves the place of those that are to come.
        ignored: Whether it does not belong to the key.
        default: The type and the canonical form of its default; None: it has none.
    """

    __slots__ = ("by_index", "by_name", "default", "ignored")

    def __init__(self) -> None:
        self.by_name: dict[str, _Node] = {}
        self.by_index: list[tuple[int, _Node]] = []
        self.ignored = False
        self.default: tuple[type, bytes] | None = None

    def at(self, path: Path) -> _Node:
        """The node of a path, made where there is none."""
        node = self
        for token in path:
            child = node.by_name.get(token)
            if child is None:
                child = node.by_name[token] = _Node()
                index = index_of(token)
                if index is not None:
                    node.by_index.append((index, child))
                    node.by_index.sort(key=lambda indexed: -indexed[0])
            node = child
        return node


class KeyShape:
    """What does not belong to the keys of a pipeline. It never changes, and is safe under threads.

    Args:
        ignored: Paths of JSON members and elements that do not belong to the key.
        defaults: JSON values by path: a member that is given at this value makes the key of one that is left out.
        query: Names of query members that do not belong to the key.
    """

    def __init__(
        self, ignored: Iterable[Path] = (), defaults: Mapping[Path, Any] | None = None, query: Iterable[str] = ()
    ) -> None:
        self._ignored, self._defaults = tuple(ignored), dict(defaults or {})
        self.query = frozenset(query)
        self._root = _Node()
        for path in self._ignored:
            self._root.at(path).ignored = True
        # The innermost first: a default is itself compared without what is ignored or at its default in it.
        for path, value in sorted(self._defaults.items(), key=lambda member: -len(member[0])):
            node = self._root.at(path)
            shaped = _reshape(_copy(value), node)
            node.default = (type(shaped), form_of(shaped))
        #: Whether JSON bodies are shaped at all.
        self.shapes_json = bool(self._root.by_name)

    def describe(self) -> dict[str, Any]:
        """What was configured, as the options have it."""
        return {
            "ignore_json": [pointer_text(path) for path in self._ignored],
            "ignore_query": sorted(self.query),
            "json_defaults": {pointer_text(path): value for path, value in self._defaults.items()},
        }

    def reshape(self, value: Any) -> Any:
        """A JSON value without what does not belong to the key. The value given is changed.

        An element of an array is taken out where it is ignored. It is never left out for its default: the elements
        after it would move.
        """
        return _reshape(value, self._root)


#: Everything belongs to the key.
WHOLE = KeyShape()


def _reshape(value: Any, node: _Node) -> Any:
    if isinstance(value, dict):
        for name, child in node.by_name.items():
            if name not in value:
                continue
            if child.ignored:
                del value[name]
                continue
            member = value[name]
            if child.by_name:
                _reshape(member, child)
            default = child.default
            if default is not None and type(member) is default[0] and form_of(member) == default[1]:
                del value[name]
    elif isinstance(value, list):
        for index, child in node.by_index:
            if index >= len(value):
                continue
            if child.ignored:
                del value[index]
            else:
                _reshape(value[index], child)
    return value


def _copy(value: Any) -> Any:
    """A value of its own: what is configured is not changed."""
    if isinstance(value, dict):
        return {name: _copy(member) for name, member in value.items()}
    return [_copy(element) for element in value] if isinstance(value, list) else value
