"""Every alert, in the order of the runbook."""

from __future__ import annotations

from metrics import signals
from metrics.rulebook.alert import Alert, percent
from metrics.rulebook.burn import generation_failures, slow_hits
from metrics.rulebook.money import does_not_pay
from metrics.rulebook.promql import by, increase, number
from metrics.rulebook.recordings import BYPASSES, EVICTED_BY_MEMORY, EXPIRED, REFUSALS, REFUSED_REQUESTS
from metrics.selectors import select
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue

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
        does_not_pay(_judged(thresholds)),
        mostly_bypassed(thresholds),
        eviction_regret(thresholds),
        young_evictions(thresholds),
        memory_drift(thresholds),
        *generation_failures(thresholds),
        *slow_hits(thresholds),
        queue_full(thresholds),
        requests_refused(thresholds),
        cache_disabled(),
        config_changed(),
        internal_errors(),
        expires_unused(thresholds),
    ]


def down() -> Alert:
    """A target of Recoup's is there and cannot be scraped."""
    return Alert(
        name="RecoupDown",
        expression=f"{signals.UP_STATE.at('instance')} == 0",
        hold="2m",
        severity="critical",
        summary=f"Recoup is down: {_INSTANCE_OF_JOB}",
        description=f"Prometheus cannot scrape {_INSTANCE_OF_JOB}: up is {{{{ $value }}}} (threshold 1) for 2m.",
        dashboard="process",
        keeps=_INSTANCE,
    )


def target_vanished() -> list[Alert]:
    """Targets that were there are no targets any more: what is gone cannot be down."""
    count = signals.TARGETS.at("job")
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
        f"and {signals.COUNTED_LOOKUPS.at('pipeline')} > {number(thresholds.lookups_per_second)}\n"
        f"unless on ({by('job')}) {signals.UPTIME.at('job')} < {number(thresholds.warm_up_seconds)}"
    )


def hit_ratio_low(thresholds: Thresholds) -> Alert:
    """Too few lookups are answered from the cache."""
    return Alert(
        name="RecoupHitRatioLow",
        expression=f"{signals.HIT_RATIO.at('pipeline')} < {number(thresholds.hit_ratio)}\n{_judged(thresholds)}",
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
    """Callers wait for more than the misses: the speed-up is below what the hit ratio allows, and below its target.

    A mean speed-up is at most 1 / (1 - hit ratio). Where hits are too few, the alert on the hit ratio says so.
    """
    speedup = signals.SPEEDUP.at("pipeline")
    allowed = f"{number(thresholds.speedup_share)} * {signals.SPEEDUP_LIMIT.at('pipeline')}"
    return Alert(
        name="RecoupSpeedupLow",
        expression=(f"{speedup} < {number(thresholds.speedup)}\nunless {speedup} >= {allowed}\n{_judged(thresholds)}"),
        hold="30m",
        severity="warning",
        summary=f"The speed-up is below its target: {_PIPELINE_OF_JOB}",
        description=(
            f'The speed-up of {_PIPELINE_OF_JOB} is {{{{ $value | printf "%.2f" }}}} '
            f"(threshold {number(thresholds.speedup)}) for 30m, with traffic, and below "
            f"{percent(thresholds.speedup_share)} of what its hit ratio allows: 1 / (1 - hit ratio)."
        ),
        dashboard="overview",
        keeps=_PIPELINE,
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
        summary=f"Most lookups go past the cache: {_PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.bypass_ratio)}) of the lookups of "
            f"{_PIPELINE_OF_JOB} went past the cache over the last 1h, and it is enabled. No hit ratio counts them."
        ),
        dashboard="misses",
        keeps=_PIPELINE,
    )


def eviction_regret(thresholds: Thresholds) -> Alert:
    """The generator makes again what the cache had to let go."""
    regretted = increase("job", select(catalogue.REGRETTED), "1h")
    return Alert(
        name="RecoupEvictionRegret",
        expression=(
            f"{signals.REGRET_RATIO.at('job', '1h')} > {number(thresholds.regret_ratio)}\n"
            f"and {regretted} > {number(thresholds.regret_seconds)}"
        ),
        hold="15m",
        severity="warning",
        summary="{{ $labels.job }} generates again what it evicted",
        description=(
            "{{ $labels.job }} spends {{ $value | humanizePercentage }} "
            f"(threshold {percent(thresholds.regret_ratio)}) of the generation time of its misses on results that it "
            "had evicted, over the last 1h. A larger cache could have kept them."
        ),
        dashboard="capacity",
        keeps=_JOB,
    )


def young_evictions(thresholds: Thresholds) -> Alert:
    """The cache is full, as it may be, but evicts entries soon after it stored them, which it must not."""
    evicted = increase("instance", EVICTED_BY_MEMORY, "1h")
    return Alert(
        name="RecoupYoungEvictions",
        expression=(
            f"{signals.EVICTION_AGE_MEDIAN.at('instance')} < {number(thresholds.young_seconds)}\n"
            f"and {signals.MEMORY_UTILISATION.at('instance')} > {number(thresholds.memory_utilisation)}\n"
            f"and {signals.MEMORY_EVICTION_RATIO.at('instance')} > {number(thresholds.memory_eviction_ratio)}\n"
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
    drift = signals.MEMORY_DRIFT.at("instance")
    limit = f"max by ({by('instance')}) ({select(catalogue.MEMORY_LIMIT)})"
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


def requests_refused(thresholds: Thresholds) -> Alert:
    """Callers are answered 503, whoever refuses them: a generator's queue, or the service for want of room."""
    return Alert(
        name="RecoupRequestsRefused",
        expression=(
            f"{signals.REFUSED_RATIO.at('job', '1h')} > {number(thresholds.refused_ratio)}\n"
            f"and {signals.REFUSED_RATIO.at('job', '5m')} > {number(thresholds.refused_ratio)}\n"
            f"and {increase('job', REFUSED_REQUESTS, '1h')} > {number(thresholds.refused_requests)}"
        ),
        hold="5m",
        severity="warning",
        summary="Requests are refused: {{ $labels.job }}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.refused_ratio)}) of the requests to "
            "{{ $labels.job }} were answered 503 over the last 1h, and too many still are."
        ),
        dashboard="generation",
        keeps=_JOB,
    )


def cache_disabled() -> Alert:
    """Every request goes to its generator."""
    return Alert(
        name="RecoupCacheDisabled",
        expression=f"max by ({by('instance')}) ({select(catalogue.ENABLED)}) == 0",
        hold="15m",
        severity="warning",
        summary=f"The cache is disabled: {_INSTANCE_OF_JOB}",
        description=(
            f"The cache of {_INSTANCE_OF_JOB} is disabled: {catalogue.ENABLED.name} is {{{{ $value }}}} (threshold 1) "
            "for 15m. Every request goes to its generator."
        ),
        dashboard="overview",
        keeps=_INSTANCE,
    )


def config_changed() -> Alert:
    """Somebody changed a setting. Nothing is wrong with that."""
    return Alert(
        name="RecoupConfigChanged",
        expression=f"{increase('instance', select(catalogue.CONFIG_CHANGES), '15m', 'setting')} > 0",
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
        expression=f"{increase('instance', select(catalogue.INTERNAL_ERRORS), '15m', 'part')} > 0",
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
