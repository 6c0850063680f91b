"""Should it be bigger?"""

from __future__ import annotations

from metrics.signals import ENTRIES_UTILISATION, MEMORY_UTILISATION

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import buckets, hourly, largest, quantile, recorded, total
from grafana.panels import LIMIT, TOTAL, Line, Panel, dashed, heat, series
from recoup.telemetry.catalogue import (
    ENTRIES,
    ENTRIES_LIMIT,
    ENTRY_SIZE,
    EVICTION_AGE,
    HIT_AGE,
    MEMORY,
    MEMORY_LIMIT,
    RECOUPED,
    REGRETTED,
    TTL,
)


def _memory() -> Panel:
    return series(
        "Memory by pipeline",
        "Memory that the cache accounts for: values, keys and bookkeeping; dotted, that of all "
        "pipelines. The dashed line is the limit of all chosen instances of a namespace together.",
        style.BYTES,
        Line(total(MEMORY, "pipeline"), "{{pipeline}}"),
        Line(total(MEMORY), "all pipelines", look=TOTAL),
        Line(total(MEMORY_LIMIT), "limit", look=LIMIT),
    )


def _entries() -> Panel:
    return series(
        "Entries by pipeline",
        "Entries held; dotted, those of all pipelines. The dashed line is the limit of all chosen instances of a "
        "namespace together.",
        style.COUNT,
        Line(total(ENTRIES, "pipeline"), "{{pipeline}}"),
        Line(total(ENTRIES), "all pipelines", look=TOTAL),
        Line(total(ENTRIES_LIMIT), "limit", look=LIMIT),
    )


def _filled() -> Panel:
    return series(
        "Share of the limits in use",
        "Memory and entries of each instance, as shares of their limits. The one that reaches 100 % first evicts.",
        style.SHARE,
        Line(recorded(MEMORY_UTILISATION, "instance"), "{{job}} {{instance}} memory"),
        Line(recorded(ENTRIES_UTILISATION, "instance"), "{{job}} {{instance}} entries"),
        maximum=1,
        styles={"/ entries$/": [dashed(10, 6)]},
    )


def _worth() -> Panel:
    return series(
        "Recouped against regretted, per hour",
        "In each hour: generation time that callers were spared, and time spent on generating again what had been "
        "evicted. A larger cache turns regretted seconds into recouped ones, and nothing else.",
        style.SECONDS,
        Line(hourly(RECOUPED), "recouped"),
        Line(hourly(REGRETTED), "regretted"),
        colours={"recouped": "green", "regretted": "red"},
    )


def _ages() -> Panel:
    shares = ((0.5, "p50"), (0.9, "p90"))
    hits = [Line(quantile(share, HIT_AGE), f"hit {name}") for share, name in shares]
    evictions = [Line(quantile(share, EVICTION_AGE), f"evicted {name}") for share, name in shares]
    return series(
        "Age at a hit against age at eviction",
        "How old entries are when they answer, and when they leave. Where they leave younger than they would answer, "
        "the cache is too small; where they leave much older, it could be smaller. The line ttl is the largest "
        "default time to live, absent where entries never expire.",
        style.SECONDS,
        *hits,
        *evictions,
        Line(largest(TTL), "ttl"),
        logarithmic=True,
        colours={"hit p50": "green", "hit p90": "dark-green", "evicted p50": "orange", "evicted p90": "red"},
        styles={"/^ttl$/": [dashed(10, 6)]},
        no_value="no hits, no evictions",
    )


def _sizes() -> Panel:
    return heat(
        "Entry sizes",
        "Sizes of the entries that were stored, all that is accounted for each; the stronger the colour, the more.",
        style.BYTES,
        Line(buckets(ENTRY_SIZE), "{{le}}"),
        no_value="nothing was stored",
    )


def _size_by_pipeline() -> Panel:
    return series(
        "Entry size by pipeline",
        "The median and the largest tenth of the entries that were stored.",
        style.BYTES,
        *(
            Line(quantile(share, ENTRY_SIZE, "pipeline"), f"{{{{pipeline}}}} {name}")
            for share, name in ((0.5, "p50"), (0.9, "p90"))
        ),
        logarithmic=True,
        no_value="nothing was stored",
    )


BOARD = Board(
    "capacity",
    "Capacity",
    "Should it be bigger?",
    (
        Strip(9, ((12, _worth()), (12, _ages()))),
        Strip(8, ((8, _memory()), (8, _entries()), (8, _filled()))),
        Strip(8, ((12, _sizes()), (12, _size_by_pipeline()))),
    ),
    since="now-24h",
)
