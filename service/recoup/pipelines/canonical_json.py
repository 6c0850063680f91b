r"""The canonical form of a JSON text: two texts have one form only if every reader finds the same values in them.

The form is JSON without white space, with the members of each object sorted by name, strings unescaped, and floats
written as short as double precision allows. Two ways lead to it, both to the same bytes:

1. orjson parses the text and writes it again. orjson keeps the last of several members of one name, reads integers
   past 64 bits as floats, `-0` as `0` and `1e-400` as `0.0`, and says nothing. So this way holds only if what it wrote
   is the text, byte for byte, when white space is taken out of both. That comparison is a proof: tokens of JSON are
   delimited without white space, so equal bytes are equal tokens, but for blanks within strings. No token went missing,
   so no member did. Each number is what orjson writes for the number that it read, and it writes a float with `.` or
   `e` and with the digits that round to it alone; so an integer was read as itself, and a float as itself.
2. Whatever else, strings that are spelled with more escapes than they need among it: the standard library's parser,
   made strict.

Where a pipeline leaves members out of its keys, they are taken out of the value between reading and writing. Both ways
read the same values, and so they still write the same bytes.

Comparing lengths would not do: `1e5` becomes longer, a member lost makes it shorter, and the integer
123456789012345678901 and the float that orjson makes of it are 21 characters long, both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import orjson

from recoup import strict_json


class _NegativeZero:
    """The integer `-0`: JavaScript reads it as -0.0, Python as 0. So it is neither of them."""


_NEGATIVE_ZERO: Final = _NegativeZero()
#: Bytes of a text that are searched for a needless escape.
_BEGINNING = 4096


#: Takes out of a value what does not belong to its key, and gives the value.
Reshape = Callable[[Any], Any]


def canonical_json(body: bytes, reshape: Reshape | None = None) -> bytes:
    """The canonical form of a JSON text (RFC 8259) in UTF-8.

    Args:
        body: The text. It has to be usable whole, with all that `reshape` takes out.
        reshape: Takes out of the value what does not belong to the form; None: all of it does.

    Raises:
        BadRequestError: See `recoup.strict_json.parse`.
    """
    strict_json.check_size(body)
    # Whoever escapes what need not be escaped does so from the beginning: then the fast way would be tried in vain.
    if body.find(b"\\u", 0, _BEGINNING) >= 0:
        return _exact_form(body, reshape)
    try:
        value = orjson.loads(body)
        written = orjson.dumps(value)
    except (ValueError, TypeError):
        return _exact_form(body, reshape)  # says what is wrong, or reads what orjson does not: lone surrogates
    if written == body or _squeezed(written) == _squeezed(body):
        return orjson.dumps(value if reshape is None else reshape(value), option=orjson.OPT_SORT_KEYS)
    return _exact_form(body, reshape)


def exact_form(body: bytes, reshape: Reshape | None = None) -> bytes:
    """The canonical form, by the slow way alone.

    Raises:
        BadRequestError: See `recoup.strict_json.parse`.
    """
    strict_json.check_size(body)
    return _exact_form(body, reshape)


def form_of(value: Any) -> bytes:
    """The canonical form of a value that was read from JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _written(value)


def _exact_form(body: bytes, reshape: Reshape | None) -> bytes:
    value = strict_json.parse_unbounded(body, parse_int=_integer)
    if reshape is not None:
        strict_json.check_depth(body)  # before what is nested too deeply is taken out
        value = reshape(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # It is nested too deeply, or has integers past 64 bits, lone surrogates, or `-0`.
        strict_json.check_depth(body)
        return _written(value)


def _written(value: Any) -> bytes:
    return _write(value).encode("utf-8", "backslashreplace")


def _squeezed(text: bytes) -> bytes:
    return text.translate(None, b" \t\r\n")


def _integer(text: str) -> Any:
    return _NEGATIVE_ZERO if text == "-0" else int(text)


def _write(value: Any) -> str:
    """The canonical form as text; a lone surrogate is still one. No deeper than what the parser takes."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(name)}:{_write(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return orjson.dumps(value).decode()
    return "-0" if value is _NEGATIVE_ZERO else json.dumps(value)


def _text(text: str) -> str:
    # The standard library escapes what orjson does, in the same way; a backslash is one of these, so that the escape of
    # a lone surrogate stands for nothing else.
    return json.dumps(text, ensure_ascii=False)
