"""What the management API takes: the fields of its bodies and queries."""

from __future__ import annotations

from recoup.cache.stats import SORTS
from recoup.web.validation import Field

#: The body of `POST /config`: any of these, at least one. The bounds are those of the environment.
CONFIG_FIELDS = (
    Field("max_size", "integer", "Limit of entries.", minimum=1, maximum=10**9),
    Field(
        "max_memory_mb",
        "number",
        "Limit of memory in megabytes (2^20 bytes): values, keys and bookkeeping.",
        minimum=1e-6,
        maximum=10**7,
    ),
    Field(
        "ttl_seconds",
        "number",
        "Seconds that an entry lives; null or 0: it never expires. Holds for entries that are stored from now on.",
        minimum=0,
        maximum=10**9,
        nullable=True,
    ),
    Field("enabled", "boolean", "Whether lookups are answered from the cache. Without it, each is a bypass."),
)

_PIPELINE = "Only the entries of this pipeline."

#: The body of `POST /clear`.
CLEAR_FIELDS = (Field("pipeline", "string", f"{_PIPELINE} Left out: all entries."),)

#: The query of `GET /entries`.
ENTRIES_QUERY = (
    Field("limit", "integer", "Entries at most.", minimum=1, maximum=1000, default=100),
    Field("offset", "integer", "Entries to pass over.", minimum=0, maximum=10**9, default=0),
    Field(
        "sort",
        "string",
        "`recent`: used last first. `oldest`: stored longest ago first. `largest`: most bytes. `most_hit`: most "
        "hits. `costliest`: most seconds to generate.",
        choices=SORTS,
        default="recent",
    ),
    Field("pipeline", "string", _PIPELINE),
)
