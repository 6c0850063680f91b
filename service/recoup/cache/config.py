"""The configuration of a cache: what is expected, checked before anything changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from recoup.cache.policies import POLICIES
from recoup.errors import ConfigurationError

BYTES_PER_MB = 2**20
#: More than any limit needs; far enough from what a float can hold to be computed with.
_MOST = 1e100


class Default:
    """The type of `DEFAULT`."""

    def __repr__(self) -> str:
        return "DEFAULT"


#: Stands for "as the cache is configured" where None already means "never expires".
DEFAULT: Final = Default()


def _number(name: str, value: object) -> float:
    # Compared, not converted: an integer may be too large for a float. This leaves out infinity and NaN, too.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST <= value <= _MOST:
        raise ConfigurationError(f"{name}={value!r} cannot be used: expected a number")
    return float(value)


def checked_size(value: object) -> int:
    """A limit of entries.

    Raises:
        ConfigurationError: It is not a whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"max_size={value!r} cannot be used: expected a whole number of at least 1")
    return value


def checked_memory(value: object) -> float:
    """A limit of memory in MB (2^20 bytes).

    Raises:
        ConfigurationError: It is not a number above 0.
    """
    number = _number("max_memory_mb", value)
    if number * BYTES_PER_MB < 1:
        raise ConfigurationError(f"max_memory_mb={value!r} cannot be used: expected a number above 0")
    return value if isinstance(value, int) else number


def checked_ttl(value: object) -> float | None:
    """Seconds that an entry lives; None, for None and for 0: it never expires.

    Raises:
        ConfigurationError: It is neither None nor a number of at least 0.
    """
    if value is None:
        return None
    number = _number("ttl_seconds", value)
    if number < 0:
        raise ConfigurationError(
            f"ttl_seconds={value!r} cannot be used: expected a number above 0, or None or 0: never expires"
        )
    return (value if isinstance(value, int) else number) or None


def checked_policy(value: object) -> str:
    """The name of a policy.

    Raises:
        ConfigurationError: There is none of this name.
    """
    if not isinstance(value, str) or value not in POLICIES:
        raise ConfigurationError(f"policy={value!r} cannot be used: expected one of {', '.join(POLICIES)}")
    return value


def checked_pipeline(value: object) -> str:
    """The name of a pipeline: it becomes a label of metrics.

    Raises:
        ConfigurationError: It is no text, or none that can be written.
    """
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"pipeline={value!r} cannot be used: expected a name, as text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"pipeline={value!a} cannot be used: expected text without lone surrogates") from None
    return value


def checked_cost(value: object) -> float:
    """Seconds that a generation took.

    Raises:
        ConfigurationError: It is not a number of at least 0.
    """
    if type(value) is float and 0.0 <= value <= _MOST:
        return value
    number = _number("cost_seconds", value)
    if number < 0:
        raise ConfigurationError(f"cost_seconds={value!r} cannot be used: expected a number of at least 0")
    return number


def checked_enabled(value: object) -> bool:
    """Whether lookups are answered.

    Raises:
        ConfigurationError: It is not a boolean.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"enabled={value!r} cannot be used: expected True or False")
    return value


def checked_share(name: str, value: object, most: float) -> float:
    """A number from 0 to `most`.

    Raises:
        ConfigurationError: It is not.
    """
    number = _number(name, value)
    if not 0 <= number <= most:
        raise ConfigurationError(f"{name}={value!r} cannot be used: expected a number from 0 to {most:g}")
    return number


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
            max_size=checked_size(values["max_size"]),
            max_memory_mb=checked_memory(values["max_memory_mb"]),
            ttl_seconds=checked_ttl(values["ttl_seconds"]),
            enabled=checked_enabled(values["enabled"]),
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
