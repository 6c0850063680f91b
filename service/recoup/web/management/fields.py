"""What the management API takes: the fields of its bodies and queries."""

from __future__ import annotations

from recoup import fields as kinds
from recoup.cache.config import LONGEST_GROUP
from recoup.cache.stats import SORTS
from recoup.web.validation import Field

#: The body of `POST /config`: any of these, at least one. The kinds are those of the environment, and so the bounds.
CONFIG_FIELDS = (
    Field("max_size", kinds.MAX_SIZE, "Limit of entries."),
    Field(
        "max_memory_mb",
        kinds.MAX_MEMORY_MB,
        "Limit of memory in megabytes (2^20 bytes): values, keys and bookkeeping.",
    ),
    Field(
        "ttl_seconds",
        kinds.TTL_SECONDS,
        "TTL of entries in seconds; null or 0: they never expire. Holds for entries that are stored from now on.",
        nullable=True,
    ),
    Field("enabled", kinds.ENABLED, "Whether lookups are answered from the cache. Without it, each is a bypass."),
    Field("policy", kinds.POLICY, "Which entry goes first where room is needed. Entries stay when it changes."),
)

_PIPELINE = "Only the entries of this pipeline."

#: The body of `POST /clear`.
CLEAR_FIELDS = (Field("pipeline", kinds.Text("a text", empty=True), f"{_PIPELINE} Left out: all entries."),)

#: Groups that one request may purge.
_MOST_PURGED = 256

#: The body of `POST /purge`. The groups must be there.
PURGE_FIELDS = (
    Field("groups", kinds.Texts(_MOST_PURGED, LONGEST_GROUP), "The groups whose results are purged."),
    Field("pipeline", kinds.Text("a text", empty=True), "Only the results of this pipeline. Left out: of all."),
    Field("soft", kinds.Flag(), "Whether they expire instead, and may be served stale.", default=False),
)

#: The query of `GET /entries`.
ENTRIES_QUERY = (
    Field("limit", kinds.Whole(1, 1000), "Entries at most.", default=100),
    Field("offset", kinds.Whole(0, 10**9), "Entries to pass over.", default=0),
    Field(
        "sort",
        kinds.Choice(SORTS),
        "`recent`: used last first. `oldest`: stored longest ago first. `largest`: most bytes. `most_hit`: most "
        "hits. `costliest`: most seconds to generate.",
        default="recent",
    ),
    Field("pipeline", kinds.Text("a text", empty=True), _PIPELINE),
    Field("group", kinds.Text("a text", empty=True), "Only the entries of this group."),
)
