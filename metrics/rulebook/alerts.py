"""Every alert, in the order of the runbook."""

from __future__ import annotations

from metrics import signals
from metrics.rulebook.alert import INSTANCE, INSTANCE_OF_JOB, PIPELINE, PIPELINE_OF_JOB, Alert, percent
from metrics.rulebook.burn import always_fails, generation_failures, slow_hits
from metrics.rulebook.money import does_not_pay
from metrics.rulebook.promql import by, increase, number
from metrics.rulebook.recordings import BYPASSES, EXPIRED, GENERATIONS
from metrics.rulebook.refusals import queue_full, requests_refused, server_errors
from metrics.rulebook.streams import refreshes_failing, slow_first_byte, streams_cut
from metrics.rulebook.targets import down, restarting, target_vanished
from metrics.selectors import select
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue


def alerts(thresholds: Thresholds) -> list[Alert]:
    """All alerting rules."""
    return [
        *down(),
        *target_vanished(),
        restarting(thresholds),
        hit_ratio_low(thresholds),
        instance_hit_ratio_low(thresholds),
        speedup_low(thresholds),
        does_not_pay(thresholds),
        mostly_bypassed(thresholds),
        eviction_regret(thresholds),
        young_evictions(thresholds),
        memory_drift(thresholds),
        memory_leak(thresholds),
        *generation_failures(thresholds),
        always_fails(thresholds),
        generation_slower(thresholds),
        *slow_hits(thresholds),
        slow_first_byte(thresholds),
        streams_cut(thresholds),
        refreshes_failing(thresholds),
        queue_full(thresholds),
        requests_refused(thresholds),
        *server_errors(thresholds),
        cache_disabled(),
        config_changed(),
        internal_errors(thresholds),
        expires_unused(thresholds),
    ]


def _lasting(level: str, figure: str, comparison: str, window: str) -> str:
    """A figure of an hour that has not been better for long, where there was traffic before, too.

    A start, a new pipeline and a scan are over by then; a crash loop and keys that never come again are not. Pauses
    without traffic do not matter: there is no figure then.
    """
    seen = f"max_over_time({signals.LOOKUPS_OF_HOUR.at(level)}[1d] offset {window}) > 0"
    return f"max_over_time({figure}[{window}]) {comparison}\n  and {seen}"


def _few_hits(level: str, thresholds: Thresholds) -> str:
    """Too few hits within an hour: of what had been there, at once; of everything, when it lasts."""
    low, least = number(thresholds.hit_ratio), number(thresholds.lookups)
    hour = signals.HIT_RATIO.at(level, "1h")
    return (
        f"{hour} < {low}\nand {signals.LOOKUPS_OF_HOUR.at(level)} > {least}\nand (\n"
        f"  {signals.KEPT_HIT_RATIO.at(level)} < {low}\n  and {signals.KEPT_LOOKUPS.at(level)} > {least}\n  or\n"
        f"  {_lasting(level, hour, f'< {low}', '2h')}\n)"
    )


def hit_ratio_low(thresholds: Thresholds) -> Alert:
    """Too few lookups are answered from the cache."""
    return Alert(
        name="RecoupHitRatioLow",
        expression=_few_hits("pipeline", thresholds),
        hold="5m",
        lasts="1h",
        severity="warning",
        summary=f"The hit ratio is below its target: {PIPELINE_OF_JOB}",
        description=(
            f"The hit ratio of {PIPELINE_OF_JOB} is {{{{ $value | humanizePercentage }}}} "
            f"(threshold {percent(thresholds.hit_ratio)}) over the last 1h. It misses what had been there, or it has "
            "been so for 2h."
        ),
        dashboard="misses",
        keeps=PIPELINE,
    )


def instance_hit_ratio_low(thresholds: Thresholds) -> Alert:
    """One instance of several answers far less from its cache than its job does."""
    share, job = number(thresholds.instance_share), signals.HIT_RATIO.at("job", "1h")
    return Alert(
        name="RecoupInstanceHitRatioLow",
        expression=(
            f"{_few_hits('instance', thresholds)}\n"
            f"and {signals.HIT_RATIO.at('instance', '1h')} < on ({by('job')}) group_left () ({share} * {job})"
        ),
        hold="5m",
        lasts="1h",
        severity="warning",
        summary=f"One instance has few hits: {INSTANCE_OF_JOB}",
        description=(
            f"The hit ratio of {INSTANCE_OF_JOB} is {{{{ $value | humanizePercentage }}}} "
            f"(threshold {percent(thresholds.hit_ratio)}) over the last 1h, and below "
            f"{percent(thresholds.instance_share)} of that of its job."
        ),
        dashboard="misses",
        keeps=INSTANCE,
    )


def speedup_low(thresholds: Thresholds) -> Alert:
    """Callers wait for more than the misses: the speed-up is below what the hit ratio allows, and below its target.

    A mean speed-up is at most 1 / (1 - hit ratio). Where hits are too few, the alert on the hit ratio says so.
    """
    share = signals.SPEEDUP_SHARE.at("pipeline")
    return Alert(
        name="RecoupSpeedupLow",
        expression=(
            f"{signals.SPEEDUP.at('pipeline', '1h')} < {number(thresholds.speedup)}\n"
            f"and {signals.LOOKUPS_OF_HOUR.at('pipeline')} > {number(thresholds.lookups)}\n"
            f"and (\n  {_lasting('pipeline', share, f'< {number(thresholds.speedup_share)}', '1h')}\n)"
        ),
        hold="5m",
        lasts="1h",
        severity="warning",
        summary=f"The speed-up is below its target: {PIPELINE_OF_JOB}",
        description=(
            f'The speed-up of {PIPELINE_OF_JOB} is {{{{ $value | printf "%.2f" }}}} '
            f"(threshold {number(thresholds.speedup)}) over the last 1h, and it has been below "
            f"{percent(thresholds.speedup_share)} of what its hit ratio allows, 1 / (1 - hit ratio), for 1h."
        ),
        dashboard="overview",
        keeps=PIPELINE,
    )


def mostly_bypassed(thresholds: Thresholds) -> Alert:
    """A pipeline stands behind a cache that hardly any of its callers asks."""
    bypasses = increase("pipeline", BYPASSES, "1h")
    return Alert(
        name="RecoupMostlyBypassed",
        expression=(
            f"{signals.BYPASS_RATIO.at('pipeline', '1h')} > {number(thresholds.bypass_ratio)}\n"
            f"and {bypasses} > {number(thresholds.bypasses)}"
        ),
        hold="30m",
        severity="warning",
        summary=f"Most lookups go past the cache: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.bypass_ratio)}) of the lookups of "
            f"{PIPELINE_OF_JOB} went past the cache over the last 1h, and it is enabled. No hit ratio counts them."
        ),
        dashboard="misses",
        keeps=PIPELINE,
    )


def eviction_regret(thresholds: Thresholds) -> Alert:
    """The generator makes again what the cache had to let go."""
    regretted = increase("pipeline", select(catalogue.REGRETTED), "1h")
    return Alert(
        name="RecoupEvictionRegret",
        expression=(
            f"{signals.REGRET_RATIO.at('pipeline', '1h')} > {number(thresholds.regret_ratio)}\n"
            f"and {regretted} > {number(thresholds.regret_seconds)}"
        ),
        hold="15m",
        severity="warning",
        summary=f"What was evicted is generated again: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.regret_ratio)}) of the generation "
            f"time of the misses of {PIPELINE_OF_JOB} went into results that had been evicted, over the last 1h. "
            "A larger cache could have kept them."
        ),
        dashboard="capacity",
        keeps=PIPELINE,
    )


def young_evictions(thresholds: Thresholds) -> Alert:
    """The cache is full, as it may be, but evicts entries soon after it stored them, which it must not.

    Weighed by the cache's own size and TTL: whatever its entries weigh, half of what it holds leaves within an hour.
    """
    age = signals.EVICTION_AGE_MEDIAN.at("instance")
    ttl = f"max by ({by('instance')}) ({select(catalogue.TTL)})"
    held = f"sum by ({by('instance')}) ({select(catalogue.ENTRIES)})"
    limits = signals.LIMIT_EVICTIONS.at("instance")
    return Alert(
        name="RecoupYoungEvictions",
        expression=(
            f"{age} < {number(thresholds.young_seconds)}\n"
            f"unless {age} >= {number(thresholds.young_share)} * ({ttl} > 0)\n"
            f"and {signals.LIMIT_EVICTION_RATIO.at('instance')} > {number(thresholds.limit_eviction_ratio)}\n"
            f"and {limits} > 1\n"
            f"and {limits} > {number(thresholds.turnover)} * {held}"
        ),
        hold="15m",
        lasts="30m",
        severity="warning",
        summary=f"The cache is too small: entries leave young at {INSTANCE_OF_JOB}",
        description=(
            f"Half of what {INSTANCE_OF_JOB} evicts has been there for less than {{{{ $value | humanizeDuration }}}} "
            f"(threshold {_duration(thresholds.young_seconds)}), because a limit is reached, and within 1h more was "
            f"evicted than {percent(thresholds.turnover)} of what it holds."
        ),
        dashboard="capacity",
        keeps=INSTANCE,
    )


def memory_drift(thresholds: Thresholds) -> Alert:
    """The process grows by more than the cache accounts for."""
    drift = signals.MEMORY_DRIFT.at("instance")
    held = f"max_over_time({signals.MEMORY_HELD.at('instance')}[1d])"
    limit = f"max by ({by('instance')}) ({select(catalogue.MEMORY_LIMIT)})"
    ratio = number(thresholds.drift_ratio)
    return Alert(
        name="RecoupMemoryDrift",
        expression=(
            # A cache that holds little is judged by its limit: libraries that are loaded late are no drift.
            f"{drift} > {number(thresholds.drift_bytes)}\nand {drift} > {ratio} * {held}\n"
            f"and (\n  {drift} > {ratio} * {limit}\n  or\n  {held} > {ratio} * {limit}\n)"
        ),
        hold="30m",
        lasts="30m",
        severity="warning",
        summary=f"The process takes more memory than the cache accounts for: {INSTANCE_OF_JOB}",
        description=(
            f"{INSTANCE_OF_JOB} has grown by {{{{ $value | humanize1024 }}}}B over the last 3d that its cache does "
            f"not account for (threshold {percent(thresholds.drift_ratio)} of the most that it held, and at least "
            f"{number(thresholds.drift_bytes / 2**20)}MiB)."
        ),
        dashboard="process",
        keeps=INSTANCE,
    )


def memory_leak(thresholds: Thresholds) -> Alert:
    """The least that the process takes beside its cache is more from day to day."""
    floor = signals.MEMORY_FLOOR.at("instance")
    part = f"{number(thresholds.leak_bytes)} / 6"
    return Alert(
        name="RecoupMemoryLeak",
        expression=(
            f"{floor} - {floor} offset 3d > {number(thresholds.leak_bytes)}\n"
            f"and {floor} - {floor} offset 1d > {part}\n"
            f"and {floor} offset 1d - {floor} offset 2d > {part}"
        ),
        hold="1h",
        lasts="2h",
        severity="warning",
        summary=f"The process grows from day to day: {INSTANCE_OF_JOB}",
        description=(
            f"The least memory of a day that {INSTANCE_OF_JOB} takes beside its cache has grown by "
            f"{{{{ $value | humanize1024 }}}}B within 3d (threshold {number(thresholds.leak_bytes / 2**20)}MiB), "
            "a part of it on each day."
        ),
        dashboard="process",
        keeps=INSTANCE,
    )


def generation_slower(thresholds: Thresholds) -> Alert:
    """Generations take far longer than on the day before."""
    mean, usual = signals.GENERATION_MEAN.at("pipeline"), signals.GENERATION_USUAL.at("pipeline")
    done = increase("pipeline", GENERATIONS, "1h")
    return Alert(
        name="RecoupGenerationSlower",
        expression=(
            f"{mean} / {usual} > {number(thresholds.slower_factor)}\n"
            f"and {done} > {number(thresholds.slower_generations)}"
        ),
        hold="15m",
        lasts="1h",
        severity="warning",
        summary=f"Generations have become slower: {PIPELINE_OF_JOB}",
        description=(
            f"Generations of {PIPELINE_OF_JOB} over the last 1h took "
            '{{ $value | printf "%.1f" }} times as long as usual within 1d before '
            f"(threshold {number(thresholds.slower_factor)})."
        ),
        dashboard="generation",
        keeps=PIPELINE,
    )


def cache_disabled() -> Alert:
    """Every request goes to its generator."""
    return Alert(
        name="RecoupCacheDisabled",
        expression=f"max by ({by('instance')}) ({select(catalogue.ENABLED)}) == 0",
        hold="15m",
        severity="warning",
        summary=f"The cache is disabled: {INSTANCE_OF_JOB}",
        description=(
            f"The cache of {INSTANCE_OF_JOB} is disabled: {catalogue.ENABLED.name} is {{{{ $value }}}} (threshold 1) "
            "for 15m. Every request goes to its generator."
        ),
        dashboard="overview",
        keeps=INSTANCE,
    )


def config_changed() -> Alert:
    """Somebody changed a setting. Nothing is wrong with that."""
    return Alert(
        name="RecoupConfigChanged",
        expression=f"{increase('instance', select(catalogue.CONFIG_CHANGES), '15m', 'setting')} > 0",
        hold="0s",
        severity="info",
        summary=f"{{{{ $labels.setting }}}} was changed: {INSTANCE_OF_JOB}",
        description=(
            f"Changes of {{{{ $labels.setting }}}} at {INSTANCE_OF_JOB} within 15m: "
            '{{ $value | printf "%.0f" }} (threshold 0).'
        ),
        dashboard="overview",
        keeps=INSTANCE,
    )


def internal_errors(thresholds: Thresholds) -> Alert:
    """Something inside fails, and callers are served all the same."""
    failures = increase("instance", select(catalogue.INTERNAL_ERRORS), "1h", "part")
    least = number(thresholds.internal_errors)
    return Alert(
        name="RecoupInternalErrors",
        expression=f"{failures} > {least}",
        hold="0s",
        severity="warning",
        summary=f"The cache fails open ({{{{ $labels.part }}}}): {INSTANCE_OF_JOB}",
        description=(
            f"Failures of the part {{{{ $labels.part }}}} at {INSTANCE_OF_JOB} within 1h: "
            f'{{{{ $value | printf "%.0f" }}}} (threshold {least}). Callers were served all the same.'
        ),
        dashboard="process",
        keeps=INSTANCE,
    )


def expires_unused(thresholds: Thresholds) -> Alert:
    """Most entries leave by age, and never answered anybody."""
    expired = increase("pipeline", EXPIRED, "1d")
    return Alert(
        name="RecoupEntriesExpireUnused",
        expression=(
            f"{signals.UNUSED_RATIO.at('pipeline')} > {number(thresholds.unused_ratio)}\n"
            f"and {signals.EXPIRED_RATIO.at('pipeline')} > {number(thresholds.expired_ratio)}\n"
            f"and {expired} > {number(thresholds.expirations)}"
        ),
        hold="1h",
        severity="info",
        summary=f"Entries expire unused: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.unused_ratio)}) of the entries that "
            f"{PIPELINE_OF_JOB} let go within 1d had never answered a request. Most of them had expired."
        ),
        dashboard="misses",
        keeps=PIPELINE,
    )


def _duration(seconds: float) -> str:
    """Seconds as `humanizeDuration` says whole minutes: `15m 0s`."""
    return f"{int(seconds // 60)}m {int(seconds % 60)}s"
