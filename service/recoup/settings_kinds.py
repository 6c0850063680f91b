"""The kinds of settings: how the text of an environment variable becomes a value, and what is allowed, as a phrase."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TOKEN = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*")
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


_SERVICE_LINK = (
    "a value that begins with tcp:// comes from Kubernetes, for a service named recoup:"
    " set enableServiceLinks: false in the pod's specification, or set the variable"
)


class UnusableError(ValueError):
    """A text that has no value, and what to do about it."""


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of setting.

    Attributes:
        parse: Gives the value of a text; raises ValueError where it has none.
        allowed: What is allowed, as a phrase.
    """

    parse: Callable[[str], T]
    allowed: str


def integer(least: int, most: int) -> Kind[int]:
    """Whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        return _within(_match(_INTEGER, text, int), least, most)

    return Kind(parse, f"a whole number from {least} to {most}")


def number(least: float, most: float, *, unit: str, above: bool = False) -> Kind[float]:
    """Numbers from `least` (`above`: but not `least` itself) to `most`, as people write them: no `inf`, no `nan`."""

    def parse(text: str) -> float:
        value = _within(_match(_NUMBER, text, float), least, most)
        if above and value == least:
            raise ValueError(text)
        return value

    start = f"above {least:.10g} and up to" if above else f"from {least:.10g} to"
    return Kind(parse, f"a number {start} {most:.10g} ({unit})")


def choice(*words: str) -> Kind[str]:
    """One of some words, in any case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(text)
        return word

    return Kind(parse, "one of " + ", ".join(f"`{word}`" for word in words))


def _match(pattern: re.Pattern[str], text: str, convert: Callable[[str], T]) -> T:
    # `int` and `float` take more than people mean: underscores, other scripts' digits, "nan".
    if pattern.fullmatch(text.strip()) is None:
        raise ValueError(text)
    return convert(text.strip())


def _within(value: T, least: float, most: float) -> T:
    if not least <= value <= most:  # type: ignore[operator]  # T is int or float
        raise ValueError(value)
    return value


def _flag(text: str) -> bool:
    value = _FLAGS.get(text.strip().lower())
    if value is None:
        raise ValueError(text)
    return value


def _token(text: str) -> str:
    # A header can carry nothing else, so no caller could ever present another token.
    if _TOKEN.fullmatch(text) is None:
        raise ValueError
    return text


def _file(text: str) -> Path:
    path = Path(text.strip())
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(text)
    return path


def _host(text: str) -> str:
    host = text.strip()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        # What looks like an IPv4 address and is none would be looked up as a name, in vain.
        if _HOST_NAME.fullmatch(host) is None or host.rsplit(".", 1)[-1].isdigit():
            raise
    return host


def _port(text: str) -> int:
    if text.startswith("tcp://"):
        raise UnusableError(_SERVICE_LINK)
    return integer(1, 65535).parse(text)


def available_cores(cpu_limit: Path = _CPU_LIMIT) -> int:
    """The cores that this process may use: its CPU affinity, and the limit of its control group (version 2)."""
    affinity = getattr(os, "sched_getaffinity", None)  # only Linux has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = cpu_limit.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def _cores(text: str) -> int:
    return available_cores() if text.strip().lower() == "auto" else integer(1, 256).parse(text)


FLAG = Kind(_flag, "`1` or `0` (also `true`, `false`, `yes`, `no`, `on`, `off`)")
TOKEN = Kind(_token, "visible ASCII characters, without spaces or line ends")
FILE = Kind(_file, "the path of a file that can be read")
HOST = Kind(_host, "an IP address or a host name, without scheme and port")
PORT = Kind(_port, "a whole number from 1 to 65535")
CORES = Kind(_cores, "a whole number from 1 to 256, or `auto`")
