"""The configuration of a cache, checked before anything changes; what is expected is declared in `recoup.fields`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from recoup import fields
from recoup.cache.policies.quotas import Quota
from recoup.errors import ConfigurationError

BYTES_PER_MB = 2**20
_PIPELINE = fields.Text("a name, as text that is not empty")
_COST = fields.Number(0, 1e100, "seconds")
_PRICE = fields.Number(0, 1e100, "of the pipeline's currency")
_CURRENCY = fields.Text("a currency, as text that is not empty: USD")

#: Groups that one result may be in (RFC 9875 wants at least 32), and the characters of a name.
MOST_GROUPS: Final = 32
LONGEST_GROUP: Final = 256
NO_GROUPS: Final[tuple[str, ...]] = ()
_GROUP = f"text of 1 to {LONGEST_GROUP} characters"

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


def is_group(name: object) -> bool:
    """Whether a group may have this name."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_GROUP:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_groups(value: Collection[str], most: int | None = MOST_GROUPS) -> tuple[str, ...]:
    """Names of groups, each once, in their order.

    Raises:
        ConfigurationError: They are no collection, there are more than `most`, or one is no name of a group.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise ConfigurationError(fields.refusal("groups", fields.echo(value), "a list of names"))
    for name in value:
        if not is_group(name):
            shown = ascii(name[: fields.ECHO_LENGTH]) if isinstance(name, str) else fields.echo(name)
            raise ConfigurationError(fields.refusal("groups", shown, _GROUP))
    names = tuple(dict.fromkeys(value))
    if most is not None and len(names) > most:
        raise ConfigurationError(f"groups: {len(names)} of them; expected at most {most}")
    return names


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


def checked_quota(max_entries: object, max_memory_mb: object, reserve_memory_mb: object) -> Quota:
    """A pipeline's quota.

    Raises:
        ConfigurationError: A limit is out of its bounds, or the reserve is over the pipeline's own limit.
    """
    entries = None if max_entries is None else checked("max_entries", fields.MAX_SIZE, max_entries)
    memory = None if max_memory_mb is None else checked("max_memory_mb", fields.MAX_MEMORY_MB, max_memory_mb)
    reserve = checked("reserve_memory_mb", fields.RESERVE_MEMORY_MB, reserve_memory_mb)
    if memory is not None and reserve > memory:
        shown = f"{reserve:g}"
        raise ConfigurationError(fields.refusal("reserve_memory_mb", shown, f"at most max_memory_mb, {memory:g}"))
    return Quota(entries, None if memory is None else int(memory * BYTES_PER_MB), int(reserve * BYTES_PER_MB))


def check_reserves(reserved_bytes: int, max_memory_bytes: int) -> None:
    """Refuse reserves that leave nothing to share.

    Raises:
        ConfigurationError: They are.
    """
    if reserved_bytes and reserved_bytes >= max_memory_bytes:
        raise ConfigurationError(
            f"the pipelines reserve {reserved_bytes / BYTES_PER_MB:g} MB (reserve_memory_mb): expected less than "
            f"max_memory_mb, {max_memory_bytes / BYTES_PER_MB:g}"
        )


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """A configuration that was checked."""

    max_size: int
    max_memory_mb: float
    ttl_seconds: float | None
    enabled: bool
    policy: str = "lru"

    @classmethod
    def checked(cls, **values: Any) -> CacheConfig:
        """All five, or a `ConfigurationError`."""
        return cls(
            max_size=checked("max_size", fields.MAX_SIZE, values["max_size"]),
            max_memory_mb=checked("max_memory_mb", fields.MAX_MEMORY_MB, values["max_memory_mb"]),
            ttl_seconds=checked_ttl(values["ttl_seconds"]),
            enabled=checked("enabled", fields.ENABLED, values["enabled"]),
            policy=checked("policy", fields.POLICY, values["policy"]),
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
            "policy": self.policy,
        }
