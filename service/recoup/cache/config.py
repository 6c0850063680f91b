"""The configuration of a cache, checked before anything changes; what is expected is declared in `recoup.fields`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from recoup import fields
from recoup.cache.policies import POLICIES
from recoup.errors import ConfigurationError

BYTES_PER_MB = 2**20
_POLICY = fields.Choice(tuple(POLICIES))
_PIPELINE = fields.Text("a name, as text that is not empty")
_COST = fields.Number(0, 1e100, "seconds")
_PRICE = fields.Number(0, 1e100, "of the pipeline's currency")
_CURRENCY = fields.Text("a currency, as text that is not empty: USD")

T = TypeVar("T")


class Default:
    """The type of `DEFAULT`."""

    def __repr__(self) -> str:
        return "DEFAULT"


#: Stands for "as the cache is configured" where None already means "never expires".
DEFAULT: Final = Default()


def checked(name: str, kind: fields.Kind[T], value: object) -> T:
    """The value of an argument.

    Raises:
        ConfigurationError: It is not of its kind; says what is expected.
    """
    try:
        return kind.check(value)
    except fields.UnusableError:
        raise ConfigurationError(fields.refusal(name, fields.echo(value), kind.expected)) from None


def checked_ttl(value: object) -> float | None:
    """Seconds that an entry lives; None, for None and for 0: it never expires.

    Raises:
        ConfigurationError: It is neither None nor a number within its bounds.
    """
    return None if value is None else checked("ttl_seconds", fields.TTL_SECONDS, value) or None


def checked_policy(value: object) -> str:
    """The name of a policy.

    Raises:
        ConfigurationError: There is none of this name.
    """
    return checked("policy", _POLICY, value)


def checked_pipeline(value: object) -> str:
    """The name of a pipeline: it becomes a label of metrics.

    Raises:
        ConfigurationError: It is no text, or none that can be written.
    """
    name = checked("pipeline", _PIPELINE, value)
    try:
        name.encode()
    except UnicodeEncodeError:
        expected = "text without lone surrogates"
        raise ConfigurationError(fields.refusal("pipeline", ascii(name[: fields.ECHO_LENGTH]), expected)) from None
    return name


def checked_cost(value: object) -> float:
    """Seconds that a generation took.

    Raises:
        ConfigurationError: It is not a number of at least 0.
    """
    # Nearly every write comes with a plain float within the bounds.
    if type(value) is float and 0.0 <= value <= _COST.most:
        return value
    return float(checked("cost_seconds", _COST, value))


def checked_price(value: object) -> float:
    """What a generation cost in money.

    Raises:
        ConfigurationError: It is not a number of at least 0.
    """
    if type(value) is float and 0.0 <= value <= _PRICE.most:
        return value
    return float(checked("price", _PRICE, value))


def checked_currency(value: object) -> str | None:
    """A currency, which becomes a label of metrics; None: there is none.

    Raises:
        ConfigurationError: It is no text, or an empty one.
    """
    return None if value is None else checked("currency", _CURRENCY, value)


def checked_jitter(value: object) -> float:
    """The share of its TTL by which an entry may expire earlier.

    Raises:
        ConfigurationError: It is not within its bounds.
    """
    return checked("ttl_jitter", fields.TTL_JITTER, value)


def checked_stale(value: object) -> float:
    """Seconds past its expiry that an entry may still answer.

    Raises:
        ConfigurationError: They are not within their bounds.
    """
    return checked("stale_seconds", fields.STALE_SECONDS, value)


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """A configuration that was checked."""

    max_size: int
    max_memory_mb: float
    ttl_seconds: float | None
    enabled: bool

    @classmethod
    def checked(cls, **values: Any) -> CacheConfig:
        """All four, or a `ConfigurationError`."""
        return cls(
            max_size=checked("max_size", fields.MAX_SIZE, values["max_size"]),
            max_memory_mb=checked("max_memory_mb", fields.MAX_MEMORY_MB, values["max_memory_mb"]),
            ttl_seconds=checked_ttl(values["ttl_seconds"]),
            enabled=checked("enabled", fields.ENABLED, values["enabled"]),
        )

    @property
    def max_memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return int(self.max_memory_mb * BYTES_PER_MB)

    def as_dict(self) -> dict[str, Any]:
        """The configuration, as `ResultCache.config` gives it."""
        return {
            "max_size": self.max_size,
            "max_memory_mb": self.max_memory_mb,
            "ttl_seconds": self.ttl_seconds,
            "enabled": self.enabled,
        }
