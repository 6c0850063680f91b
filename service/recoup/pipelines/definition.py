"""The TOML file of pipelines: read, and its options checked one by one.

Every error names the file, the pipeline, the option, its value, and what is expected. All mistakes of a pipeline are
collected, so that one reading of the file reports them all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from recoup.errors import ConfigurationError, SeveralMistakesError
from recoup.fields import Choice, Kind, Number, Text, UnusableError, Whole, echo, refusal, unknown
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.group_templates import group_templates
from recoup.pipelines.headers import HeaderNames, is_header_name, is_header_value
from recoup.pipelines.paths import OWN_PREFIXES, PATH_RULE, PathPattern, is_own_path, parse_path
from recoup.pipelines.pointer_options import key_shape
from recoup.pipelines.quota_options import QUOTA_OPTIONS, pipeline_quota
from recoup.pipelines.result_rules import result_rules
from recoup.pipelines.stale_options import STALE_OPTIONS, staleness

# tomli is tomllib's own source, for the Python before it came into the standard library.
_toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_HEADER_NAMES = "a list of header names, each once, none of the connection's own (such as Host)"
NAME_RULE = "lower-case letters, digits, '-' and '_', a letter or digit first, at most 64 in all"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Seconds and megabytes go up to here: some thirty years, within what sockets and locks take as a time limit.
_LARGEST_NUMBER = 10**9
_LARGEST_COUNT = 10_000
_DEFAULTS = PipelineOptions(name="default")

#: Who may have a stored result generated anew (`Cache-Control: no-cache` and `max-age`).
REFRESHERS = ("anyone", "nobody")
#: Whether results are compressed in tiers: where that makes them smaller, or never.
COMPRESSIONS = ("auto", "never")

T = TypeVar("T")

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
    "groups",
    *QUOTA_OPTIONS,
    "ignore_json",
    "ignore_query",
    "json_defaults",
    "store_unless",
    "store_only_if",
    "price",
    "compress",
    *STALE_OPTIONS,
)


def _is_pattern(name: str) -> bool:
    return is_header_name(name) and "*" not in name[:-1] and name != "*"


def is_pipeline_name(name: object) -> bool:
    """Whether a pipeline may have this name, which is part of paths, keys and labels. `NAME_RULE` says it in words."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class Definitions(NamedTuple):
    """The content of a file: the tables `[pipelines.NAME]` by name and `[[passthrough]]`, in the file's order."""

    pipelines: dict[str, dict[str, Any]]
    passthrough: list[dict[str, Any]]


def read_definitions(path: Path) -> Definitions:
    """The tables of a file; their options are not checked yet.

    Raises:
        ConfigurationError: The file cannot be read, is not TOML, or has anything but pipelines and passthrough in it.
    """
    try:
        document = _toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}") from error
    for name in document:
        if name not in ("pipelines", "passthrough"):
            raise ConfigurationError(
                f"{path}: unknown table {echo(name)}; expected only [pipelines.NAME] and [[passthrough]]"
            )
    tables = document.get("pipelines")
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{path}: no pipeline in it: expected at least one table [pipelines.NAME]")
    for name, table in tables.items():
        _check_table(path, name, table)
    passthrough = document.get("passthrough", [])
    if not isinstance(passthrough, list) or not all(isinstance(table, dict) for table in passthrough):
        raise ConfigurationError(f"{path}: {refusal('passthrough', echo(passthrough), 'tables [[passthrough]]')}")
    return Definitions(tables, passthrough)


def _check_table(path: Path, name: str, table: object) -> None:
    if not is_pipeline_name(name):
        raise ConfigurationError(f"{path}: the pipeline name {echo(name)}: expected {NAME_RULE}")
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: {refusal(f'pipeline {name!r}', echo(table), 'a table of options')}")


class OptionTable:
    """The options of one pipeline. Each method takes one, checked, or its default where the file leaves it out.

    A mistake is collected, and the option's default stands in for it until `finish` raises what was collected.

    Args:
        file: Where they are, for the errors.
        pipeline: The pipeline's name.
        table: The options by name.
        where: What has the options, for the errors; None: the pipeline.

    Attributes:
        where: See above.
    """

    def __init__(self, file: Path, pipeline: str, table: Mapping[str, Any], where: str | None = None) -> None:
        self.file = file
        self.pipeline = pipeline
        self.where = f"pipeline {pipeline!r}" if where is None else where
        self.mistakes: list[ConfigurationError] = []
        self._table = table
        self._outer = ""

    def __contains__(self, option: str) -> bool:
        return option in self._table

    def check_known(self, known: Collection[str]) -> None:
        """Collect every option that is not `known`."""
        self.mistakes += [self._at(unknown("option", name, tuple(known))) for name in self._table if name not in known]

    def finish(self) -> None:
        """Raise what was collected.

        Raises:
            ConfigurationError: The one mistake; `SeveralMistakesError` where there are more.
        """
        if self.mistakes:
            raise self.mistakes[0] if len(self.mistakes) == 1 else SeveralMistakesError(self.mistakes)

    def fault(self, option: str, problem: str) -> ConfigurationError:
        """The error about an option that says where it is."""
        return self._at(f"{option}: {problem}")

    def refused(self, option: str, expected: str) -> ConfigurationError:
        """The error about the value of an option."""
        return self._at(refusal(option, echo(self._table[option]), expected))

    def wrong(self, place: str, value: object, expected: str) -> ConfigurationError:
        """The error about a value within an option, such as `ignore_json[0]`."""
        return self._at(refusal(place, echo(value), expected))

    def within(self, option: str) -> OptionTable:
        """The members of an option that is a table, as options; its mistakes are these ones'."""
        inner = OptionTable(self.file, self.pipeline, self._table[option], self.where)
        inner.mistakes = self.mistakes
        inner._outer = f"{self._outer}{option}."
        return inner

    def given(self, option: str, default: Any) -> Any:
        """What the file says of an option, unchecked, or its default."""
        return self._table.get(option, default)

    def take(self, option: str, kind: Kind[T], default: T) -> T:
        """The value of an option."""
        if option not in self._table:
            return default
        try:
            return kind.check(self._table[option])
        except UnusableError:
            self.mistakes.append(self.refused(option, kind.expected))
            return default

    def text(self, option: str, default: str = "") -> str:
        """A text that is not empty."""
        return self.take(option, Text(), default)

    def required(self, option: str, expected: str) -> str | None:
        """A text that must be there; None: it is not, which is collected."""
        if option not in self._table:
            self.mistakes.append(self.fault(option, f"missing: expected {expected}"))
            return None
        return self.take(option, Text(expected), "") or None

    def choice(self, option: str, choices: Sequence[str], default: str) -> str:
        """One of some words."""
        return self.take(option, Choice(tuple(choices)), default)

    def seconds(self, option: str, default: float, *, zero: bool = False) -> float:
        """A number of seconds, above zero or, with `zero`, from zero on."""
        return float(self.take(option, Number(0, _LARGEST_NUMBER, "seconds", above=not zero), default))

    def megabytes(self, option: str, default: float, *, zero: bool = False) -> float:
        """A number of megabytes (2^20 bytes), above zero or, with `zero`, from zero on."""
        return float(self.take(option, Number(0, _LARGEST_NUMBER, "megabytes", above=not zero), default))

    def count(self, option: str, default: int, *, minimum: int) -> int:
        """A whole number from `minimum` on."""
        return self.take(option, Whole(minimum, _LARGEST_COUNT), default)

    def variables(self, option: str) -> tuple[str, ...]:
        """Names of environment variables."""
        names = self._table.get(option, [])
        if not isinstance(names, list) or not all(
            isinstance(name, str) and _VARIABLE.fullmatch(name) for name in names
        ):
            self.mistakes.append(self.refused(option, "a list of names of environment variables"))
            return ()
        return tuple(names)

    def headers(self, option: str) -> tuple[str, ...]:
        """Names of request headers, in lower case."""
        names = self._table.get(option, [])
        usable = isinstance(names, list) and all(is_header_name(name) for name in names)
        lower = tuple(name.lower() for name in names) if usable else ()
        if not usable or len(set(lower)) < len(lower):
            self.mistakes.append(self.refused(option, _HEADER_NAMES))
            return ()
        return lower

    def words(self, option: str) -> tuple[str, ...]:
        """Texts of one line, none empty."""
        words = self._table.get(option, [])
        if not isinstance(words, list) or not all(
            isinstance(word, str) and word and word.isprintable() for word in words
        ):
            self.mistakes.append(self.refused(option, "a list of texts of one line, none empty"))
            return ()
        return tuple(words)

    def header_patterns(self, option: str) -> tuple[str, ...]:
        """Names of headers, in lower case; one may end in `*`, for all that begin so."""
        names = self._table.get(option, [])
        usable = isinstance(names, list) and all(isinstance(name, str) and _is_pattern(name) for name in names)
        if not usable:
            self.mistakes.append(
                self.refused(option, 'a list of header names, none of the connection\'s own; one may end in "*"')
            )
            return ()
        lowered = tuple(name.lower() for name in names)
        if b"set-cookie" in HeaderNames(lowered):  # one caller's cookie would be everybody's
            self.mistakes.append(self.refused(option, "a list of header names, none of which stands for Set-Cookie"))
            return ()
        return lowered

    def path(self, option: str) -> PathPattern | None:
        """A path that requests are answered at; None: there is none, or it cannot be used, which is collected."""
        if option not in self._table:
            return None
        text = self.take(option, Text(PATH_RULE), "")
        try:
            pattern = parse_path(text)
        except ValueError:
            if text:
                self.mistakes.append(self.refused(option, PATH_RULE))
            return None
        if not pattern.open and is_own_path(pattern.prefix):
            self.mistakes.append(self.refused(option, "a path that Recoup does not answer itself"))
        elif pattern.open and pattern.prefix.startswith(OWN_PREFIXES):
            self.mistakes.append(self.refused(option, "paths that Recoup does not answer itself"))
        return pattern

    def header_table(self, option: str) -> dict[str, str]:
        """Text by header name, names in lower case. Its errors do not show the values, which may be secrets."""
        table = self._table.get(option, {})
        if not isinstance(table, dict):
            self.mistakes.append(self.fault(option, "expected a table of header names and texts"))
            return {}
        bad = [name for name, value in table.items() if not is_header_name(name) or not is_header_value(value)]
        self.mistakes += [
            self.fault(f"{option}.{echo(name)}", "expected the name of a header with a text of one line")
            for name in bad
        ]
        return {name.lower(): value for name, value in table.items() if name not in bad}

    def _at(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self.file}: {self.where}: {self._outer}{problem}")

    def common(self) -> PipelineOptions:
        """The options that every configured pipeline has."""
        key_headers, ignore_headers = self.headers("key_headers"), self.headers("ignore_headers")
        for name in key_headers:
            if name in ignore_headers:
                self.mistakes.append(self.refused("ignore_headers", f"no header of key_headers, and {name!r} is one"))
        return PipelineOptions(
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
            compress=self.choice("compress", COMPRESSIONS, _DEFAULTS.compress),
            quota=pipeline_quota(self),
            groups=group_templates(self, (*key_headers, *ignore_headers)),
            key_shape=key_shape(self),
            rules=result_rules(self),
            staleness=staleness(self),
        )
