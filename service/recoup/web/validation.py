"""Checks of JSON bodies and query members, declared once: what is checked here is what the API's description says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recoup.errors import BadRequestError, UnsupportedMediaError
from recoup.fields import Kind, Text, UnusableError, Whole, echo, refusal, unknown

#: Faults that the sentence of a refusal has, and that its list has.
_FAULTS_SAID = 5
_FAULTS_LISTED = 100

Fault = dict[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a JSON body, or of a query.

    Attributes:
        name: Its name.
        kind: What it may be. `true` is not an integer, `"5"` is not a number, `5.0` is an integer.
        description: What it means.
        nullable: Whether null is allowed.
        default: What it is when it is left out; None: nothing.
    """

    name: str
    kind: Kind[Any]
    description: str
    nullable: bool = False
    default: Any = None

    def schema(self) -> dict[str, Any]:
        """The field as JSON Schema."""
        schema = self.kind.schema()
        if self.nullable:
            schema["type"] = [schema["type"], "null"]
        if self.default is not None:
            schema["default"] = self.default
        return {**schema, "description": self.description}

    def check(self, value: Any) -> Any:
        """The value of a JSON member.

        Raises:
            UnusableError: It is none of the field's; says so in a sentence.
        """
        if value is None and self.nullable:
            return None
        if isinstance(self.kind, Whole) and isinstance(value, float) and value % 1 == 0:
            value = int(value)  # JSON knows no other difference between 5 and 5.0
        try:
            return self.kind.check(value)
        except UnusableError:
            words = self.kind.expected + (", or null" if self.nullable else "")
            raise UnusableError(refusal(self.name, _shown(value), words)) from None

    def parse(self, texts: Sequence[str]) -> Any:
        """The value of a query member that was given with these texts.

        Raises:
            UnusableError: It is none of the field's, or given more than once.
        """
        if len(texts) != 1:
            raise UnusableError(f"{self.name}: expected once, given {len(texts)} times")
        try:
            return texts[0] if isinstance(self.kind, Text) else self.kind.parse(texts[0])
        except UnusableError:
            raise UnusableError(refusal(self.name, echo(texts[0]), self.kind.expected)) from None


def check_object(value: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """An object that has none but the given fields, each with a value that is allowed.

    Raises:
        BadRequestError: Something is wrong; `errors` has each fault with its JSON pointer.
    """
    if not isinstance(value, dict):
        raise BadRequestError(f"The body must be a JSON object, not {_shown(value)}.")
    known = {field.name: field for field in fields}
    checked: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, member in value.items():
        try:
            checked[name] = _known(known, "field", name).check(member)
        except UnusableError as error:  # noqa: PERF203  # all faults are reported at once
            faults.append({"detail": str(error), "pointer": _pointer(name)})
    if faults:
        raise _refusal("body", faults, tuple(known))
    return checked


def check_query(query: Mapping[str, Sequence[str]], fields: Sequence[Field]) -> dict[str, Any]:
    """Query members by name, with their defaults: none but the given fields, none of them twice.

    Raises:
        BadRequestError: Something is wrong; `errors` has each fault with the name of its `parameter`.
    """
    known = {field.name: field for field in fields}
    checked = {field.name: field.default for field in fields}
    faults: list[Fault] = []
    for name, texts in query.items():
        try:
            checked[name] = _known(known, "query member", name).parse(texts)
        except UnusableError as error:  # noqa: PERF203  # all faults are reported at once
            faults.append({"detail": str(error), "parameter": _cut(name)})
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


def _known(known: Mapping[str, Field], what: str, name: str) -> Field:
    field = known.get(name)
    if field is None:
        raise UnusableError(unknown(what, name, tuple(known)))
    return field


def _refusal(what: str, faults: Sequence[Fault], allowed: Sequence[str]) -> BadRequestError:
    sentence = "; ".join(fault["detail"] for fault in faults[:_FAULTS_SAID])
    return BadRequestError(f"Unusable {what}: {sentence}.", errors=faults[:_FAULTS_LISTED], allowed=allowed)


def _shown(value: Any) -> str:
    """A JSON value as JSON spells it; an object or an array by its kind."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else echo(value)
    )


def _cut(name: str) -> str:
    return name if len(name) <= 80 else name[:79] + "…"


def _pointer(name: str) -> str:
    return "/" + _cut(name).replace("~", "~0").replace("/", "~1")
