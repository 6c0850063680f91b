"""The ways in which a run, or what Prometheus shows of it, is broken, and the checks that have to notice."""

from __future__ import annotations

import math
from dataclasses import replace

from loadtest.journal import Action
from loadtest.service import UPSTREAM_REQUESTS

from .breaking import (
    ANSWERS,
    BY_MEMORY,
    COLD,
    ENTRIES,
    GENERATIONS,
    HIT_RATIO,
    INTERNAL,
    LOCUST,
    MADE,
    MEMORY_SHOWN,
    NO_PROMETHEUS,
    NO_WINDOW,
    OK_STATUS,
    OUTCOMES,
    REASONS,
    REMOTE,
    REPLAYED,
    REQUESTS,
    RESIDENT,
    SLOW,
    SPEEDUP,
    Break,
    Failed,
    account,
    asked,
    asked_requests,
    by,
    counted,
    duration,
    first_of,
    lookups,
    more,
    never_asked,
    nothing,
    of,
    one_hit_in,
    one_later,
    phase,
    requests,
    reversed_order,
    said,
    settings,
    shows,
    slower,
    source,
    steady,
    through,
    together,
    unscraped,
    without,
)
from .recorded import BEGIN, ENTRY_BYTES, LIMIT_BYTES, P99

BROKEN: dict[str, tuple[Failed, Break]] = {
    # The run
    "broke off": ({("run", "The run")}, lambda world: replace(world, run=replace(world.run, end=None))),
    "an answer that is not allowed": (
        {("run", "Failures")},
        together(
            requests("typical cached", said(allowed=False)),
            phase("typical cached", lambda found: replace(found, locust_failures=1)),
        ),
    ),
    "an action failed": (
        {("run", "Actions beside the requests"), ("management", "Operations under load")},
        phase(
            "management cached",
            lambda found: replace(found, actions=(Action(found.begin + 1, 0.1, "Clear", "no answer"),)),
        ),
    ),
    "Locust counts one more": (
        {LOCUST},
        phase("pair cached", lambda found: replace(found, locust_requests=found.locust_requests + 1)),
    ),
    "Locust counts a failure": ({LOCUST}, phase("pair cached", lambda found: replace(found, locust_failures=1))),
    "the service counts a request more": ({REQUESTS}, counted("pair cached", OK_STATUS, more(1))),
    "the service's hits lie by 3 %": (
        {OUTCOMES},
        counted("triple cached", lookups("hit"), lambda hits: round(1.03 * hits)),
    ),
    "the service counts a bypass more": ({OUTCOMES}, counted("pair cached", lookups("bypass"), more(1))),
    "the service counts a miss reason more": ({REASONS}, counted("pair cached", COLD, more(1))),
    "the service counts a generation less": ({MADE}, counted("pair cached", GENERATIONS, more(-1))),
    "a body that differs": ({("run", "One body for each item")}, requests("pair cached", said(digest="0"))),
    "an empty body": (
        {("run", "One body for each item")},
        requests("single cached", said(digest="", bytes=0), lambda request: True),
    ),
    "a failure inside": ({("run", "Failures inside the service")}, counted("churn scan", INTERNAL, more(1))),
    "a gap": ({("run", "Scrapes without a gap")}, unscraped("typical warm")),
    "never scraped": (
        {("run", "Scrapes without a gap"), ("prometheus-restart", "Scraped again")},
        source(unscraped=((0.0, math.inf),)),
    ),
    "too little traffic": ({("typical", "Traffic")}, asked_requests("typical", 10_000)),
    "counters that cannot be had": (
        {REQUESTS, OUTCOMES, REASONS, MADE, ("single", "Overhead of a miss")},
        phase("single cached", lambda found: replace(found, after=None)),
    ),
    # Single, duplicate, pairs
    "no phase without the cache": ({("duplicate", "Gain")}, without("duplicate without")),
    # Those before it are of workers that begin, and no measure.
    "nothing measured past the cache": (
        {LOCUST, REQUESTS, OUTCOMES, MADE, ("single", "Gain")},
        phase("single cached", lambda found: replace(found, requests=tuple(filter(through, found.requests)))),
    ),
    "a loss": ({("single", "Gain")}, requests("single cached", slower(1.3), of("miss"))),
    "a gain of nothing": ({("single", "Gain")}, requests("single cached", slower(1.3), of("bypass"))),
    "a costly miss": ({("single", "Overhead of a miss")}, counted("single cached", duration("miss"), by(1.05))),
    "generations that were shorter": (
        {("single", "Overhead of a miss")},
        requests("single cached", said(generation_seconds=0.095), of("miss")),
    ),
    "no generation times": (
        {("single", "Overhead of a miss")},
        requests("single cached", said(generation_seconds=None), of("miss")),
    ),
    "no time of any miss": (
        {("single", "Overhead of a miss")},
        counted("single cached", duration("miss", "count"), by(0)),
    ),
    "a single hit": (
        {OUTCOMES, REASONS, MADE, ("single", "Hit ratio")},
        requests("single cached", said(outcome="hit"), first_of("miss")),
    ),
    "a second miss": (
        {OUTCOMES, MADE, REASONS, ("duplicate", "Hits")},
        requests("duplicate cached", said(outcome="miss", reason="cold"), 5),
    ),
    "slow hits by the service": (
        {("duplicate", "A hit, as the service measures it")},
        counted("duplicate cached", duration("hit"), by(40)),
    ),
    "slow hits to clients": (
        {("duplicate", "A hit, as clients see it")},
        requests("duplicate cached", slower(20), of("hit")),
    ),
    "a pair that waits": (
        {OUTCOMES, ("pair", "Hit ratio")},
        requests("pair cached", said(outcome="coalesced"), first_of("hit")),
    ),
    "no gain of two": ({("pair", "Gain")}, requests("pair cached", slower(0.8), of("bypass"))),
    "no gain of three": ({("triple", "Gain")}, requests("triple cached", slower(1.3), through)),
    # Typical usage
    "no steady state": ({("typical", "Steady state")}, without("typical cached")),
    "no typical usage past the cache": (
        {LOCUST, REQUESTS, OUTCOMES, MADE, ("typical", "Steady state")},
        together(
            without("typical without"),
            phase("typical warm", lambda found: replace(found, requests=tuple(filter(through, found.requests)))),
        ),
    ),
    "a panel below two thirds": (steady("typical"), shows(HIT_RATIO, "typical cached", 0.6)),
    "a panel above 72 %": (
        steady("typical"),
        shows(HIT_RATIO, "typical cached", 0.75),
    ),
    "an empty panel": (steady("typical"), shows(HIT_RATIO, "typical cached", nothing)),
    "a panel of NaN": (steady("typical"), shows(HIT_RATIO, "typical cached", math.nan)),
    "a slow panel": (
        {("typical", "Speed-up, the service's way")},
        shows(SPEEDUP, "typical cached", 2.5),
    ),
    "no speed-up": (
        {("typical", "Speed-up, the service's way")},
        shows(SPEEDUP, "typical cached", nothing),
    ),
    "a slow cache": (
        {("typical", "Speed-up, the clients' way"), ("typical", "Speed-up, the service's way")},
        asked(speedup_limit_share_min=1.2),
    ),
    # Typical usage before a generator elsewhere
    "no remote steady state": ({(REMOTE, "Steady state"), (REMOTE, "Traffic")}, without(f"{REMOTE} cached")),
    "a remote cache below three times": (
        {(REMOTE, "Speed-up, the clients' way"), (REMOTE, "Speed-up, the service's way")},
        asked(remote_speedup_min=9.0),
    ),
    "a remote cache below its limit": (
        {(REMOTE, "Speed-up, the clients' way"), (REMOTE, "Speed-up, the service's way")},
        asked(remote_limit_share_min=1.0),
    ),
    "a remote panel that flatters": (
        {(REMOTE, "Speed-up: clients and service agree")},
        shows(SPEEDUP, f"{REMOTE} cached", 8.0),
    ),
    "a remote panel below two thirds": (steady(REMOTE), shows(HIT_RATIO, f"{REMOTE} cached", 0.6)),
    "a remote hit ratio that theory does not know": (
        {(REMOTE, "Hit ratio against Che's approximation")},
        asked(remote_theory_tolerance=0.0),
    ),
    "a remote load that was not achieved": (
        {(REMOTE, "Achieved, of what was due")},
        asked(remote_achieved_min=1.1),
    ),
    "a generation that the upstream did not see": (
        {(REMOTE, "Generations, by the upstream's own count")},
        counted(f"{REMOTE} cached", UPSTREAM_REQUESTS, more(-1)),
    ),
    "another popularity": (
        {(scenario, "Hit ratio against Che's approximation") for scenario in ("typical", REMOTE, "soak")},
        settings(alpha=1.2),
    ),
    "a machine that was faster before": (
        {("typical", "Speed-up, the clients' way")},
        requests("typical warm", slower(0.3), of("bypass")),
    ),
    "a machine that was faster afterwards": (
        {("typical", "Speed-up, the clients' way")},
        requests("typical without", slower(0.3), of("bypass")),
    ),
    "hits of what was never asked for": (
        {("typical", REPLAYED), ("typical", ANSWERS)},
        requests("typical cached", never_asked, one_hit_in(20)),
    ),
    "a few of them": ({("typical", REPLAYED)}, requests("typical cached", never_asked, one_hit_in(100))),
    "answers in another order": ({("typical", ANSWERS)}, phase("typical cached", one_later)),
    "no warm phase": ({("typical", REPLAYED), ("typical", ANSWERS)}, without("typical warm")),
    # In typical usage it hits about as often as an LRU.
    "a cache that keeps what it once held": (
        {
            ("typical", ANSWERS),
            ("churn", "The scan pushes popular keys out"),
            ("churn", "Reasons of the misses"),
            ("soak", "Hit ratio against Che's approximation"),
            ("soak", REPLAYED),
            ("soak", ANSWERS),
        },
        lambda world: reversed_order(),
    ),
    "a slow Locust": ({("typical", "Achieved, of what the users could send")}, settings(users=3)),
    "a failed request in the panel": (
        {("typical", "Failed requests")},
        shows("recoup_http_requests_total", "typical cached", 0.2),
    ),
    "slow hits in the panel": ({("typical", "Slow hits")}, shows(SLOW, "typical cached", 0.02)),
    "memory that is not accounted for": (
        {("typical", "Memory overhead")},
        counted("typical cached", RESIDENT, more(2e7)),
    ),
    "memory that the panel sees": ({MEMORY_SHOWN}, shows(RESIDENT, "typical cached", lambda at: 2.6e8)),
    "too little memory to tell": ({MEMORY_SHOWN, ("typical", "Memory overhead")}, asked(memory_growth_min=1e12)),
    # Prometheus
    "too short a steady state": (NO_WINDOW, source(window="5m")),
    "no recorded rules": (NO_WINDOW, source(window=None)),
    "no Prometheus": (NO_PROMETHEUS, source(down=True)),
    # Stress
    "a generation too many": (
        {MADE, ("stampede", "Generations")},
        counted("stampede cached", GENERATIONS, more(1)),
    ),
    "a caller who hits at once": (
        {OUTCOMES, MADE, REASONS, ("stampede", "Callers")},
        requests("stampede cached", said(outcome="hit", reason=None), first_of("miss")),
    ),
    "a scan without effect": ({("churn", "The scan pushes popular keys out")}, asked(churn_fall_min=1.1)),
    "no recovery after the scan": ({("churn", "They come back")}, asked(churn_recovery_min=1.1)),
    "a key that is missed twice": (
        {OUTCOMES, MADE, REASONS, ("churn", "Missed twice in the calm")},
        requests("churn after", said(outcome="miss", reason="evicted"), lambda request: request.item == "churn-99"),
    ),
    "a wrong reason": (
        {REASONS, ("churn", "Reasons of the misses")},
        requests("churn scan", said(reason="expired"), first_of("miss")),
    ),
    "nobody refused": (
        {REQUESTS, ("saturation", "Refused for want of room"), ("saturation", "Refusals that say when to come again")},
        requests("saturation flood", said(status=0), lambda request: request.status == 503),
    ),
    "no word when to come again": (
        {("saturation", "Refusals that say when to come again")},
        requests("saturation flood", said(retry_after=None), lambda request: request.status == 503),
    ),
    "slow hits in the flood": (
        {("saturation", "Hits during the flood, 99th percentile")},
        shows(P99, "saturation flood", 0.2),
    ),
    "no hits in the flood": (
        {OUTCOMES, ("saturation", "Hits during the flood")},
        requests("saturation flood", said(outcome="stale"), of("hit")),
    ),
    "failures after the flood": (
        {REQUESTS, ("saturation", "Requests afterwards")},
        requests("saturation recovery", said(status=503), 3),
    ),
    "no operations": (
        {REQUESTS, ("management", "Operations under load")},
        phase(
            "management cached",
            lambda found: replace(
                found,
                actions=(),
                requests=tuple(request for request in found.requests if request.kind == "generate"),
                locust_requests=200,
            ),
        ),
    ),
    "a soak that slows down": (
        {("soak", "Growth of response times")},
        phase(
            "soak cached",
            lambda found: replace(
                found,
                requests=tuple(
                    slower(1.2)(request) if request.outcome == "miss" and request.at > found.begin + 16 else request
                    for request in found.requests
                ),
            ),
        ),
    ),
    "a soak that grows": (
        {("soak", "Growth of memory beyond the entries")},
        shows(RESIDENT, "soak cached", lambda at: 1e8 * 1.01 ** (at - BEGIN)),
    ),
    # Faults
    "no fault": ({("kill-worker", "The fault")}, without("kill-worker fault")),
    "a worker that was not killed": (
        {("kill-worker", "A worker is killed")},
        phase("kill-worker fault", lambda found: replace(found, actions=())),
    ),
    "a Prometheus that went on": (
        {("prometheus-restart", "Prometheus is stopped"), ("prometheus-restart", "Prometheus is started again")},
        phase("prometheus-restart fault", lambda found: replace(found, actions=())),
    ),
    "a service that was not told to end": (
        {("terminate", "The service is told to end"), ("terminate", "Requests that had begun")},
        phase("terminate fault", lambda found: replace(found, actions=())),
    ),
    "a limit that was not touched": (
        {
            ("shrink", "The memory limit is lowered"),
            ("shrink", "The memory limit is restored"),
            ("shrink", "Memory held under the lowered limit"),
            ("shrink", "Hit ratio rises again"),
        },
        phase("shrink fault", lambda found: replace(found, actions=())),
    ),
    "more died with the worker": (
        {REQUESTS, ("kill-worker", "Requests that failed with it")},
        requests("kill-worker fault", said(status=502), 3),
    ),
    "no recovery in time": (
        {
            (scenario, name)
            for scenario, name in (
                ("saturation", "Recovery"),
                ("kill-worker", "Recovery"),
                ("prometheus-restart", "Scraped again"),
                ("terminate", "Recovery"),
            )
        },
        asked(recovery_seconds_max=0.0),
    ),
    "counters that fell": (
        {OUTCOMES, ("prometheus-restart", "Counters survive")},
        together(counted("prometheus-restart recovery", lookups("hit"), lambda grown: -1e5)),
    ),
    "a broken answer": (
        {("terminate", "Requests that had begun")},
        requests("terminate fault", said(status=0, error="100 of 1100000 bytes came"), 3),
    ),
    "a broken answer meanwhile": (
        {("run", "Failures"), LOCUST, ("terminate", "Requests that came later")},
        requests(
            "terminate fault", said(allowed=False, error="5 of 9 bytes came"), lambda request: request.status == 0
        ),
    ),
    "a last word that differs": (
        {("terminate", "The service's count at its end")},
        account(lambda told: {**told, "hit": told["hit"] + 1}),
    ),
    "no last word": ({("terminate", "The service's count at its end")}, account(lambda told: None)),
    "garbage that is taken": (
        {REQUESTS, ("garbage", "Garbage refused as the contract says")},
        requests("garbage fault", said(status=200), lambda request: request.kind == "garbage"),
    ),
    "garbage that is kept": ({("garbage", "Entries")}, counted("garbage fault", ENTRIES, more(1))),
    "a slow sender who is not let go": (
        {("garbage", "Slow senders and callers who leave"), ("run", "Failures"), LOCUST},
        requests("garbage slow", said(status=0, allowed=False), lambda request: request.status == 408),
    ),
    "a request beside slow ones that suffers": (
        {REQUESTS, ("garbage", "Good requests beside slow ones")},
        requests("garbage slow", said(status=503), 3),
    ),
    "no slow callers": ({("garbage", "Slow senders and callers who leave")}, without("garbage slow")),
    "a good request that suffers": (
        {REQUESTS, ("garbage", "Good requests in between")},
        requests("garbage fault", said(status=422), 3),
    ),
    "no eviction by memory": ({("shrink", "Evictions by memory")}, counted("shrink fault", BY_MEMORY, by(0))),
    "more held than allowed": (
        {("shrink", "Memory held under the lowered limit")},
        shows("sum by (cluster, namespace) (recoup_memory_bytes", "shrink fault", 100 * ENTRY_BYTES),
    ),
    "a limit that stays low": (
        {("shrink", "Memory held afterwards")},
        counted("shrink recovery", "recoup_memory_limit_bytes", more(-LIMIT_BYTES / 2)),
    ),
    "a hit ratio that stays low": ({("shrink", "Hit ratio rises again")}, asked(shrink_recovery_min=1.1)),
}
