"""What a run of the load test is made to: the workload's settings, and what is refused."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recoup.fields import Kind, Number, UnusableError, Whole, echo, refusal, unknown

#: Every scenario, in the order in which a run plays them.
NAMES = (
    "single",
    "duplicate",
    "pair",
    "triple",
    "typical",
    "typical-remote",
    "stampede",
    "churn",
    "saturation",
    "management",
    "soak",
    "kill-worker",
    "prometheus-restart",
    "terminate",
    "garbage",
    "shrink",
    "audit",
    "chat",
)
#: What a run plays that names none: all but the one that takes as long as one says.
DEFAULT_NAMES = tuple(name for name in NAMES if name != "soak")


#: Che's approximation gives a hit ratio of 0.7050 for 100 entries and a catalogue of 250, and so a mean speed-up of at
#: most 3.39. The larger the catalogue, the steeper the popularity has to be, and the more the service's own speed-up
#: hangs on what the generations of a few results happened to take: of 500 items, on those of 12; of 250, of 22.
DEFAULT_ALPHA = 0.854
#: With it, an exact LRU's hit ratio is near theory however long the steady state is: 71.15, 70.50, 70.23, 70.50 and
#: 70.87 % over its first 2,000, 3,000, 4,000, 5,000 and 8,000 requests. One standard deviation of 3,000 is 0.83 points.
DEFAULT_SEED = 16
#: The service has room for 448 requests that wait (512 threads less those that are kept for hits).
MOST_CALLERS = 400


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


#: What each number of the settings may be.
KINDS: Mapping[str, Kind[Any]] = {
    "seed": Whole(-(10**18), 10**18),
    "users": Whole(1, 10_000),
    "cache_entries": Whole(1, 10**6),
    "catalogue": Whole(2, 10**6),
    "alpha": Number(0, 100, "Zipf's exponent", above=True),
    "duration_seconds": Number(0, 10**7, "seconds", above=True),
    "callers": Whole(1, MOST_CALLERS),
    "scaled_generation_seconds": Number(0, 10**7, "seconds", above=True),
    "scrape_seconds": Number(0, 3600, "seconds", above=True),
}


@dataclass(frozen=True)
class Settings:
    """The settings of a workload. The same settings make the same requests.

    Attributes:
        seed: Another one makes other requests.
        users: Callers at one time, where nothing shall queue: as many as the service has cores.
        cache_entries: The cache's limit of entries.
        catalogue: How many different items typical traffic asks for; more than the cache holds.
        alpha: Zipf's exponent of their popularity.
        duration_seconds: How long the steady state of `typical` and of `soak` takes.
        scenarios: Names out of `NAMES`, each once; they are played in the order of `NAMES`.
        callers: How many ask for one key at once in `stampede`.
        scaled_generation_seconds: The generation that the table's computed column is scaled to.
        scrape_seconds: Prometheus' scrape interval.

    Raises:
        ValueError: A value cannot be used; it says which, and what was expected.
    """

    seed: int = DEFAULT_SEED
    users: int = field(default_factory=cores)
    cache_entries: int = 100
    catalogue: int = 250
    alpha: float = DEFAULT_ALPHA
    duration_seconds: float = 75.0
    scenarios: tuple[str, ...] = DEFAULT_NAMES
    callers: int = 200
    scaled_generation_seconds: float = 124.6
    scrape_seconds: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenarios", tuple(self.scenarios))
        for name, kind in KINDS.items():
            value = getattr(self, name)
            try:
                kind.check(value)
            except UnusableError:
                raise ValueError(refusal(name, echo(value), kind.expected)) from None
        if self.catalogue <= self.cache_entries:
            more = f"more than cache_entries, which is {self.cache_entries}"
            raise ValueError(refusal("catalogue", echo(self.catalogue), more))
        _known(self.scenarios)
        if not self.scenarios or len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError(refusal("scenarios", echo(self.scenarios), "at least one, and each once"))

    def to_mapping(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return {**asdict(self), "scenarios": list(self.scenarios)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Settings:
        """What `to_mapping` gave; what is left out has its default.

        Raises:
            ValueError: A name is unknown, or a value cannot be used.
        """
        for name in mapping.keys() - {"scenarios", *KINDS}:
            raise ValueError(unknown("setting", name, [*KINDS, "scenarios"]))
        return cls(**mapping)


def remote(settings: Settings) -> Settings:
    """The settings for `typical-remote`: the same popularity over a larger catalogue and cache.

    Che's approximation is the same 0.705 within a point. With thirty callers and a generation of half a second, 3 % of
    the callers of 250 items would find their generation under way for somebody else; of 3,125 items it is 0.3 %.
    """
    return replace(settings, cache_entries=10 * settings.cache_entries, catalogue=math.ceil(12.5 * settings.catalogue))


def scenarios(text: str) -> tuple[str, ...]:
    """The scenarios that a text names: names with commas between them, or `all` for those that a run plays by default.

    Raises:
        ValueError: A name is unknown, or there is none.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if "all" in names:
        names = (names - {"all"}) | set(DEFAULT_NAMES)
    if not names:
        raise ValueError(refusal("scenarios", echo(text), f"all, or any of {', '.join(NAMES)}"))
    _known(names)
    return tuple(name for name in NAMES if name in names)


def _known(names: Iterable[str]) -> None:
    for name in names:
        if name not in NAMES:
            raise ValueError(unknown("scenario", name, ["all", *NAMES]))
