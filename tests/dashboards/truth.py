"""What every panel must show of `clusters.py`, worked out from the instances' factors without a query.

By dashboard and panel: its lines by name. Figures are in `FIGURES`, by what they say and in which colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from metrics.loadtest_catalogue import RESPONSE_DURATION

from dashboards.clusters import (
    BEGIN,
    INSTANCES,
    OBSERVED,
    PIPELINES,
    RECOUPED,
    REGRETTED,
    SPENT,
    SPREAD,
    STATUSES,
    TRAFFIC,
    WAITED,
    Instance,
)
from recoup.telemetry import catalogue
from recoup.telemetry.catalogue import Metric

Lines = dict[str, float]
ALIVE = [instance for instance in INSTANCES if instance.end == "alive"]
#: The instances that have traffic and rules.
JUDGED = [instance for instance in ALIVE if instance.cluster == "eu" and instance.scale]
PLACES = {cluster: [instance for instance in ALIVE if instance.cluster == cluster] for cluster in ("eu", "us")}
SCALES = {f"{cluster} prod": sum(instance.scale for instance in there) for cluster, there in PLACES.items()}
COUNTS = {f"{cluster} prod": len(there) for cluster, there in PLACES.items()}
OUTCOMES = ("hit", "stale", "coalesced", "miss", "bypass")


def scaled(amount: float, name: str) -> Lines:
    """One line for each cluster."""
    return {f"{place} {name}": amount * scale for place, scale in SCALES.items()}


def of_all(amount: float, name: str) -> Lines:
    """A line for each cluster of what each pipeline has its share of."""
    return scaled(amount * TRAFFIC, name)


def by_pipeline(amount: float, name: str = "{}") -> Lines:
    return merged(*(scaled(amount * share, name.format(pipeline)) for pipeline, share in PIPELINES.items()))


def by_value(metric: Metric, shares: float = TRAFFIC) -> Lines:
    """A line for each of a label's values, which count by their places in the catalogue."""
    (values,) = metric.values.values()
    return merged(*(scaled(number * shares, value) for number, value in enumerate(values, start=1)))


def constant(amount: float, name: str) -> Lines:
    """A line for each cluster that is the same whatever its traffic."""
    return {f"{place} {name}": amount for place in SCALES}


def each_pipeline(amount: float, name: str = "{}") -> Lines:
    return merged(*(constant(amount, name.format(pipeline)) for pipeline in PIPELINES))


def limit(amount: float) -> Lines:
    return {f"{place} limit": amount * count for place, count in COUNTS.items()}


def each_instance(name: str, amount: float) -> Lines:
    return {f"{named(instance)}{name}": amount for instance in ALIVE}


def named(instance: Instance) -> str:
    return f"{instance.cluster} {instance.labels['namespace']} {instance.job} {instance.address}"


def judged(value: float, name: str = "") -> Lines:
    """A recorded ratio of the job that has rules and traffic."""
    return {f"eu prod recoup{name}": value}


def judged_pipelines(value: float, name: str = "") -> Lines:
    return merged(*(judged(value, f" {pipeline}{name}") for pipeline in PIPELINES))


def merged(*lines: Mapping[str, float]) -> Lines:
    return {name: value for some in lines for name, value in some.items()}


def counted(outcome: str, share: float = TRAFFIC) -> Lines:
    return {
        f"{cluster} prod": share * sum(instance.outcomes[outcome] for instance in there)
        for cluster, there in PLACES.items()
    }


def lookups(outcome: str, name: str, share: float = TRAFFIC) -> Lines:
    return {f"{place} {name}": rate for place, rate in counted(outcome, share).items()}


def quantile(share: float, spread: Mapping[float, float], bounds: tuple[float, ...]) -> float:
    """Where a share of what lies evenly within each bucket is reached."""
    below, lower = 0.0, 0.0
    for bound in bounds:
        inside = spread.get(bound, 0)
        if inside and below + inside >= share:
            return lower + (bound - lower) * (share - below) / inside
        below, lower = below + inside, bound
    return inf


def quantiles(metric: Metric, spread: str, name: str, *percents: int) -> dict[str, float]:
    """Names with their percentile, such as `hit p99`."""
    return {f"{name}p{percent}": quantile(percent / 100, SPREAD[spread], metric.buckets) for percent in percents}


def anywhere(of: Mapping[str, float]) -> Lines:
    return merged(*(constant(value, name) for name, value in of.items()))


def ages(metric: Metric, name: str) -> Lines:
    return anywhere(quantiles(metric, metric.name, f"{name} ", 50, 90))


def latencies(outcome: str) -> Lines:
    return anywhere(quantiles(catalogue.REQUEST_DURATION, outcome, f"{outcome} ", 99, 95, 50))


def recorded_only(lines: Lines) -> Lines:
    """Those of the cluster whose Prometheus has rules."""
    return {name: value for name, value in lines.items() if name.startswith("eu ")}


def of_pipelines(metric: Metric, *percents: int) -> Lines:
    return merged(*(anywhere(quantiles(metric, metric.name, f"{pipeline} ", *percents)) for pipeline in PIPELINES))


def of_locust(amount: float, name: str) -> Lines:
    """The second cluster's load test does twice as much as the first's."""
    return {f"eu load {name}": amount, f"us load {name}": 2 * amount}


def response_times() -> Lines:
    return {
        f"{cluster} load {outcome} typical {name}": value
        for cluster in PLACES
        for outcome in ("hit", "miss")
        for name, value in quantiles(RESPONSE_DURATION, outcome, "", 99, 95, 50).items()
    }


def outcome_sum(outcome: str, of: list[Instance]) -> float:
    return sum(instance.outcomes[outcome] for instance in of)


HITS = outcome_sum("hit", JUDGED) + outcome_sum("stale", JUDGED)
LOOKUPS = sum(outcome_sum(outcome, JUDGED) for outcome in OUTCOMES)
HIT_RATIO = HITS / (LOOKUPS - outcome_sum("bypass", JUDGED))
SPEEDUP = (SPENT["miss"] + RECOUPED) / sum(seconds for outcome, seconds in WAITED.items() if outcome != "bypass")
#: Bypasses by reason count 1, 2, 3 ...; the third is `disabled`.
BYPASSED = sum(number for number in (1, 2, 4, 5)) * sum(instance.scale for instance in JUDGED) / LOOKUPS
ERRORS = {error: number for number, error in enumerate(catalogue.GENERATION_FAILURES.values["error"], start=1)}
BLAMED = sum(ERRORS[error] for error in ("error", "worker_died", "upstream", "timeout"))
FAILED = BLAMED / (BLAMED + OBSERVED)
#: Probes are no requests.
REFUSED = STATUSES["503"] / sum(STATUSES.values())
EVICTED = sum(range(1, 1 + len(catalogue.EVICTIONS.values["cause"])))
SERVER_ERRORS = {status: rate for status, rate in STATUSES.items() if status >= "500"}
HELD, ENTRIES = 1e6, 100
PARTS = {part: 1000.0 * number for number, part in enumerate(catalogue.IN_FLIGHT.values["part"], start=1)}

EXPECTED: dict[tuple[str, str], Lines] = {
    ("overview", "Hit ratio by pipeline"): judged_pipelines(HIT_RATIO),
    ("overview", "Speed-up by pipeline"): merged(
        judged_pipelines(SPEEDUP), judged_pipelines(1 / (1 - HIT_RATIO), " at most")
    ),
    ("overview", "Requests by outcome"): merged(*(lookups(outcome, outcome) for outcome in OUTCOMES)),
    ("overview", "Latency by outcome"): recorded_only(merged(*map(latencies, OUTCOMES))),
    ("overview", "Memory against its limit"): merged(of_all(HELD, "held"), limit(5e7)),
    ("overview", "Entries against their limit"): merged(of_all(ENTRIES, "held"), limit(2000)),
    ("overview", "Failed requests"): merged(*(scaled(rate, status) for status, rate in SERVER_ERRORS.items())),
    ("overview", "Slow hits"): judged_pipelines(0.1),
    ("misses", "Misses by reason"): by_value(catalogue.MISSES),
    ("misses", "Misses by pipeline"): by_pipeline(sum(range(1, 7))),
    ("misses", "Hit ratio by instance"): {
        named(instance): (instance.hits + instance.scale) / (sum(instance.outcomes.values()) - 5 * instance.scale)
        for instance in JUDGED
    },
    ("misses", "Evictions by cause"): by_value(catalogue.EVICTIONS),
    ("misses", "Age at eviction"): of_pipelines(catalogue.EVICTION_AGE, 50, 90),
    ("misses", "Misses after eviction by pipeline"): by_pipeline(3),
    ("misses", "Regret"): judged_pipelines(REGRETTED / SPENT["miss"]),
    ("misses", "Regretted per hour"): by_pipeline(3600 * REGRETTED),
    ("misses", "Unused evictions"): by_pipeline(1),
    # Over a day, in which a job lived that is dead now.
    ("misses", "Share of evictions unused"): merged(
        judged_pipelines(1 / EVICTED), {f"eu prod renders {pipeline}": 1 / EVICTED for pipeline in PIPELINES}
    ),
    ("misses", "Invalidations by cause"): by_value(catalogue.INVALIDATIONS),
    ("misses", "Bypasses by reason"): by_value(catalogue.BYPASSES),
    ("misses", "Bypassed lookups"): by_pipeline(5),
    ("misses", "Bypassed share"): judged_pipelines(BYPASSED),
    ("capacity", "Recouped against regretted, per hour"): merged(
        of_all(3600 * RECOUPED, "recouped"), of_all(3600 * REGRETTED, "regretted")
    ),
    ("capacity", "Age at a hit against age at eviction"): merged(
        ages(catalogue.HIT_AGE, "hit"), ages(catalogue.EVICTION_AGE, "evicted"), constant(86400, "ttl")
    ),
    ("capacity", "Memory by pipeline"): merged(by_pipeline(HELD), of_all(HELD, "all pipelines"), limit(5e7)),
    ("capacity", "Entries by pipeline"): merged(by_pipeline(ENTRIES), of_all(ENTRIES, "all pipelines"), limit(2000)),
    ("capacity", "Share of the limits in use"): {
        f"{named(instance)} {what}": TRAFFIC * instance.scale * share
        for instance in PLACES["eu"]
        for what, share in (("memory", HELD / 5e7), ("entries", ENTRIES / 2000))
    },
    ("capacity", "Entry size by pipeline"): of_pipelines(catalogue.ENTRY_SIZE, 50, 90),
    ("overview", "Recouped today"): {
        name: sum(i.scale * (i.last - BEGIN) for i in INSTANCES if name == f"{i.cluster} prod {i.job}")
        * RECOUPED
        * TRAFFIC
        for name in {f"{i.cluster} prod {i.job}" for i in INSTANCES}
    },
    # Two clusters are chosen: a heat map would add them.
    ("capacity", "Entry sizes"): {},
    ("generation", "Spread of generation times"): {},
    ("generation", "Generations"): by_pipeline(OBSERVED),
    ("generation", "Failures by error"): by_value(catalogue.GENERATION_FAILURES),
    ("generation", "Failed generations"): judged_pipelines(FAILED),
    ("generation", "Generation time"): of_pipelines(catalogue.GENERATION_DURATION, 50, 95, 99),
    ("generation", "In progress"): by_pipeline(2),
    ("generation", "Waiting"): by_pipeline(3),
    ("generation", "Coalesced"): by_pipeline(1),
    ("generation", "Answers 502, 503 and 504"): merged(
        scaled(STATUSES["502"], "502 generator failed"),
        scaled(STATUSES["503"], "503 no room"),
        scaled(STATUSES["504"], "504 too late"),
    ),
    ("generation", "Refused requests"): judged(REFUSED),
    ("generation", "Internal errors"): by_value(catalogue.INTERNAL_ERRORS, 1),
    ("load-test", "Hit ratio"): judged(HIT_RATIO),
    ("load-test", "Speed-up"): judged(SPEEDUP),
    ("load-test", "Slow hits"): judged(0.1),
    ("load-test", "Failed requests"): scaled(sum(SERVER_ERRORS.values()), "failed"),
    ("load-test", "Load offered and answered"): merged(
        of_locust(1, "offered"),
        of_locust(2, "ended"),
        {f"{place} lookups": sum(counted(outcome)[place] for outcome in OUTCOMES) for place in SCALES},
    ),
    ("load-test", "Users"): of_locust(1, "users"),
    ("load-test", "Failures as Locust saw them"): of_locust(1, "typical"),
    ("load-test", "Lookups by outcome"): merged(*(lookups(outcome, outcome) for outcome in OUTCOMES)),
    ("load-test", "Hit latency"): latencies("hit"),
    ("load-test", "Miss latency"): latencies("miss"),
    ("load-test", "Generations in progress and waiting"): merged(of_all(2, "in progress"), of_all(3, "waiting")),
    ("load-test", "Memory against its limit"): merged(of_all(HELD, "held"), limit(5e7)),
    ("load-test", "Processor time"): each_instance("", 0.5),
    ("load-test", "Response times as Locust saw them"): response_times(),
    ("load-test", "Scrapes"): each_instance("", 5),
    ("process", "Processor time"): each_instance("", 0.5),
    ("process", "Memory: accounted and resident"): merged(
        each_instance(" resident", 7e8),
        {f"{named(instance)} accounted": HELD * TRAFFIC * instance.scale for instance in PLACES["eu"]},
    ),
    ("process", "In flight"): merged(
        {f"{named(i)} {part}": amount * i.scale for i in ALIVE for part, amount in PARTS.items()},
        each_instance(" limit", 1e9),
    ),
    ("process", "Log lines dropped"): {named(instance): instance.scale for instance in ALIVE},
    ("process", "Threads"): each_instance("", 9),
    ("process", "File descriptors"): merged(each_instance(" open", 20), each_instance(" limit", 1024)),
    ("process", "Garbage collections"): merged(
        *(each_instance(f" generation {generation}", generation + 1) for generation in range(3))
    ),
    ("process", "Objects that garbage collection freed"): each_instance("", 8),
}

DOWN, IDLE, UNRULED = ("no instance up", "red"), ("no traffic", "blue"), ("no rules loaded", "orange")
Said = tuple[str, str]


def every_job(recoup: tuple[Said, Said], without_traffic: Said, renders: tuple[Said, Said]) -> dict[str, Said]:
    """What a tile says of each job: of both that have traffic, of both that have none, of both that are gone."""
    return {
        "eu prod recoup": recoup[0],
        "us prod recoup": recoup[1],
        "eu prod quiet": without_traffic,
        "eu prod smaller": without_traffic,
        "eu prod renders": renders[0],
        "us prod renders": renders[1],
    }


#: Requests that were answered 500, 502, 503, and what took too long, within five minutes; for a scale of 1.
_ERRORS = 300 * (1 + 2 + 3 + ERRORS["timeout"] * TRAFFIC)

FIGURES: dict[tuple[str, str], dict[str, Said]] = {
    ("overview", "Instances scraped"): every_job((("2", "red"), ("2", "green")), ("1", "green"), (("0", "red"),) * 2)
    | {"eu prod smaller": ("1", "yellow")},
    ("overview", "Hit ratio"): every_job((("50.0%", "red"), UNRULED), IDLE, (DOWN, DOWN)),
    ("overview", "Speed-up"): every_job((("1.6x", "red"), UNRULED), IDLE, (DOWN, DOWN)),
    ("overview", "Errors"): every_job(
        ((f"{3 * _ERRORS:.0f}", "red"), (f"{7 * _ERRORS:.0f}", "red")), ("0", "green"), (DOWN, DOWN)
    ),
    ("overview", "Alerts firing"): every_job((("2", "red"), UNRULED), ("0", "green"), (("1", "red"), DOWN))
    | {"eu prod smaller": ("no alerts loaded", "orange")},
    ("overview", "Recouped per hour"): every_job(
        (
            (f"{3 * 3600 * RECOUPED * TRAFFIC / 86400:.3g} days", "blue"),
            (f"{7 * 3600 * RECOUPED * TRAFFIC / 86400:.3g} days", "blue"),
        ),
        ("0 s", "blue"),
        (DOWN, DOWN),
    ),
    ("overview", "Instances with the cache off"): every_job(
        (("1", "red"), ("0", "green")), ("0", "green"), (DOWN, DOWN)
    ),
    ("process", "Instances not reached"): every_job(
        (("1", "red"), ("0", "green")), ("0", "green"), (("1", "red"), DOWN)
    ),
}
FIGURES["process", "Instances scraped"] = FIGURES["overview", "Instances scraped"]
