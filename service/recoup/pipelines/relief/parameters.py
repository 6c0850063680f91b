"""The parameters of a relief: their units, bounds and defaults, and how query members are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NoReturn

from recoup.errors import BadRequestError, UnprocessableError

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


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
class Choice:
    """A parameter that is one of a few words."""

    name: str
    description: str
    choices: tuple[str, ...]

    def read(self, text: str) -> str:
        """The word."""
        if text not in self.choices:
            _refuse(BadRequestError, self.name, text, f"one of {', '.join(self.choices)}", self.choices)
        return text

    def describe(self) -> dict[str, Any]:
        """As `GET /api/pipelines` tells it."""
        return {
            "name": self.name,
            "type": "string",
            "description": self.description,
            "default": getattr(DEFAULTS, self.name),
            "choices": list(self.choices),
        }


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that is a number within bounds, both included."""

    name: str
    description: str
    minimum: float
    maximum: float
    unit: str | None = None

    def read(self, text: str) -> float:
        """The number; never a negative zero, so that one value has one form."""
        if not _NUMBER.fullmatch(text):
            _refuse(BadRequestError, self.name, text, "a decimal number")
        value = float(text) + 0.0
        if not self.minimum <= value <= self.maximum:
            _refuse(UnprocessableError, self.name, text, f"from {self.minimum:g} to {self.maximum:g}")
        return value

    def describe(self) -> dict[str, Any]:
        """As `GET /api/pipelines` tells it."""
        described = {
            "name": self.name,
            "type": "number",
            "description": self.description,
            "default": getattr(DEFAULTS, self.name),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
        return described if self.unit is None else {**described, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class Flag:
    """A parameter that is true or false."""

    name: str
    description: str

    def read(self, text: str) -> bool:
        """The truth value."""
        value = _BOOLEANS.get(text)
        if value is None:
            _refuse(BadRequestError, self.name, text, "true or false", tuple(_BOOLEANS))
        return value

    def describe(self) -> dict[str, Any]:
        """As `GET /api/pipelines` tells it."""
        return {
            "name": self.name,
            "type": "boolean",
            "description": self.description,
            "default": getattr(DEFAULTS, self.name),
        }


SPECIFICATION: tuple[Choice | Number | Flag, ...] = (
    Choice(
        "quality",
        "How finely the image is sampled. preview: 256 samples along the longer side, a tenth of the time; "
        "standard: 800; fine: 1200.",
        ("preview", "standard", "fine"),
    ),
    Number("width_mm", "Width of the relief; its height follows from the image.", 5.0, 500.0, "mm"),
    Number("depth_mm", "From the lowest point of the relief to its highest.", 0.1, 100.0, "mm"),
    Number("base_mm", "Thickness of the solid plate below the lowest point.", 0.2, 50.0, "mm"),
    Number("smoothing", "0 keeps every pixel, 1 only the large forms; edges stay sharp.", 0.0, 1.0),
    Flag("invert", "Dark parts of the image are high, instead of bright ones (a lithophane)."),
    Choice(
        "format",
        "stl: binary STL in millimetres, for slicers. glb: binary glTF in metres, for viewers.",
        ("stl", "glb"),
    ),
)
_READERS: Mapping[str, Callable[[str], Any]] = {parameter.name: parameter.read for parameter in SPECIFICATION}

_values = attrgetter(*_READERS)


def read(query: Mapping[str, tuple[str, ...]]) -> Parameters:
    """The parameters of a request's query members.

    Raises:
        BadRequestError: One is unknown, repeated, or not of its type.
        UnprocessableError: One is out of its bounds.
    """
    given: dict[str, Any] = {}
    for name, values in query.items():
        reader = _READERS.get(name)
        if reader is None:
            raise BadRequestError(
                f"{name[:100]!r} is no parameter of this pipeline; allowed are {', '.join(_READERS)}",
                errors=[{"parameter": name, "detail": "unknown"}],
                allowed=tuple(_READERS),
            )
        if len(values) != 1:
            raise BadRequestError(
                f"the parameter {name} is given {len(values)} times; it may be given once",
                errors=[{"parameter": name, "detail": "given more than once"}],
            )
        given[name] = reader(values[0])
    return Parameters(**given)


def canonical(parameters: Parameters) -> str:
    """One text for all requests that mean the same relief of an image."""
    return ";".join(map(str, _values(parameters)))


def _refuse(
    kind: type[BadRequestError | UnprocessableError], name: str, text: str, allowed: str, words: tuple[str, ...] = ()
) -> NoReturn:
    raise kind(
        f"{name}={text[:100]!r} cannot be used: allowed is {allowed}",
        errors=[{"parameter": name, "detail": f"allowed is {allowed}"}],
        allowed=words,
    )
