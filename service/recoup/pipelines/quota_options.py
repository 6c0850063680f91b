"""The options of a pipeline's quota: its own limits within the cache's, and what others cannot take from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from recoup.fields import MAX_MEMORY_MB, MAX_SIZE, RESERVE_MEMORY_MB

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable

#: The names of the options.
QUOTA_OPTIONS = ("max_entries", "max_memory_mb", "reserve_memory_mb")


class PipelineQuota(NamedTuple):
    """A pipeline's quota, as `ResultCache.set_quota` takes it: entries and megabytes (2^20 bytes)."""

    max_entries: int | None = None
    max_memory_mb: float | None = None
    reserve_memory_mb: float = 0.0

    def describe(self) -> dict[str, Any]:
        """The limits that there are."""
        return {name: value for name, value in self._asdict().items() if value}


NO_QUOTA = PipelineQuota()


def pipeline_quota(options: OptionTable) -> PipelineQuota:
    """The quota of a pipeline."""
    entries = options.take("max_entries", MAX_SIZE, 0) or None
    memory = options.take("max_memory_mb", MAX_MEMORY_MB, 0.0) or None
    reserve = options.take("reserve_memory_mb", RESERVE_MEMORY_MB, 0.0)
    if memory is not None and reserve > memory:
        options.mistakes.append(options.refused("reserve_memory_mb", f"at most max_memory_mb, {memory:g}"))
    return PipelineQuota(entries, memory, reserve)
