"""The TOML file of pipelines: read, and its options checked one by one.

Every error names the file, the pipeline, the option, the value that cannot be used, and what is allowed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from recoup.errors import ConfigurationError
from recoup.pipelines.configured import Terms
from recoup.pipelines.headers import is_header_name, is_header_value

# tomli is tomllib's own source, for the Python before it came into the standard library.
_toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

NAME_RULE = "lower-case letters, digits, '-' and '_', a letter or digit first, at most 64 in all"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Seconds and megabytes go up to here: some thirty years, within what sockets and locks take as a time limit.
_LARGEST_NUMBER = 1e9
_LARGEST_COUNT = 10_000
_DEFAULTS = Terms(name="default")

#: Who may have a stored result generated anew (`Cache-Control: no-cache` and `max-age`).
REFRESHERS = ("anyone", "nobody")

#: Options of every configured pipeline.
COMMON_OPTIONS = (
    "kind",
    "version",
    "description",
    "timeout_seconds",
    "ttl_seconds",
    "max_concurrent",
    "max_waiting",
    "key_headers",
    "ignore_headers",
    "refresh",
)


def is_pipeline_name(name: object) -> bool:
    """Whether a pipeline may be called this: it stands in paths, keys and labels. `NAME_RULE` says it in words."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def read_definitions(path: Path) -> dict[str, dict[str, Any]]:
    """The tables `[pipelines.NAME]` of a file, by name, in the file's order; their options are not checked yet.

    Raises:
        ConfigurationError: The file cannot be read, is not TOML, or has anything but pipelines in it.
    """
    try:
        document = _toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}") from error
    for name in document:
        if name != "pipelines":
            raise ConfigurationError(f"{path}: {name!r} is unknown: allowed is only [pipelines.NAME]")
    tables = document.get("pipelines")
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{path}: no pipeline in it: at least one table [pipelines.NAME] is needed")
    for name, table in tables.items():
        _check_table(path, name, table)
    return tables


def _check_table(path: Path, name: str, table: object) -> None:
    if not is_pipeline_name(name):
        raise ConfigurationError(f"{path}: the pipeline name {name!r} cannot be used: allowed are {NAME_RULE}")
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: pipeline {name!r} = {table!r} cannot be used: allowed is a table of options")


class Options:
    """The options of one pipeline. Each method takes one, checked, or its default where the file leaves it out.

    Args:
        file: Where they stand, for the errors.
        pipeline: The pipeline's name.
        table: The options by name.
    """

    def __init__(self, file: Path, pipeline: str, table: Mapping[str, Any]) -> None:
        self.file = file
        self.pipeline = pipeline
        self._table = table

    def __contains__(self, option: str) -> bool:
        return option in self._table

    def check_known(self, known: Collection[str]) -> None:
        """Refuse every option that is not `known`."""
        for option in self._table:
            if option not in known:
                raise self.fault(option, f"is unknown: allowed are {', '.join(sorted(known))}")

    def fault(self, option: str, problem: str) -> ConfigurationError:
        """The error that says where it stands."""
        return ConfigurationError(f"{self.file}: pipeline {self.pipeline!r}: option {option!r} {problem}")

    def refused(self, option: str, allowed: str) -> ConfigurationError:
        """The error about the value of an option."""
        return self.fault(option, f"= {self._table[option]!r} cannot be used: allowed is {allowed}")

    def text(self, option: str, default: str | None = None, *, allowed: str = "a text that is not empty") -> str:
        """A text that is not empty. Without a default the option is required."""
        if option not in self._table:
            if default is None:
                raise self.fault(option, f"is missing: it is required, {allowed}")
            return default
        value = self._table[option]
        if not isinstance(value, str) or not value.strip():
            raise self.refused(option, allowed)
        return value

    def choice(self, option: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        allowed = "one of " + ", ".join(choices)
        value = self.text(option, default, allowed=allowed)
        if value not in choices:
            raise self.refused(option, allowed)
        return value

    def seconds(self, option: str, default: float, *, zero: bool = False) -> float:
        """A number of seconds, above zero or, with `zero`, from zero on."""
        return self._number(option, default, "seconds", zero=zero)

    def megabytes(self, option: str, default: float, *, zero: bool = False) -> float:
        """A number of megabytes (2^20 bytes), above zero or, with `zero`, from zero on."""
        return self._number(option, default, "megabytes", zero=zero)

    def _number(self, option: str, default: float, unit: str, *, zero: bool) -> float:
        value = self._table.get(option, default)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # The comparison refuses nan, too.
        if not number or not 0 <= value <= _LARGEST_NUMBER or (value == 0 and not zero):
            start = "from 0 on" if zero else "above 0"
            raise self.refused(option, f"a number {start}, in {unit}, up to {_LARGEST_NUMBER:.0e}")
        return float(value)

    def count(self, option: str, default: int, *, minimum: int) -> int:
        """A whole number from `minimum` on."""
        value = self._table.get(option, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not minimum <= value <= _LARGEST_COUNT:
            raise self.refused(option, f"a whole number from {minimum} to {_LARGEST_COUNT}")
        return int(value)

    def variables(self, option: str) -> tuple[str, ...]:
        """Names of environment variables."""
        names = self._table.get(option, [])
        if not isinstance(names, list) or not all(
            isinstance(name, str) and _VARIABLE.fullmatch(name) for name in names
        ):
            raise self.refused(option, "a list of names of environment variables")
        return tuple(names)

    def headers(self, option: str) -> tuple[str, ...]:
        """Names of request headers, in lower case."""
        allowed = "a list of header names, each once, none of the connection's own (such as Host)"
        names = self._table.get(option, [])
        if not isinstance(names, list) or not all(is_header_name(name) for name in names):
            raise self.refused(option, allowed)
        lower = tuple(name.lower() for name in names)
        if len(set(lower)) < len(lower):
            raise self.refused(option, allowed)
        return lower

    def header_table(self, option: str) -> dict[str, str]:
        """Text by header name, names in lower case. Its errors do not show the values, which may be secrets."""
        table = self._table.get(option, {})
        if not isinstance(table, dict):
            raise self.fault(option, "cannot be used: allowed is a table of header names and texts")
        for name, value in table.items():
            if not is_header_name(name) or not is_header_value(value):
                raise self.fault(
                    option, f"cannot be used for {name!r}: allowed are header names with a text of one line"
                )
        return {name.lower(): value for name, value in table.items()}

    def terms(self) -> Terms:
        """The options that every configured pipeline has."""
        key_headers, ignore_headers = self.headers("key_headers"), self.headers("ignore_headers")
        for name in key_headers:
            if name in ignore_headers:
                raise self.refused("ignore_headers", f"no header of key_headers, and {name!r} is one")
        return Terms(
            name=self.pipeline,
            version=self.text("version", _DEFAULTS.version),
            description=self.text("description", ""),
            timeout_seconds=self.seconds("timeout_seconds", _DEFAULTS.timeout_seconds),
            ttl_seconds=self.seconds("ttl_seconds", 0.0, zero=True) if "ttl_seconds" in self else None,
            max_concurrent=self.count("max_concurrent", _DEFAULTS.max_concurrent, minimum=1),
            max_waiting=self.count("max_waiting", _DEFAULTS.max_waiting, minimum=0),
            key_headers=key_headers,
            ignore_headers=ignore_headers,
            refresh=self.choice("refresh", REFRESHERS, _DEFAULTS.refresh),
        )
