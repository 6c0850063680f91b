"""Upper bounds of the histograms that the cache keeps. The last bucket, to infinity, is implied."""

from __future__ import annotations

#: Seconds that a caller waited: from 50 microseconds, well under any hit over HTTP, to five minutes.
REQUEST_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip

#: Seconds that one generation took.
GENERATION_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0)

#: Seconds since an entry was stored, at a hit or at its eviction: from a second to a week.
AGE_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 21600.0, 43200.0, 86400.0, 259200.0, 604800.0)

#: Bytes that one entry takes, all that is accounted for it: from 512 bytes to 256 MiB.
SIZE_BYTES = (*(float(512 * 4**power) for power in range(10)), float(256 * 2**20))
