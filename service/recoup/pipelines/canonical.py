"""What a request means, as values: two requests that mean the same thing have equal ones.

JSON bodies are compared by their values, so spacing and the order of members do not matter. Numbers mean what RFC 8259
recommends that they be read as: integers exactly, all else as double precision. Other bodies are compared by bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from recoup.errors import BadRequestError

#: Levels of arrays and objects in a JSON body: far more than generators use, and far from Python's recursion limit.
MAX_JSON_DEPTH = 128


def is_json(content_type: str | None) -> bool:
    """Whether a media type (lower case, without parameters) is JSON: `application/json`, or one with `+json`."""
    return content_type is not None and (content_type == "application/json" or content_type.endswith("+json"))


def canonical_body(body: bytes, content_type: str | None) -> Any:
    """A body's meaning: the value of a JSON body, the bytes of any other.

    Raises:
        BadRequestError: The content type says JSON, and the body is none that can be told apart from others.
    """
    return canonical_json(body) if is_json(content_type) else body


def canonical_query(query: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Query members in the order of their names; repeated values stay in the order that they came in."""
    return tuple((name, tuple(query[name])) for name in sorted(query)) if query else ()


def canonical_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8.

    Raises:
        BadRequestError: It is not UTF-8, not JSON, names a member twice, has a number beyond what can be read, or is
            nested deeper than `MAX_JSON_DEPTH`.
    """
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise BadRequestError(f"the JSON body is not UTF-8: byte {error.start} cannot be read") from None
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    except ValueError:
        # The interpreter's own limit on the digits of an integer.
        raise BadRequestError("the JSON body has an integer of too many digits") from None
    except RecursionError:
        raise _too_deep() from None
    if body.count(b"[") + body.count(b"{") > MAX_JSON_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Go through the containers level by level, as recursion could not."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [item for holder in level for item in _members(holder) if isinstance(item, (dict, list))]
        if not level:
            return
    raise _too_deep()


def _members(holder: Any) -> Any:
    if isinstance(holder, dict):
        return holder.values()
    return holder if isinstance(holder, list) else ()


def _too_deep() -> BadRequestError:
    return BadRequestError(f"the JSON body is nested too deeply: at most {MAX_JSON_DEPTH} levels are taken")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise BadRequestError(f"the JSON body names the member {twice!r} twice in one object")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        # All of these would be one value, and so one key.
        raise BadRequestError(f"the JSON body has a number beyond double precision: {text[:40]}")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"the body is not JSON: {name} is no JSON number")


# Made once: json.loads would make a decoder for every request.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique_members, parse_float=_finite, parse_constant=_refuse_constant)
