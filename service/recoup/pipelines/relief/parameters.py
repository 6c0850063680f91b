"""The parameters of a relief: their units, bounds and defaults, and how query members are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from recoup.errors import BadRequestError, RequestError, UnprocessableError
from recoup.fields import Choice, Flag, Kind, Number, UnusableError, echo, refusal, unknown

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_FLAGS = {"true": True, "false": False}
#: The unit of a number that has none.
_SHARE = "share"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a relief is made to, besides its image.

    Attributes:
        quality: How finely the image is sampled: `preview`, `standard` or `fine`.
        width_mm: Millimetres from the left side to the right.
        depth_mm: Millimetres from the relief's lowest point to its highest.
        base_mm: Millimetres of solid plate below the lowest point.
        smoothing: From 0, every pixel as it is, to 1, only the large forms; edges stay sharp.
        invert: Dark is high, instead of bright.
        format: `stl` or `glb`.
    """

    quality: str = "standard"
    width_mm: float = 80.0
    depth_mm: float = 3.0
    base_mm: float = 2.0
    smoothing: float = 0.5
    invert: bool = False
    format: str = "stl"


DEFAULTS = Parameters()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: a text of a query becomes its value."""

    name: str
    kind: Kind[Any]
    description: str

    @property
    def default(self) -> Any:
        """Its value where a request leaves it out."""
        return getattr(DEFAULTS, self.name)

    def read(self, text: str) -> Any:
        """The value of a text; never a negative zero, so that one value has one form.

        Raises:
            BadRequestError: The text is not of the parameter's type, or none of its words.
            UnprocessableError: The number is out of bounds.
        """
        if isinstance(self.kind, Number):
            if not _NUMBER.fullmatch(text):
                raise self._refused(BadRequestError, text)
            return self._checked(float(text) + 0.0, text, UnprocessableError)
        # Stricter than `parse`, which takes several words for one value, as people write them in an environment.
        return self._checked(_FLAGS.get(text) if isinstance(self.kind, Flag) else text, text, BadRequestError)

    def _checked(self, value: Any, text: str, error: type[RequestError]) -> Any:
        try:
            return self.kind.check(value)
        except UnusableError:
            raise self._refused(error, text) from None

    def _refused(self, error: type[RequestError], text: str) -> RequestError:
        return error(
            refusal(self.name, echo(text), self.kind.expected),
            errors=[{"parameter": self.name, "detail": f"expected {self.kind.expected}"}],
            allowed=self._words(),
        )

    def _words(self) -> tuple[str, ...]:
        if isinstance(self.kind, Choice):
            return self.kind.words
        return tuple(_FLAGS) if isinstance(self.kind, Flag) else ()

    def describe(self) -> dict[str, Any]:
        """The parameter as `GET /api/pipelines` describes it."""
        schema = self.kind.schema()
        described = {
            "name": self.name,
            "type": schema["type"],
            "description": self.description,
            "default": self.default,
        }
        if isinstance(self.kind, Choice):
            return {**described, "choices": list(self.kind.words)}
        if isinstance(self.kind, Number):
            described |= {"minimum": self.kind.least, "maximum": self.kind.most}
            return described if self.kind.unit == _SHARE else {**described, "unit": self.kind.unit}
        return described


SPECIFICATION: tuple[Parameter, ...] = (
    Parameter(
        "quality",
        Choice(("preview", "standard", "fine")),
        "How finely the image is sampled. preview: 256 samples along the longer side, a tenth of the time; "
        "standard: 800; fine: 1200.",
    ),
    Parameter("width_mm", Number(5.0, 500.0, "mm"), "Width of the relief; its height follows from the image."),
    Parameter("depth_mm", Number(0.1, 100.0, "mm"), "From the lowest point of the relief to its highest."),
    Parameter("base_mm", Number(0.2, 50.0, "mm"), "Thickness of the solid plate below the lowest point."),
    Parameter("smoothing", Number(0.0, 1.0, _SHARE), "0 keeps every pixel, 1 only the large forms; edges stay sharp."),
    Parameter("invert", Flag(), "Dark parts of the image are high, instead of bright ones (a lithophane)."),
    Parameter(
        "format",
        Choice(("stl", "glb")),
        "stl: binary STL in millimetres, for slicers. glb: binary glTF in metres, for viewers.",
    ),
)
_PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in SPECIFICATION}

_values = attrgetter(*_PARAMETERS)


def read(query: Mapping[str, tuple[str, ...]]) -> Parameters:
    """The parameters of a request's query members.

    Raises:
        BadRequestError: One is unknown, repeated, or not of its type.
        UnprocessableError: One is out of its bounds.
    """
    given: dict[str, Any] = {}
    for name, values in query.items():
        parameter = _PARAMETERS.get(name)
        if parameter is None:
            raise BadRequestError(
                unknown("parameter", name, tuple(_PARAMETERS)),
                errors=[{"parameter": name, "detail": "unknown"}],
                allowed=tuple(_PARAMETERS),
            )
        if len(values) != 1:
            raise BadRequestError(
                f"{name}: expected once, given {len(values)} times",
                errors=[{"parameter": name, "detail": "given more than once"}],
            )
        given[name] = parameter.read(values[0])
    return Parameters(**given)


def canonical(parameters: Parameters) -> str:
    """One text for all requests that mean the same relief of an image."""
    return ";".join(map(str, _values(parameters)))
