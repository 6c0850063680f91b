"""JSON values for properties, drawn so that what is alike meets often, and texts of them."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import strategies as st

# Values that are alike in one way or another are drawn often, so that a form that confuses them is found.
ALIKE = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 1e16, 10**16, True, False, None, "", "0", "1", "true", "null", "a"])
LEAVES = ALIKE | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "1", ""]), inner),
    max_leaves=12,
)


def spelled(value: Any, rng: random.Random) -> str:
    """A JSON text of the value, with its members in any order and any spacing between."""

    def space() -> str:
        return "".join(rng.choices(" \t\r\n", k=rng.randrange(3)))

    if isinstance(value, dict):
        members = rng.sample(sorted(value.items(), key=lambda member: member[0]), len(value))
        inner = ",".join(f"{space()}{quoted(name, rng)}{space()}:{spelled(item, rng)}" for name, item in members)
        text = "{" + (inner or space()) + "}"
    elif isinstance(value, list):
        text = "[" + (",".join(spelled(item, rng) for item in value) or space()) + "]"
    else:
        text = quoted(value, rng) if isinstance(value, str) else json.dumps(value)
    return space() + text + space()


def quoted(text: str, rng: random.Random) -> str:
    """A text in one of the spellings that JSON has for it."""
    way = rng.random()
    if way < 0.2:
        return '"' + "".join(f"\\u{unit:04x}" for unit in units(text)) + '"'
    return json.dumps(text, ensure_ascii=way < 0.5 or has_surrogates(text))


def units(text: str) -> list[int]:
    """The UTF-16 code units of a text, lone surrogates too."""
    encoded = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[start : start + 2], "big") for start in range(0, len(encoded), 2)]


def has_surrogates(value: Any) -> bool:
    return isinstance(value, str) and any(0xD800 <= ord(character) < 0xE000 for character in value)


def typed(value: Any) -> Any:
    """The value with the types of its parts, in which 1, 1.0, True and "1" are four things."""
    if isinstance(value, dict):
        return ("dict", sorted((name, typed(item)) for name, item in value.items()).__repr__())
    if isinstance(value, list):
        return ("list", [typed(item) for item in value].__repr__())
    return (type(value).__name__, repr(value))
