"""JSON (RFC 8259) read strictly: whatever two readers could understand in two ways is refused, or kept apart.

UTF-8 alone; no member twice in one object; no NaN and no infinity; no number that double precision would make infinite
or zero; integers exactly. Everything is linear in the size of the text. Before a text is parsed, its depth and the
number of its values are bounded, because a few bytes of text can become a hundred times their size in memory.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from recoup.errors import BadRequestError
from recoup.fields import echo

#: Levels of arrays and objects: far more than requests have, and far from Python's recursion limit. As many as orjson
#: writes, so that the fast way of `recoup.pipelines.canonical_json` has this bound without a look at the text.
MAX_DEPTH = 254
#: Arrays, objects and members of objects: each takes up to 600 bytes of memory.
MAX_MEMBERS = 100_000
#: Values in all: those above, and the items of arrays.
MAX_VALUES = 250_000
#: Digits of an integer: what Python itself reads.
MAX_DIGITS = 4300

_NOT_ZERO = re.compile(r"-?[0.]*[1-9]")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def parse(body: bytes, *, parse_int: Callable[[str], Any] = int) -> Any:
    """The value of a JSON text.

    Args:
        body: The text.
        parse_int: Makes a value of an integer's text, which has at most `MAX_DIGITS` digits.

    Raises:
        BadRequestError: It is not UTF-8, not JSON, names a member twice, has a number beyond double precision, is
            nested deeper than `MAX_DEPTH`, or has more than `MAX_VALUES` values or `MAX_MEMBERS` members.
    """
    check_size(body)
    check_depth(body)
    return parse_unbounded(body, parse_int=parse_int)


def parse_unbounded(body: bytes, *, parse_int: Callable[[str], Any] = int) -> Any:
    """The value of a JSON text as `parse` gives it, for callers that check size and depth themselves.

    Raises:
        BadRequestError: As `parse`; nested too deeply is what the interpreter cannot follow.
    """
    # The decoder knows `int` itself, and reads with it in C; its own limit of digits is `MAX_DIGITS`.
    decoder = _decoder(parse_int)
    try:
        return decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise BadRequestError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None
    except ValueError:
        raise BadRequestError(f"The body is not usable JSON: an integer has over {MAX_DIGITS} digits.") from None
    except RecursionError:
        raise _too_deep() from None


def check_size(body: bytes, *, most_values: int = MAX_VALUES) -> None:
    """Bound how many values a JSON text will become, before it is parsed. What is not JSON may pass.

    Raises:
        BadRequestError: It has more than `most_values` values or `MAX_MEMBERS` members.
    """
    # A value and its comma take two characters, a container two: most bodies are too short to have so many.
    if len(body) <= 2 * MAX_MEMBERS or _fits(body, most_values):
        return
    # Strings may be full of brackets and commas: count again without them. Each string is a value or a name, so that
    # there are not many pieces.
    text = _unescaped(body)
    if text.count(b'"') > 2 * (most_values + MAX_MEMBERS) or not _fits(_outside_strings(text), most_values):
        raise BadRequestError(
            f"The body is not usable JSON: expected at most {most_values} values in all, of which at most "
            f"{MAX_MEMBERS} are arrays, objects and their members."
        )


def _fits(text: bytes, most_values: int) -> bool:
    opened = text.count(b"[") + text.count(b"{")
    return opened + text.count(b":") <= MAX_MEMBERS and opened + text.count(b",") < most_values


def check_depth(body: bytes) -> None:
    """Bound the depth of a JSON text. What is not JSON may pass.

    Raises:
        BadRequestError: It is nested deeper than `MAX_DEPTH`.
    """
    few = len(body) <= MAX_DEPTH or body.count(b"[") + body.count(b"{") <= MAX_DEPTH
    if not few and _is_deep(_outside_strings(_unescaped(body))):
        raise _too_deep()


def _unescaped(text: bytes) -> bytes:
    """A JSON text without escaped quotes and backslashes, so that each quote begins or ends a string."""
    if b"\\" not in text:
        return text
    # A backslash escapes itself first, so these pairs go first.
    return text.replace(b"\\\\", b"").replace(b'\\"', b"")


def _outside_strings(text: bytes) -> bytes:
    """What is before, between and after the strings of a text that is unescaped."""
    return b"".join(text.split(b'"')[::2])


def _is_deep(outside: bytes) -> bool:
    """Whether brackets are nested deeper than `MAX_DEPTH`: each round takes the innermost pairs away."""
    brackets = outside.translate(_BRACKETS, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        rest = brackets.replace(b"[]", b"")
        if len(rest) == len(brackets):
            # All are gone, or they do not match: then it is no JSON. What is open on its own is as deep as it is long.
            return rest.count(b"[") > MAX_DEPTH
        brackets = rest
    return bool(brackets)


def _too_deep() -> BadRequestError:
    return BadRequestError(f"The body is nested too deeply: expected at most {MAX_DEPTH} levels of arrays and objects.")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise BadRequestError(f"The body is not usable JSON: it has the member {echo(name)} twice in one object.")
        names.add(name)
    raise AssertionError("fewer members than names, and no name twice")


def _float(text: str) -> float:
    number = float(text)
    # All that is too large would be one value, and so would all that is too small.
    if math.isinf(number) or (number == 0.0 and _NOT_ZERO.match(text)):
        raise BadRequestError(f"The body is not usable JSON: the number {echo(text)} is beyond double precision.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"The body is not JSON: {name} is not a JSON number.")


# Made once for a kind of integers: json.loads would make a decoder for every request.
@cache
def _decoder(parse_int: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_members, parse_float=_float, parse_int=parse_int, parse_constant=_refuse_constant
    )
