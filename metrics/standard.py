"""Names that no catalogue has: of what Prometheus adds to a scrape, and of a process' standard collectors."""

from __future__ import annotations

#: 1 where the last scrape of a target succeeded, else 0.
UP = "up"
#: The alerts that are pending or firing.
ALERTS = "ALERTS"
PROCESS_START = "process_start_time_seconds"
PROCESS_CPU = "process_cpu_seconds_total"
PROCESS_MEMORY = "process_resident_memory_bytes"
PROCESS_THREADS = "process_threads"
PROCESS_OPEN_FILES = "process_open_fds"
PROCESS_FILES_LIMIT = "process_max_fds"
GC_COLLECTIONS = "python_gc_collections_total"
GC_COLLECTED = "python_gc_objects_collected_total"

#: Every one of them.
STANDARD = (
    UP,
    ALERTS,
    PROCESS_START,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_THREADS,
    PROCESS_OPEN_FILES,
    PROCESS_FILES_LIMIT,
    GC_COLLECTIONS,
    GC_COLLECTED,
)
