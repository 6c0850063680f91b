"""What a value may be, declared once for all the places that it can come from.

A kind says what is expected, takes the text of an environment variable or a query member (`parse`) and the value of a
JSON member, a TOML option or a Python argument (`check`), and describes itself as JSON Schema. Every refusal reads
alike: `RECOUP_PORT='x': expected a whole number from 1 to 65535`. Standard library only: the core uses it, too.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

#: Characters of somebody's own value that a message repeats.
ECHO_LENGTH = 80

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class UnusableError(ValueError):
    """A value that is not of its kind; the text, if there is one, says what to do about it."""


class Kind(ABC, Generic[T]):
    """A kind of value.

    Attributes:
        expected: What a value must be, as a phrase that follows "expected".
    """

    expected: str

    @property
    def expected_text(self) -> str:
        """What a text must be, where that is another phrase."""
        return self.expected

    @abstractmethod
    def parse(self, text: str) -> T:
        """The value of a text.

        Raises:
            UnusableError: It has none.
        """

    @abstractmethod
    def check(self, value: object) -> T:
        """The value itself.

        Raises:
            UnusableError: It is not of this kind.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The kind as JSON Schema."""


@dataclass(frozen=True)
class Whole(Kind[int]):
    """Whole numbers from `least` to `most`. A boolean is none."""

    least: int
    most: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "expected", f"a whole number from {self.least} to {self.most}")

    def parse(self, text: str) -> int:
        # `int` takes more than people mean: underscores, digits of other scripts.
        if _WHOLE.fullmatch(text) is None:
            raise UnusableError
        return self.check(int(text))

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Number(Kind[float]):
    """Numbers from `least` (`above`: but not `least` itself) to `most`; never infinite, never NaN, no boolean.

    `unit` is in the message. An integer stays one.
    """

    least: float
    most: float
    unit: str
    above: bool = False

    def __post_init__(self) -> None:
        start = f"above {self.least:.10g} and up to" if self.above else f"from {self.least:.10g} to"
        object.__setattr__(self, "expected", f"a number {start} {self.most:.10g} ({self.unit})")

    def parse(self, text: str) -> float:
        # `float` takes more than people mean: underscores, digits of other scripts, "nan".
        if _NUMBER.fullmatch(text) is None:
            raise UnusableError
        return self.check(float(text))

    def check(self, value: object) -> float:
        # Compared, not converted: an integer may be too large for a float. The comparison refuses NaN, too.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.least <= value <= self.most:
            raise UnusableError
        if self.above and value == self.least:
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Choice(Kind[str]):
    """One of some words; in a text of the environment in any case."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "expected", f"one of {', '.join(self.words)}")

    def parse(self, text: str) -> str:
        return self.check(text.lower())

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True)
class Flag(Kind[bool]):
    """True or false."""

    expected = "true or false"

    @property
    def expected_text(self) -> str:
        return "1 or 0 (also true, false, yes, no, on, off)"

    def parse(self, text: str) -> bool:
        return self.check(_FLAGS.get(text.lower()))

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Text(Kind[str]):
    """A text; an empty one only where `empty` is said. `expected` says more where a text has rules of its own."""

    expected: str = "a text that is not empty"
    empty: bool = False

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not (self.empty or value.strip()):
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} if self.empty else {"type": "string", "pattern": r"\S"}


@dataclass(frozen=True)
class Texts(Kind[list[str]]):
    """A list of one to `most` texts of one to `longest` characters."""

    most: int
    longest: int

    def __post_init__(self) -> None:
        expected = f"a list of 1 to {self.most} texts of 1 to {self.longest} characters"
        object.__setattr__(self, "expected", expected)

    def parse(self, text: str) -> list[str]:
        return self.check([text])

    def check(self, value: object) -> list[str]:
        if not isinstance(value, list) or not 0 < len(value) <= self.most:
            raise UnusableError
        if not all(isinstance(item, str) and 0 < len(item) <= self.longest for item in value):
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": 1, "maxLength": self.longest}
        return {"type": "array", "items": item, "minItems": 1, "maxItems": self.most}


#: The cache's own: its arguments, the environment and the management API have these bounds.
MAX_SIZE: Final = Whole(1, 10**9)
MAX_MEMORY_MB: Final = Number(1e-6, 10**7, "megabytes")
RESERVE_MEMORY_MB: Final = Number(0, 10**7, "megabytes")
TTL_SECONDS: Final = Number(0, 10**9, "seconds; 0: never expires")
ENABLED: Final = Flag()
#: Those of `recoup.cache.policies`.
POLICY: Final = Choice(("lru", "s3fifo", "tinylfu", "gdsf"))
TTL_JITTER: Final = Number(0, 0.5, "share")
STALE_SECONDS: Final = Number(0, 10**9, "seconds")
#: Of tiers: how much one may hold, and how much may wait to be written.
TIER_MB: Final = Number(0, 10**9, "megabytes", above=True)
SHARED_TIMEOUT_SECONDS: Final = Number(0, 60, "seconds", above=True)
QUEUE_MB: Final = Number(0, 10**6, "megabytes", above=True)


def echo(value: object) -> str:
    """Somebody's own value as a message repeats it: quoted, and cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 4 * ECHO_LENGTH:
        return "an integer of very many digits"  # writing them takes time, and Python refuses to past 4300
    # Cut before it is quoted: quoting a megabyte to show its beginning would take as long as reading it.
    text = repr(value[: ECHO_LENGTH + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= ECHO_LENGTH else text[: ECHO_LENGTH - 1] + "…"


def refusal(name: str, shown: str, expected: str) -> str:
    """Says that a value is not of its kind. `shown` is the value as a message may repeat it: see `echo`."""
    return f"{name}={shown}: expected {expected}"


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """Says that there is no `what` of a name, and which one was meant, or which there are."""
    near = closest(name, known)
    meant = f"did you mean {near}?" if near else f"expected one of {', '.join(sorted(known))}"
    return f"unknown {what} {name if len(name) <= ECHO_LENGTH else echo(name)}; {meant}"


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is nearest to one; None: none is near. `cutoff` is from 0 (anything) to 1 (the same)."""
    # The search is quadratic in the name's length, and no name is that long.
    return next(iter(difflib.get_close_matches(name[:ECHO_LENGTH], known, n=1, cutoff=cutoff)), None)
