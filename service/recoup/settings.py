"""The environment, read once into frozen, typed settings.

Each setting is declared once, as a field of `Settings`: its variable, its kind (how text becomes a value, and what is
expected), its default as one would write it in the environment, and its help. `SETTINGS` lists the declarations.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from recoup import fields as kinds
from recoup import settings_kinds as special
from recoup.errors import ConfigurationError, SettingError, UnknownSettingError
from recoup.fields import Kind, UnusableError, closest, echo

T = TypeVar("T")
Part = Literal["cache", "service"]

_log = logging.getLogger(__name__)

#: Variables with this prefix are the operator's own; Recoup never reads them.
FREE_PREFIX = "RECOUP_X_"
#: What Kubernetes injects for services whose names begin with `recoup`: not settings, so not mistyped ones.
_SERVICE_LINK = re.compile(r"RECOUP_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")
_HIDDEN = "(not shown)"


@dataclass(frozen=True)
class Setting(Generic[T]):
    """The declaration of one setting.

    Attributes:
        name: The environment variable.
        kind: How its text becomes a value, and what is expected.
        default: The text that stands for it where it is not set; None: nothing does.
        help: What it does.
        part: `cache` where `get_cache` needs it, too; `service` where only the service does.
        secret: Whether its value is kept out of messages and of `repr`.
    """

    name: str
    kind: Kind[T]
    default: str | None
    help: str
    part: Part
    secret: bool = False

    def parse(self, text: str) -> T:
        """The value of a text.

        Raises:
            SettingError: It cannot be used.
        """
        try:
            # A token is taken as it is: space around it is a mistake that a header would hide.
            return self.kind.parse(text if self.secret else text.strip())
        except UnusableError as error:
            hint = f" ({error})" if str(error) else ""
            shown = _HIDDEN if self.secret else echo(text)
            raise SettingError(self.name, shown, self.kind.expected_text + hint) from (None if self.secret else error)

    def default_value(self) -> T | None:
        """The value where the variable is not set."""
        return None if self.default is None else self.kind.parse(self.default)


def _setting(name: str, kind: Kind[T], default: str | None, text: str, *, part: Part, secret: bool = False) -> Any:
    setting = Setting(name, kind, default, text, part, secret)
    return field(default_factory=setting.default_value, repr=not secret, metadata={"setting": setting})


def _cache(name: str, kind: Kind[T], default: str | None, text: str) -> Any:
    return _setting(name, kind, default, text, part="cache")


def _service(name: str, kind: Kind[T], default: str | None, text: str, *, secret: bool = False) -> Any:
    return _setting(name, kind, default, text, part="service", secret=secret)


@dataclass(frozen=True)
class Settings:
    """The settings of one process. `Settings()` has the defaults; `from_environment` reads the environment."""

    disable_result_cache: bool = _cache(
        "DISABLE_RESULT_CACHE",
        kinds.Flag(),
        "0",
        "`1`: every request goes to its generator; lookups count as `bypass`.",
    )
    cache_max_size: int = _cache("CACHE_MAX_SIZE", kinds.MAX_SIZE, "1000", "Limit of entries.")
    cache_max_memory_mb: float = _cache(
        "CACHE_MAX_MEMORY_MB",
        kinds.MAX_MEMORY_MB,
        "512",
        "Limit of memory in megabytes (2^20 bytes): values, keys and bookkeeping.",
    )
    cache_ttl_seconds: float = _cache(
        "CACHE_TTL_SECONDS",
        kinds.TTL_SECONDS,
        "86400",
        "Seconds that an entry lives; `0`: entries never expire.",
    )
    ttl_jitter: float = _cache(
        "RECOUP_TTL_JITTER",
        kinds.TTL_JITTER,
        "0",
        "Share of its TTL by which an entry may expire earlier, so that a batch does not expire at one instant.",
    )
    stale_seconds: float = _cache(
        "RECOUP_STALE_SECONDS",
        kinds.STALE_SECONDS,
        "0",
        "Seconds past its expiry that an entry may still answer while it is generated anew; `0`: none.",
    )
    policy: str = _cache(
        "RECOUP_POLICY",
        kinds.POLICY,
        "lru",
        "Which entry goes first where room is needed: `lru`: used longest ago; `s3fifo`, `tinylfu`: also seldom asked "
        "for; `gdsf`: also cheap and large.",
    )
    admin_token: str | None = _service(
        "RECOUP_ADMIN_TOKEN",
        special.TOKEN,
        None,
        "Bearer token for the management API. Without one, management is open to loopback callers only.",
        secret=True,
    )
    pipelines: Path | None = _service(  # noqa: RUF009  # it gives a field, as the others do
        "RECOUP_PIPELINES", special.FILE, None, "A TOML file of pipelines; without one, the built-in pipelines."
    )
    upstream: str | None = _service(
        "RECOUP_UPSTREAM",
        special.BASE_URL,
        None,
        "A base URL: one pipeline `upstream` before all that is there, without any file.",
    )
    host: str = _service("RECOUP_HOST", special.HOST, "127.0.0.1", "Address to listen on; `0.0.0.0`: all of IPv4.")
    port: int = _service("RECOUP_PORT", special.PORT, "8080", "Port to listen on.")
    workers: int = _service(
        "RECOUP_WORKERS",
        special.CORES,
        "auto",
        "Worker processes of the relief pipeline; `auto`: one for each core that the process may use.",
    )
    threads: int = _service(
        "RECOUP_THREADS",
        kinds.Whole(1, 256),
        "8",
        "Threads that answer management calls, pages and metrics. Generation and hits take none of them.",
    )
    wait_seconds: float = _service(
        "RECOUP_WAIT_SECONDS",
        kinds.Number(0, 86400, "seconds", above=True),
        "300",
        "Seconds that a request waits for a generation which another request leads, before it is answered 504.",
    )
    grace_seconds: float = _service(
        "RECOUP_GRACE_SECONDS",
        kinds.Number(0, 3600, "seconds"),
        "25",
        "Seconds that running generations may take to finish after SIGTERM.",
    )
    max_body_mb: float = _service(
        "RECOUP_MAX_BODY_MB",
        kinds.Number(0, 2048, "megabytes", above=True),
        "32",
        "Limit of a request's body in megabytes (2^20 bytes); above it the answer is 413.",
    )
    body_timeout_seconds: float = _service(
        "RECOUP_BODY_TIMEOUT_SECONDS",
        kinds.Number(0, 86400, "seconds", above=True),
        "60",
        "Seconds that a request's body may take to arrive; past them the answer is 408.",
    )
    in_flight_mb: float = _service(
        "RECOUP_IN_FLIGHT_MB",
        kinds.Number(1, 10**7, "megabytes"),
        "1024",
        "Limit in megabytes (2^20 bytes) of all that is on its way at one time: bodies, results, upstreams' answers.",
    )
    disk_path: Path | None = _service(  # noqa: RUF009
        "RECOUP_DISK_PATH",
        special.FOLDER,
        None,
        "A folder for results that outlive the process: the disk tier. Without one, there is none.",
    )
    disk_mb: float = _service(
        "RECOUP_DISK_MB",
        kinds.TIER_MB,
        "10240",
        "Limit of the disk tier in megabytes (2^20 bytes).",
    )
    shared_url: str | None = _service(
        "RECOUP_SHARED_URL",
        special.SHARED_URL,
        None,
        "A Redis or Valkey for results that all instances have in common: the shared tier. Without one, there is none.",
        secret=True,
    )
    shared_prefix: str = _service(
        "RECOUP_SHARED_PREFIX",
        special.PREFIX,
        "recoup",
        "Begins every key there. Instances with the same server and prefix are one cache.",
    )
    shared_timeout_seconds: float = _service(
        "RECOUP_SHARED_TIMEOUT_SECONDS",
        kinds.SHARED_TIMEOUT_SECONDS,
        "1",
        "Seconds that one operation of the shared tier may take.",
    )
    tier_queue_mb: float = _service(
        "RECOUP_TIER_QUEUE_MB",
        kinds.QUEUE_MB,
        "64",
        "Limit in megabytes (2^20 bytes) of what waits to be written to a tier; what does not fit is not written.",
    )
    log_format: str = _service(
        "RECOUP_LOG_FORMAT",
        kinds.Choice(("auto", "json", "console")),
        "auto",
        "`auto`: console on a terminal, else JSON.",
    )
    log_level: str = _service(
        "RECOUP_LOG_LEVEL",
        kinds.Choice(("debug", "info", "warning", "error")),
        "info",
        "The least level that is logged.",
    )
    log_hits_per_second: float = _service(
        "RECOUP_LOG_HITS_PER_SECOND",
        kinds.Number(0, 10**6, "lines a second"),
        "10",
        "Most log lines a second for hits; `0`: none. Misses and errors are always logged.",
    )
    telemetry: bool = _service(
        "RECOUP_TELEMETRY", kinds.Flag(), "1", "`0`: no request durations, no request log lines, and no `/metrics`."
    )

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, *, parts: Iterable[Part] = ("cache", "service")
    ) -> Settings:
        """Read the environment. An empty variable counts as one that is not set.

        Args:
            environ: The environment, by variable.
            parts: Which settings to read; the others keep their defaults. Whoever needs a cache alone is not stopped
                by what concerns the service.

        Raises:
            SettingError: A variable cannot be used, or begins with `RECOUP_` and is none of these.
        """
        wanted = frozenset(parts)
        for mistake in _mistakes(environ, wanted):
            raise mistake
        _warn_of_near_misses(environ)
        return cls(**{name: setting.parse(text) for name, setting, text in _given(environ, wanted)})

    @classmethod
    def mistakes(cls, environ: Mapping[str, str] = os.environ) -> list[ConfigurationError]:
        """Every variable that stops `from_environment`, each with its own error; none: it reads them all."""
        return list(_mistakes(environ, frozenset({"cache", "service"})))

    def cache_options(self) -> dict[str, Any]:
        """The keyword arguments of `ResultCache` that these settings stand for."""
        return {
            "max_size": self.cache_max_size,
            "max_memory_mb": self.cache_max_memory_mb,
            "ttl_seconds": self.cache_ttl_seconds or None,
            "enabled": not self.disable_result_cache,
            "ttl_jitter": self.ttl_jitter,
            "stale_seconds": self.stale_seconds,
            "policy": self.policy,
        }


#: Every setting in the order of its declaration.
SETTINGS: tuple[Setting[Any], ...] = tuple(member.metadata["setting"] for member in fields(Settings))
_NAMES = tuple(setting.name for setting in SETTINGS)


def _given(environ: Mapping[str, str], parts: frozenset[Part]) -> Iterable[tuple[str, Setting[Any], str]]:
    for member in fields(Settings):
        setting: Setting[Any] = member.metadata["setting"]
        text = environ.get(setting.name, "")
        if text and setting.part in parts:
            yield member.name, setting, text


def _mistakes(environ: Mapping[str, str], parts: frozenset[Part]) -> Iterator[ConfigurationError]:
    for name in sorted(environ) if "service" in parts else ():
        if name.startswith("RECOUP_") and name not in _NAMES and not _is_foreign(name, environ[name]):
            yield UnknownSettingError(name, _NAMES)
    for _, setting, text in _given(environ, parts):
        try:
            setting.parse(text)
        except SettingError as error:  # noqa: PERF203  # the next one is to be read, too
            yield error


def _is_foreign(name: str, text: str) -> bool:
    link = _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_URL.match(text))
    return name.startswith(FREE_PREFIX) or bool(link)


def _warn_of_near_misses(environ: Mapping[str, str]) -> None:
    """`CACHE_` and `DISABLE_` belong to others, too: what nearly is a setting of ours is a warning, not an error."""
    for name in sorted(environ):
        near = closest(name, _NAMES, cutoff=0.85) if name.startswith(("CACHE_", "DISABLE_RESULT")) else None
        if near is not None and name not in _NAMES:
            _log.warning("setting_not_read: unknown variable %s; did you mean %s?", name, near)


def _default_shown(setting: Setting[Any]) -> str:
    return "none" if setting.default is None else f"`{setting.default}`"


def reference_table() -> str:
    """Every setting as a table in Markdown."""
    rows = [f"| `{it.name}` | {_default_shown(it)} | {it.kind.expected_text} | {it.help} |" for it in SETTINGS]
    return "\n".join(["| variable | default | expected | meaning |", "|---|---|---|---|", *rows])
