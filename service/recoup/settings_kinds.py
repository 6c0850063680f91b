"""The kinds of values that only the environment has: a token, a file, a host, a port, a number of cores."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from recoup.fields import Kind, UnusableError, Whole

T = TypeVar("T")

_TOKEN = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*")
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")

_SERVICE_LINK = (
    "a value that begins with tcp:// comes from Kubernetes, for a service named recoup:"
    " set enableServiceLinks: false in the pod's specification, or set the variable"
)


@dataclass(frozen=True)
class Special(Kind[T]):
    """A kind that is nothing but a text with a rule of its own."""

    read: Callable[[str], T]
    expected: str

    def parse(self, text: str) -> T:
        return self.read(text)

    def check(self, value: object) -> T:
        if not isinstance(value, str):
            raise UnusableError
        return self.read(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


def _token(text: str) -> str:
    # A header can carry nothing else, so no caller could ever present another token.
    if _TOKEN.fullmatch(text) is None:
        raise UnusableError
    return text


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise UnusableError
    return path


def _shared_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        where = parts.path if parts.scheme == "unix" else parts.hostname
        _ = parts.port
    except ValueError:
        raise UnusableError from None
    if parts.scheme not in ("redis", "rediss", "valkey", "valkeys", "unix") or not where:
        raise UnusableError
    return text


def _prefix(text: str) -> str:
    if _PREFIX.fullmatch(text) is None:
        raise UnusableError
    return text


def _folder(text: str) -> Path:
    path = Path(text)
    if "\0" in text or (path.exists() and not path.is_dir()):
        raise UnusableError
    return path


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # What looks like an IPv4 address and is none would be looked up as a name, in vain.
        if _HOST_NAME.fullmatch(text) is None or text.rsplit(".", 1)[-1].isdigit():
            raise UnusableError from None
    return text


def _port(text: str) -> int:
    if text.startswith("tcp://"):
        raise UnusableError(_SERVICE_LINK)
    return _PORTS.parse(text)


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
    return available_cores() if text.lower() == "auto" else _CORES.parse(text)


def _base_url(text: str) -> str:
    if _BASE_URL.fullmatch(text) is None:
        raise UnusableError
    return text


_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_BASE_URL = re.compile(r"https?://[^\s/?#@][^\s?#]*")
_PORTS = Whole(1, 65535)
_CORES = Whole(1, 256)

TOKEN = Special(_token, "visible ASCII characters, without spaces or line ends")
FILE = Special(_file, "the path of a file that can be read")
SHARED_URL = Special(
    _shared_url, "a URL with a host that begins with redis://, rediss://, valkey:// or valkeys://, or unix:///path"
)
PREFIX = Special(_prefix, "1 to 64 of letters, digits, '.', '_', ':' and '-'")
FOLDER = Special(_folder, "the path of a folder, which is made where there is none")
HOST = Special(_host, "an IP address or a host name, without scheme and port")
PORT = Special(_port, _PORTS.expected)
BASE_URL = Special(_base_url, "an http:// or https:// URL with a host, without user, password, query or fragment")
CORES = Special(_cores, f"{_CORES.expected}, or auto")
