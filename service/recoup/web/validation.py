"""Checks of JSON bodies and query members, declared once: what is checked here is what the API's description says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recoup.errors import BadRequestError, UnsupportedMediaError

#: Characters of a caller's own text that a message repeats.
_ECHO_LENGTH = 80
#: Twenty digits are past every bound; more would only cost time to read.
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}

Fault = dict[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a JSON body, or of a query.

    Attributes:
        name: Its name.
        type: Its JSON type. `true` is not an integer, `"5"` is not a number, `5.0` is an integer.
        description: What it means, with its unit.
        minimum: The least that is allowed.
        above: What it must be greater than.
        maximum: The most that is allowed.
        choices: What it must be one of.
        nullable: Whether null is allowed.
        default: What it is when it is left out; None: nothing.
    """

    name: str
    type: Literal["integer", "number", "boolean", "string"]
    description: str
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    nullable: bool = False
    default: Any = None

    def schema(self) -> dict[str, Any]:
        """The field as JSON Schema."""
        bounds = {"minimum": self.minimum, "exclusiveMinimum": self.above, "maximum": self.maximum}
        schema: dict[str, Any] = {"type": [self.type, "null"] if self.nullable else self.type}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.default is not None:
            schema["default"] = self.default
        return {**schema, "description": self.description}

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, as a sentence; None: nothing."""
        if value is None and self.nullable:
            return None
        if not self._has_type(value):
            return f"{self.name} must be {self._wanted()}, not {_name(value)}"
        if not self._in_range(value):
            return f"{self.name} must be {self._wanted()}, not {echo(value)}"
        return None

    def _has_type(self, value: Any) -> bool:
        if self.type == "boolean" or isinstance(value, bool):
            return self.type == "boolean" and isinstance(value, bool)
        if self.type == "string":
            return isinstance(value, str)
        if self.type == "integer":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return isinstance(value, (int, float))

    def _in_range(self, value: Any) -> bool:
        if self.choices and value not in self.choices:
            return False
        return not (
            (self.minimum is not None and value < self.minimum)
            or (self.above is not None and value <= self.above)
            or (self.maximum is not None and value > self.maximum)
        )

    def _wanted(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = ["an integer" if self.type == "integer" else f"a {self.type}"]
        if self.minimum is not None:
            words.append(f"of at least {self.minimum:g}")
        if self.above is not None:
            words.append(f"above {self.above:g}")
        if self.maximum is not None:
            words.append(f"and at most {self.maximum:.10g}")
        return " ".join(words) + (" (or null)" if self.nullable else "")


def parse_json(body: bytes) -> Any:
    """A JSON text, strictly: UTF-8, no member twice, no NaN or infinity, no number too large to hold.

    Raises:
        BadRequestError: It is not; says where.
    """
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_float
        )
    except UnicodeDecodeError as error:
        raise BadRequestError(f"The body is not UTF-8: byte {error.start}.") from None
    except RecursionError:
        raise BadRequestError("The body is nested too deeply.") from None
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {error}") from None


def check_object(value: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """An object that has none but the given fields, each with a value that is allowed.

    Raises:
        BadRequestError: Something is wrong; `errors` has each fault with its JSON pointer.
    """
    if not isinstance(value, dict):
        raise BadRequestError(f"The body must be a JSON object, not {_name(value)}.")
    known = {field.name: field for field in fields}
    faults: list[Fault] = []
    for name, member in value.items():
        fault = known[name].fault(member) if name in known else f"unknown field {echo(name)}"
        if fault:
            faults.append({"detail": fault, "pointer": _pointer(name)})
    if faults:
        raise _refusal("body", faults, tuple(known))
    return {name: _plain(known[name], member) for name, member in value.items()}


def check_query(query: Mapping[str, Sequence[str]], fields: Sequence[Field]) -> dict[str, Any]:
    """Query members by name, with their defaults: none but the given fields, none of them twice.

    Raises:
        BadRequestError: Something is wrong; `errors` has each fault with the name of its `parameter`.
    """
    known = {field.name: field for field in fields}
    checked = {field.name: field.default for field in fields}
    faults: list[Fault] = []
    for name, values in query.items():
        value, fault = _query_value(known.get(name), name, values)
        checked[name] = value
        if fault:
            faults.append({"detail": fault, "parameter": name})
    if faults:
        raise _refusal("query", faults, tuple(known))
    return checked


def require_json_type(content_type: str | None) -> None:
    """Refuse a body of another type than JSON; that also keeps the forms of other sites' pages out.

    Raises:
        UnsupportedMediaError: It is not `application/json`.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        given = f"not {echo(media_type)}" if media_type else "and it names none"
        raise UnsupportedMediaError(
            f"The body's Content-Type must be application/json, {given}.", allowed=("application/json",)
        )


def echo(value: Any) -> str:
    """A caller's own text as a message repeats it: quoted, and cut where it is long."""
    text = str(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= _ECHO_LENGTH else text[: _ECHO_LENGTH - 1] + "…"


def _query_value(field: Field | None, name: str, values: Sequence[str]) -> tuple[Any, str | None]:
    if field is None:
        return None, f"unknown query member {echo(name)}"
    if len(values) != 1:
        return None, f"{name} is given {len(values)} times"
    if field.type == "string":
        return values[0], field.fault(values[0])
    number = int(values[0]) if _INTEGER.fullmatch(values[0]) else values[0]
    return number, field.fault(number)


def _refusal(what: str, faults: Sequence[Fault], allowed: Sequence[str]) -> BadRequestError:
    sentence = "; ".join(fault["detail"] for fault in faults[:5])
    return BadRequestError(f"The {what} cannot be used: {sentence}.", errors=faults[:100], allowed=allowed)


def _plain(field: Field, value: Any) -> Any:
    return int(value) if field.type == "integer" and value is not None else value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"member {echo(name)} is there more than once")
        members[name] = value
    return members


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{echo(text)} is too large a number")
    return number


def _name(value: Any) -> str:
    return _NAMES.get(type(value)) or echo(value)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
