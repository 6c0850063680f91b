"""Every alert, in the order of the runbook."""

from __future__ import annotations

from rulebook.alert import Alert, percent
from rulebook.burn import generation_failures, slow_hits
from rulebook.promql import JOB, LEVELS, increase, number
from rulebook.signals import REFUSALS
from rulebook.thresholds import Thresholds

_JOB = ("job",)
_PIPELINE = ("job", "pipeline")
_INSTANCE = ("job", "instance")
_PIPELINE_OF_JOB = "pipeline {{ $labels.pipeline }} of {{ $labels.job }}"
_INSTANCE_OF_JOB = "{{ $labels.instance }} of {{ $labels.job }}"


def alerts(thresholds: Thresholds) -> list[Alert]:
    """All alerting rules."""
    return [
        down(),
        *target_vanished(),
        hit_ratio_low(thresholds),
        speedup_low(thresholds),
        eviction_regret(thresholds),
        young_evictions(thresholds),
        memory_drift(thresholds),
        *generation_failures(thresholds),
        *slow_hits(thresholds),
        queue_full(thresholds),
        cache_disabled(),
        config_changed(),
        internal_errors(),
        expires_unused(thresholds),
    ]


def down() -> Alert:
    """A target of Recoup's is there and cannot be scraped."""
    return Alert(
        name="RecoupDown",
        expression="instance:recoup_up:max == 0",
        hold="2m",
        severity="critical",
        summary=f"Recoup is down: {_INSTANCE_OF_JOB}",
        description=f"Prometheus cannot scrape {_INSTANCE_OF_JOB}: up is {{{{ $value }}}} (threshold 1) for 2m.",
        dashboard="process",
        keeps=_INSTANCE,
    )


def target_vanished() -> list[Alert]:
    """Targets that were there are no targets any more: what is gone cannot be down."""
    count = "job:recoup_targets:count"
    return [
        Alert(
            name="RecoupTargetVanished",
            expression=f"max_over_time({count}[1d])\nunless\n{count}",
            hold="5m",
            severity="critical",
            summary="Every target of {{ $labels.job }} has vanished",
            description=(
                "Prometheus knows no target of {{ $labels.job }} any more (threshold 1): service discovery does not "
                "find it. Within the last 1d there were {{ $value }}."
            ),
            dashboard="process",
            keeps=_JOB,
        ),
        Alert(
            name="RecoupTargetVanished",
            expression=f"{count} offset 1h - {count} > 0",
            hold="10m",
            severity="warning",
            summary="A target of {{ $labels.job }} has vanished",
            description="Targets of {{ $labels.job }}: {{ $value }} fewer than 1h ago (threshold 0).",
            dashboard="process",
            keeps=_JOB,
        ),
    ]


def _judged(thresholds: Thresholds) -> str:
    """With traffic, and after the warm-up."""
    return (
        f"and pipeline:recoup_counted_lookups:rate5m > {number(thresholds.lookups_per_second)}\n"
        f"unless on ({JOB}) job:recoup_uptime_seconds:median < {number(thresholds.warm_up_seconds)}"
    )


def hit_ratio_low(thresholds: Thresholds) -> Alert:
    """Too few lookups are answered from the cache."""
    return Alert(
        name="RecoupHitRatioLow",
        expression=f"pipeline:recoup_hit_ratio:rate5m < {number(thresholds.hit_ratio)}\n{_judged(thresholds)}",
        hold="30m",
        severity="warning",
        summary=f"The hit ratio is below its target: {_PIPELINE_OF_JOB}",
        description=(
            f"The hit ratio of {_PIPELINE_OF_JOB} is {{{{ $value | humanizePercentage }}}} "
            f"(threshold {percent(thresholds.hit_ratio)}) for 30m, with traffic."
        ),
        dashboard="misses",
        keeps=_PIPELINE,
    )


def speedup_low(thresholds: Thresholds) -> Alert:
    """Callers are not spared enough."""
    return Alert(
        name="RecoupSpeedupLow",
        expression=f"pipeline:recoup_speedup:rate5m < {number(thresholds.speedup)}\n{_judged(thresholds)}",
        hold="30m",
        severity="warning",
        summary=f"The speed-up is below its target: {_PIPELINE_OF_JOB}",
        description=(
            f'The speed-up of {_PIPELINE_OF_JOB} is {{{{ $value | printf "%.2f" }}}} '
            f"(threshold {number(thresholds.speedup)}) for 30m, with traffic."
        ),
        dashboard="overview",
        keeps=_PIPELINE,
    )


def eviction_regret(thresholds: Thresholds) -> Alert:
    """The generator makes again what the cache had to let go."""
    regretted = increase("job", "recoup_regretted_seconds_total", "1h")
    return Alert(
        name="RecoupEvictionRegret",
        expression=(
            f"job:recoup_regret_ratio:rate1h > {number(thresholds.regret_ratio)}\n"
            f"and {regretted} > {number(thresholds.regret_seconds)}"
        ),
        hold="15m",
        severity="warning",
        summary="{{ $labels.job }} generates again what it evicted",
        description=(
            "{{ $labels.job }} spends {{ $value | humanizePercentage }} "
            f"(threshold {percent(thresholds.regret_ratio)}) of its generation time on results that it had evicted, "
            "over the last 1h. A larger cache could have kept them."
        ),
        dashboard="capacity",
        keeps=_JOB,
    )


def young_evictions(thresholds: Thresholds) -> Alert:
    """The cache is full, as it may be, but evicts entries soon after it stored them, which it must not."""
    evicted = increase("instance", 'recoup_evictions_total{cause="memory"}', "1h")
    return Alert(
        name="RecoupYoungEvictions",
        expression=(
            f"instance:recoup_eviction_age_seconds:p50_1h < {number(thresholds.young_seconds)}\n"
            f"and instance:recoup_memory_utilisation:ratio > {number(thresholds.memory_utilisation)}\n"
            f"and instance:recoup_memory_eviction_ratio:rate1h > {number(thresholds.memory_eviction_ratio)}\n"
            f"and {evicted} > {number(thresholds.memory_evictions)}"
        ),
        hold="15m",
        severity="warning",
        summary=f"Memory is too small: entries leave young at {_INSTANCE_OF_JOB}",
        description=(
            f"Half of what {_INSTANCE_OF_JOB} evicts has been there for less than {{{{ $value | humanizeDuration }}}} "
            f"(threshold {_duration(thresholds.young_seconds)}), because its memory is full "
            f"(above {percent(thresholds.memory_utilisation)} of the limit)."
        ),
        dashboard="capacity",
        keeps=_INSTANCE,
    )


def memory_drift(thresholds: Thresholds) -> Alert:
    """The process grows by more than the cache accounts for."""
    drift = "instance:recoup_memory_drift_bytes:delta3d"
    limit = f"max by ({LEVELS['instance']}) (recoup_memory_limit_bytes)"
    return Alert(
        name="RecoupMemoryDrift",
        expression=(
            f"{drift} > {number(thresholds.drift_bytes)}\nand {drift} > {number(thresholds.drift_ratio)} * {limit}"
        ),
        hold="1h",
        severity="warning",
        summary=f"The process takes more memory than the cache accounts for: {_INSTANCE_OF_JOB}",
        description=(
            f"{_INSTANCE_OF_JOB} has grown by {{{{ $value | humanize1024 }}}}B over the last 3d that its cache does "
            f"not account for (threshold {percent(thresholds.drift_ratio)} of the memory limit, and at least "
            f"{number(thresholds.drift_bytes / 2**20)}MiB)."
        ),
        dashboard="process",
        keeps=_INSTANCE,
    )


def queue_full(thresholds: Thresholds) -> Alert:
    """Callers are refused, because nobody may even wait any more."""
    return Alert(
        name="RecoupGenerationQueueFull",
        expression=f"{increase('pipeline', REFUSALS, '5m')} > {number(thresholds.refusals)}",
        hold="2m",
        severity="warning",
        summary=f"The generation queue is full: {_PIPELINE_OF_JOB}",
        description=(
            f'Callers of {_PIPELINE_OF_JOB} that were refused within 5m: {{{{ $value | printf "%.0f" }}}} '
            f"(threshold {number(thresholds.refusals)}). Its generation queue was full."
        ),
        dashboard="generation",
        keeps=_PIPELINE,
    )


def cache_disabled() -> Alert:
    """Every request goes to its generator."""
    return Alert(
        name="RecoupCacheDisabled",
        expression=f"max by ({LEVELS['instance']}) (recoup_enabled) == 0",
        hold="15m",
        severity="warning",
        summary=f"The cache is disabled: {_INSTANCE_OF_JOB}",
        description=(
            f"The cache of {_INSTANCE_OF_JOB} is disabled: recoup_enabled is {{{{ $value }}}} (threshold 1) for 15m. "
            "Every request goes to its generator."
        ),
        dashboard="overview",
        keeps=_INSTANCE,
    )


def config_changed() -> Alert:
    """Somebody changed a setting. Nothing is wrong with that."""
    return Alert(
        name="RecoupConfigChanged",
        expression=f"{increase('instance', 'recoup_config_changes_total', '15m', 'setting')} > 0",
        hold="0s",
        severity="info",
        summary=f"{{{{ $labels.setting }}}} was changed: {_INSTANCE_OF_JOB}",
        description=(
            f"Changes of {{{{ $labels.setting }}}} at {_INSTANCE_OF_JOB} within 15m: "
            '{{ $value | printf "%.0f" }} (threshold 0).'
        ),
        dashboard="overview",
        keeps=_INSTANCE,
    )


def internal_errors() -> Alert:
    """Something inside fails, and callers are served all the same."""
    return Alert(
        name="RecoupInternalErrors",
        expression=f"{increase('instance', 'recoup_internal_errors_total', '15m', 'part')} > 0",
        hold="0s",
        severity="warning",
        summary=f"The cache fails open ({{{{ $labels.part }}}}): {_INSTANCE_OF_JOB}",
        description=(
            f"Failures of the part {{{{ $labels.part }}}} at {_INSTANCE_OF_JOB} within 15m: "
            '{{ $value | printf "%.0f" }} (threshold 0). Callers were served all the same.'
        ),
        dashboard="process",
        keeps=_INSTANCE,
    )


def expires_unused(thresholds: Thresholds) -> Alert:
    """Most entries leave by age, and never answered anybody."""
    expired = increase("pipeline", 'recoup_evictions_total{cause="expired"}', "1d")
    return Alert(
        name="RecoupEntriesExpireUnused",
        expression=(
            f"pipeline:recoup_unused_eviction_ratio:rate1d > {number(thresholds.unused_ratio)}\n"
            f"and pipeline:recoup_expired_eviction_ratio:rate1d > {number(thresholds.expired_ratio)}\n"
            f"and {expired} > {number(thresholds.expirations)}"
        ),
        hold="1h",
        severity="info",
        summary=f"Entries expire unused: {_PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.unused_ratio)}) of the entries that "
            f"{_PIPELINE_OF_JOB} let go within 1d had never answered a request. Most of them had expired."
        ),
        dashboard="misses",
        keeps=_PIPELINE,
    )


def _duration(seconds: float) -> str:
    """Seconds as `humanizeDuration` says whole minutes: `15m 0s`."""
    return f"{int(seconds // 60)}m {int(seconds % 60)}s"
