"""The workload: from its settings to the phases that a run plays. Nothing here sends anything, or looks at a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from loadtest import journal, theory
from loadtest.actions import is_fault, settle
from loadtest.plan import Phase
from loadtest.scenarios import audit, behaviour, faults, usage
from loadtest.settings import DEFAULT_NAMES, NAMES, Settings, scenarios

__all__ = [
    "DEFAULT_NAMES",
    "NAMES",
    "SCENARIOS",
    "Scenario",
    "Settings",
    "expected_hit_ratio",
    "is_steady",
    "needs_owner",
    "phases",
    "scenarios",
]


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        description: What it does.
        expectation: What is expected of the service.
        phases: Its phases, for given settings.
    """

    description: str
    expectation: str
    phases: Callable[[Settings], tuple[Phase, ...]]


#: By name, in the order of a run.
SCENARIOS: Mapping[str, Scenario] = {
    "single": Scenario(
        "Distinct requests.",
        "No gain, and no loss: a miss costs less than 2 % more than its generation.",
        usage.single,
    ),
    "duplicate": Scenario("One request again and again.", "One miss, and hits in milliseconds.", usage.duplicate),
    "pair": Scenario("Batches of two equal requests.", "50 % hits, about 2x.", usage.pair),
    "triple": Scenario("Batches of three equal requests.", "66.7 % hits, about 3x.", usage.triple),
    "typical": Scenario(
        "Zipf's popularity over a catalogue that is larger than the cache.",
        "66.7 to 72 % hits in the steady state, within two points of theory; exact counts, order and memory; a mean "
        "speed-up of at least 80 % of its limit, 1 / (1 - hit ratio).",
        usage.typical_usage,
    ),
    "typical-remote": Scenario(
        "The same popularity and thirty users, before an upstream that the run starts: half a second in the mean.",
        "Hits within a point of theory; a mean speed-up of at least 3x and 95 % of its limit.",
        usage.typical_remote,
    ),
    "stampede": Scenario(
        "Hundreds of callers of one cold key at once, key after key.",
        "One generation for each key; nobody fails.",
        behaviour.stampede,
    ),
    "churn": Scenario(
        "Popular traffic that the cache holds whole, with a scan through cold keys in between.",
        "The hit ratio falls and recovers; the miss reasons say why: cold, then evicted.",
        behaviour.churn,
    ),
    "saturation": Scenario(
        "More distinct requests than the generator can do, beside some that are held.",
        "Hits stay fast; the others are generated or get 503 with Retry-After; recovery at once.",
        behaviour.saturation,
    ),
    "management": Scenario(
        "Typical traffic while the cache is listed, resized, cleared, switched off and on.",
        "No failure; counts stay exact.",
        behaviour.management,
    ),
    "soak": Scenario("Typical usage for as long as one says.", "Flat memory, flat latency.", usage.soak),
    "kill-worker": Scenario(
        "A generation worker is killed under load.",
        "What it generated fails with 502, nothing else; another one takes over.",
        faults.kill_worker,
    ),
    "prometheus-restart": Scenario(
        "Prometheus is away for a while.",
        "No failure; the counters go on, and what Prometheus lacks is said.",
        faults.prometheus_restart,
    ),
    "terminate": Scenario(
        "The service is stopped under load, and started again.",
        "What it has begun it answers whole, the rest it refuses with 503; it serves again.",
        faults.terminate,
    ),
    "garbage": Scenario(
        "Requests that cannot be served, between good ones.",
        "Each is refused with the contract's status; the good ones are answered.",
        faults.garbage,
    ),
    "shrink": Scenario(
        "The memory limit shrinks to a tenth of what is held, and is restored.",
        "No failure; the hit ratio falls and recovers.",
        faults.shrink,
    ),
    "audit": Scenario(
        "One request after another, each of whose answers is known beforehand, before a generator that counts.",
        "Every body, header, outcome, reason and count as expected, without one exception.",
        audit.audit,
    ),
}


def phases(settings: Settings) -> tuple[Phase, ...]:
    """The phases of all scenarios that the settings name, one after another."""
    planned: list[Phase] = []
    for name in (name for name in NAMES if name in settings.scenarios):
        for phase in SCENARIOS[name].phases(settings):
            after_steady = bool(planned) and is_steady(planned[-1])
            planned.append(replace(phase, before=(settle(), *phase.before)) if after_steady else phase)
    return tuple(planned)


def needs_owner(phases: Iterable[Phase]) -> tuple[str, ...]:
    """The scenarios among phases that need processes of the run's own: to bring about a fault, or an upstream."""
    needing = (
        phase
        for phase in phases
        if phase.scenario in (usage.REMOTE, audit.SCENARIO) or any(map(is_fault, phase.actions))
    )
    return tuple(dict.fromkeys(phase.scenario for phase in needing))


def is_steady(phase: Phase | journal.Phase) -> bool:
    """Whether it is the steady state that the panels are asked for: Prometheus scrapes before and after it."""
    return phase.part == "cached" and phase.scenario in ("typical", usage.REMOTE, "soak")


def expected_hit_ratio(settings: Settings) -> float:
    """The hit ratio of typical usage in its steady state, by Che's approximation."""
    return theory.che(theory.zipf(settings.catalogue, settings.alpha), settings.cache_entries)
