"""A run that went well, as a journal would have it, and a Prometheus that saw it: what the tests then break.

The cache is the simulated LRU, a generation takes a tenth of a second, a hit a thousandth; all counts are counted from
the requests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

from loadtest import theory
from loadtest.journal import Action, Phase, Request, Run
from loadtest.prometheus import WINDOW_RULE, Prometheus, QueryError
from loadtest.service import UPSTREAM_REQUESTS
from loadtest.settings import NAMES, Settings, remote

BEGIN = 1_800_000_000.0
GENERATION, OVERHEAD, HIT = 0.1, 0.0005, 0.001
ENTRY_BYTES = 1_100_000
RESIDENT_BYTES = 120_000_000
LIMIT_BYTES = 512 * 2**20
WINDOW = 20.0
OUTCOMES = ("hit", "stale", "coalesced", "miss", "bypass")
GENERATE = "/api/generate/<pipeline>"
#: All but those that `audited` and `chatted` have.
PLAYED = tuple(name for name in NAMES if name not in ("audit", "chat"))
SETTINGS = Settings(users=2, catalogue=500, alpha=1.049, duration_seconds=24.0, scenarios=PLAYED, callers=50)

Counters = dict[str, float]
#: What is asked for, and what comes of it; None: what the cache makes of it.
Asked = tuple[str, "str | None"]


@dataclass
class Recording:
    """A run that is being made up.

    Attributes:
        most_entries: The cache's limit.
        pipeline: What is asked.
        reverses: What has to make room is what was used last, so that the cache keeps what it once held for ever.
    """

    counters: Counters = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    now: float = BEGIN
    entries: dict[str, None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    reverses: bool = False
    most_entries: int = SETTINGS.cache_entries
    pipeline: str = "relief"

    def __post_init__(self) -> None:
        self.add("process_start_time_seconds", BEGIN - 10)
        self.add("recoup_memory_limit_bytes", LIMIT_BYTES)
        self.add('recoup_internal_errors_total{part="lookup"}', 0)
        self._hold()

    def add(self, name: str, value: float) -> None:
        self.counters[name] = self.counters.get(name, 0.0) + value

    def _hold(self) -> None:
        held = len(self.entries) * ENTRY_BYTES
        self.counters['recoup_memory_bytes{pipeline="relief"}'] = held
        self.counters['recoup_entries{pipeline="relief"}'] = len(self.entries)
        self.counters["process_resident_memory_bytes"] = RESIDENT_BYTES + 1.05 * held

    def request(self, at: float, item: str, outcome: str | None = None, **more: Any) -> Request:
        """One request: what the cache makes of it, unless it is said; counted."""
        status, kind = more.pop("status", 200), more.pop("kind", "generate")
        reason = None
        if kind == "generate" and status == 200:
            outcome = outcome or ("hit" if item in self.entries else "miss")
            reason = self._reason(item) if outcome == "miss" else None
            self._count(item, outcome, reason)
        seconds = HIT if outcome == "hit" or outcome is None else GENERATION + OVERHEAD + HIT
        route = GENERATE if kind == "generate" else "/api/cache/config"
        if status:
            self.add(f'recoup_http_requests_total{{method="POST",route="{route}",status="{status}"}}', 1)
        good = status == 200
        made = {"bytes": ENTRY_BYTES if good else 90, "digest": f"{hash(item) & 0xFFFFFFFF:08x}"}
        made["generation_seconds"] = GENERATION if outcome in ("miss", "bypass") else None
        return Request(at, seconds, kind, item, status, outcome, reason, **{**made, **more})

    def _reason(self, item: str) -> str:
        return "evicted" if item in self.seen else "cold"

    def _count(self, item: str, outcome: str, reason: str | None) -> None:
        labels = f'outcome="{outcome}",pipeline="{self.pipeline}"'
        self.add(f"recoup_lookups_total{{{labels}}}", 1)
        self.add(f"recoup_request_duration_seconds_count{{{labels}}}", 1)
        generated = outcome in ("miss", "bypass")
        waited = GENERATION + OVERHEAD if generated or outcome == "coalesced" else HIT / 4
        self.add(f"recoup_request_duration_seconds_sum{{{labels}}}", waited)
        if generated:
            self.add(f'recoup_generation_duration_seconds_count{{pipeline="{self.pipeline}"}}', 1)
            self.add(f'recoup_generation_duration_seconds_sum{{pipeline="{self.pipeline}"}}', GENERATION)
            self.add(UPSTREAM_REQUESTS, self.pipeline == "remote")
        if reason is not None:
            self.add(f'recoup_misses_total{{pipeline="{self.pipeline}",reason="{reason}"}}', 1)
        if outcome in ("miss", "hit"):
            self.entries.pop(item, None)
            self.entries[item] = None
            self.seen.add(item)
            self.limit(self.most_entries, "size")

    def limit(self, entries: int, cause: str) -> None:
        while len(self.entries) > entries:
            self.entries.pop(next(reversed(self.entries) if self.reverses else iter(self.entries)))
            self.add(f'recoup_evictions_total{{cause="{cause}",pipeline="relief"}}', 1)
        self._hold()

    def phase(
        self,
        scenario: str,
        part: str,
        play: Callable[[float], Sequence[Request]],
        actions: Iterable[tuple[float, str]] = (),
        *,
        interrupted: bool = False,
    ) -> Phase:
        """One phase; two scrapes of rest before and after it."""
        begin, before = self.now + 2 * SETTINGS.scrape_seconds, dict(self.counters)
        requests = tuple(play(begin))
        self._hold()
        done = tuple(Action(begin + after, 0.01, name) for after, name in actions)
        last = max(
            [*(request.at + request.seconds for request in requests), *(action.at + action.seconds for action in done)]
        )
        after = None if interrupted else dict(self.counters)
        bad = sum(not request.allowed for request in requests)
        account = self.account() if interrupted else None
        made = Phase(scenario, part, begin, last, before, after, requests, done, len(requests), bad, account)
        self.phases.append(made)
        self.now = last + 2 * SETTINGS.scrape_seconds
        return made

    def paced(self, items: Iterable[str], rate: float) -> Callable[[float], list[Request]]:
        """Items at their pace, by users enough."""

        def played(begin: float) -> list[Request]:
            requests = [self.request(begin + number / rate, item) for number, item in enumerate(items)]
            return sorted(requests, key=lambda request: request.at + request.seconds)

        return played

    def account(self) -> dict[str, int]:
        """The last word of a service: lookups by outcome, over its life."""
        counted = dict.fromkeys(OUTCOMES, 0)
        for name, value in self.counters.items():
            if name.startswith("recoup_lookups_total{"):
                counted[name.split('"')[1]] += round(value)
        return counted

    def clear(self) -> None:
        self.entries.clear()
        self._hold()

    def play(
        self, items: Iterable[str], outcome: str | None = None, users: int = 2
    ) -> Callable[[float], list[Request]]:
        """Items by users who never pause."""
        return self.batches([[(item, outcome)] for item in items], users)

    def batches(self, batches: Iterable[Iterable[Asked]], users: int = 2) -> Callable[[float], list[Request]]:
        """The same in batches, each by one user, one request after another."""

        def played(begin: float) -> list[Request]:
            free, made = [begin] * users, []
            for batch in batches:
                turn = min(range(users), key=free.__getitem__)
                for item, outcome in batch:
                    made.append(self.request(free[turn], item, outcome))
                    free[turn] += made[-1].seconds + 1e-5
            return sorted(made, key=lambda request: request.at + request.seconds)

        return played


def names(scenario: str, count: int) -> list[str]:
    return [f"{scenario}-{number}" for number in range(count)]


def draws(scenario: str) -> Iterable[str]:
    """Typical traffic."""
    weights = theory.zipf(SETTINGS.catalogue, SETTINGS.alpha)
    return random.Random(scenario).choices(names(scenario, SETTINGS.catalogue), weights, k=30_000)


@lru_cache(maxsize=1)
def good_run() -> Run:
    """Every scenario, as it should be."""
    return _played(Recording())


@lru_cache(maxsize=1)
def reversed_run() -> Run:
    """The same on a cache that evicts in the reversed order."""
    return _played(Recording(reverses=True))


def _played(made: Recording) -> Run:
    for scenario in PLAYED:
        made.clear()
        _PLAYS[scenario](made, scenario)
    return Run(SETTINGS.to_mapping(), tuple(made.phases), BEGIN, made.now)


def _by_turns(items: Iterable[str], size: int) -> Iterable[list[Asked]]:
    """Past the cache and through it, one right after the other; which is first changes, too."""
    for number, item in enumerate(items):
        both: list[list[Asked]] = [[(item, "bypass")] * size, [(item, None)] * size]
        yield list(chain.from_iterable(both if number % 2 else reversed(both)))


def _single(made: Recording, scenario: str) -> None:
    items = names(scenario, 48)
    made.phase(scenario, "first", made.play(items[40:], "bypass"))
    made.phase(scenario, "cached", made.batches(_by_turns(items[:40], 1)))


def _duplicate(made: Recording, scenario: str) -> None:
    made.phase(scenario, "without", made.play(names(scenario, 1) * 20, "bypass"))
    made.phase(scenario, "cached", made.play(names(scenario, 1) * 201))


def _batches(made: Recording, scenario: str) -> None:
    size = {"pair": 2, "triple": 3}[scenario]
    made.phase(scenario, "cached", made.batches(_by_turns(names(scenario, 30), size)))


def _typical(made: Recording, scenario: str) -> None:
    sequence = list(draws(scenario))
    warm = theory.LRU[str](SETTINGS.cache_entries)
    for item in sequence[:20_000]:
        warm.ask(item)
    steady = sequence[20_000:]
    past: list[list[Asked]] = [[(item, "bypass")] for item in steady[: SETTINGS.cache_entries]]
    warming: list[list[Asked]] = [[(item, None)] for item in warm.state()]
    by_turns = chain.from_iterable(zip(past, warming, strict=True))
    made.phase(scenario, "warm", made.batches(by_turns if scenario == "typical" else warming))
    made.phase(scenario, "cached", made.play(steady[:1600]))
    if scenario == "typical":
        made.phase(scenario, "without", made.batches(past))


def _typical_remote(made: Recording, scenario: str) -> None:
    chosen = remote(SETTINGS)
    items = names(scenario, chosen.catalogue)
    weights = theory.zipf(chosen.catalogue, chosen.alpha)
    sequence = random.Random("11").choices(items, weights, k=60_000 + 2_000)
    warm = theory.LRU[str](chosen.cache_entries)
    for item in sequence[:60_000]:
        warm.ask(item)
    made.most_entries, made.pipeline = chosen.cache_entries, "remote"
    made.add(UPSTREAM_REQUESTS, 0)
    made.phase(scenario, "warm", made.play(warm.state(), users=30))
    made.phase(scenario, "cached", made.paced(sequence[60_000:], 80.0))
    made.phase(scenario, "without", made.play(sequence[60_000 : 60_000 + 300], "bypass", users=30))
    made.most_entries, made.pipeline = SETTINGS.cache_entries, "relief"


def _stampede(made: Recording, scenario: str) -> None:
    def users(begin: float) -> list[Request]:
        requests = []
        for number, item in enumerate(names(scenario, 5)):
            at = begin + number * 0.2
            requests += [made.request(at, item, "miss")]
            requests += [made.request(at, item, "coalesced") for _ in range(SETTINGS.callers - 1)]
        return requests

    made.phase(scenario, "cached", users)


def _churn(made: Recording, scenario: str) -> None:
    popular = names(scenario, SETTINGS.cache_entries)
    made.phase(scenario, "warm", made.play(popular))
    made.phase(scenario, "before", made.play(popular))
    made.phase(scenario, "scan", made.play([*[f"cold-{number}" for number in range(60)], *popular[:50]]))
    made.phase(scenario, "after", made.play(popular + popular))


def _saturation(made: Recording, scenario: str) -> None:
    held = names(scenario, 10)

    def flood(begin: float) -> list[Request]:
        hits = [made.request(begin + number / 40, held[number % 10]) for number in range(240)]
        full = {"status": 503, "retry_after": 1.0, "error": None}
        return hits + [made.request(begin + number / 40, "flood", None, **full) for number in range(60)]

    made.phase(scenario, "warm", made.play(held))
    made.phase(scenario, "flood", flood)
    made.phase(scenario, "recovery", made.play([f"calm-{number}" for number in range(6)], users=1))


def _management(made: Recording, scenario: str) -> None:
    def managed(begin: float) -> list[Request]:
        asked = [made.request(begin + number, "config", kind="manage") for number in range(8)]
        return [*asked, *made.play(names(scenario, 200))(begin)]

    made.phase(scenario, "cached", managed, [(1.0, "ListEntries"), (2.0, "Clear")])


def _mixed(made: Recording, scenario: str, *more: Callable[[float], Request]) -> Callable[[float], list[Request]]:
    def played(begin: float) -> list[Request]:
        requests = made.play([*names(scenario, 20) * 10, *[f"{scenario}-new-{number}" for number in range(40)]])(begin)
        return requests + [extra(begin) for extra in more]

    return played


def _after(made: Recording, scenario: str, part: str = "recovery") -> None:
    made.phase(scenario, part, made.play([f"{scenario}-after-{number}" for number in range(10)]))


def _kill_worker(made: Recording, scenario: str) -> None:
    def dead(begin: float) -> Request:
        return made.request(begin + 1.0, f"{scenario}-dead", status=502)

    made.phase(scenario, "warm", made.play(names(scenario, 20)))
    made.phase(scenario, "fault", _mixed(made, scenario, dead), [(1.0, "Fault kill-worker")])
    _after(made, scenario)


def _prometheus(made: Recording, scenario: str) -> None:
    actions = [(1.0, "Fault stop-prometheus"), (9.0, "Fault start-prometheus")]
    made.phase(scenario, "fault", _mixed(made, scenario), actions)
    _after(made, scenario)


def _terminate(made: Recording, scenario: str) -> None:
    def refused(begin: float) -> Request:
        return made.request(begin + 3.5, f"{scenario}-late", status=0, error="ConnectionRefusedError: refused")

    made.phase(scenario, "warm", made.play(names(scenario, 20)))
    # Longer than all that is answered.
    made.phase(scenario, "fault", _mixed(made, scenario, refused), [(3.2, "Fault terminate-service")], interrupted=True)
    made.counters["process_start_time_seconds"] = made.now
    made.now += 5
    _after(made, scenario, "restarted")


def _garbage(made: Recording, scenario: str) -> None:
    def bad(begin: float) -> Request:
        return made.request(begin + 0.5, "garbage text", status=422, kind="garbage")

    made.phase(scenario, "warm", made.play(names(scenario, 20)))

    def played(begin: float) -> list[Request]:
        return [*made.play(names(scenario, 20) * 4)(begin), *[bad(begin) for _ in range(20)]]

    def slow(begin: float) -> list[Request]:
        stalled = [made.request(begin + 0.1, "garbage slow sender", status=408, kind="malformed") for _ in range(10)]
        gone = [made.request(begin + 0.1, "garbage caller who leaves", status=0, kind="malformed") for _ in range(10)]
        return [*made.play(names(scenario, 20) * 4)(begin), *stalled, *gone]

    made.phase(scenario, "fault", played)
    made.phase(scenario, "slow", slow)
    _after(made, scenario)


def _shrink(made: Recording, scenario: str) -> None:
    popular = names(scenario, 50)

    def played(begin: float) -> list[Request]:
        before = made.play(popular)(begin)
        made.limit(10, "memory")
        low = [made.request(begin + 3.2 + number * 0.1, item, "bypass") for number, item in enumerate(popular[:3])]
        low += [made.request(begin + 3.6 + number * 0.2, f"low-{number}") for number in range(10)]
        return [*before, *low]

    made.phase(scenario, "warm", made.play(popular))
    made.phase(scenario, "fault", played, [(3.0, "ScaleMemory 0.1"), (7.0, "ScaleMemory None")])
    made.phase(scenario, "recovery", made.play(popular * 4))


_PLAYS: Mapping[str, Callable[[Recording, str], None]] = {
    "single": _single,
    "duplicate": _duplicate,
    "pair": _batches,
    "triple": _batches,
    "typical": _typical,
    "typical-remote": _typical_remote,
    "soak": _typical,
    "stampede": _stampede,
    "churn": _churn,
    "saturation": _saturation,
    "management": _management,
    "kill-worker": _kill_worker,
    "prometheus-restart": _prometheus,
    "terminate": _terminate,
    "garbage": _garbage,
    "shrink": _shrink,
}


Value = Callable[[float], float | None]


@dataclass(frozen=True)
class Recorded(Prometheus):
    """A Prometheus that saw a run, asked at its API; every panel can be made to show something else.

    Attributes:
        run: What it saw.
        shows: By the beginning of a query's first metric: what it gives at a moment, by its labels' values.
        window: What the recorded rules look back over; None: it has no such rules.
        unscraped: From when to when it saw nothing.
        down: It cannot be asked.
    """

    run: Run
    shows: Mapping[str, Mapping[str, Value]]
    window: str | None = "20s"
    unscraped: tuple[tuple[float, float], ...] = ()
    down: bool = False

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        if self.down:
            raise QueryError("it cannot be asked")
        if path == "rules":
            rule = {"name": WINDOW_RULE, "query": f"sum (rate(recoup_lookups_total[{self.window}]))"}
            return {"groups": [{"rules": [] if self.window is None else [rule]}]}
        query = parameters["query"]
        if path == "query_range":
            start, end, step = (float(parameters[name]) for name in ("start", "end", "step"))
            moments = [start + number * step for number in range(int((end - start) / step) + 1)]
            return {"result": list(self._lines(query, moments))}
        if query.endswith("]"):
            return {"result": self._samples()}
        lines = self._lines(query, [float(parameters["time"])])
        return {"result": [{"metric": line["metric"], "value": line["values"][0]} for line in lines]}

    def _lines(self, query: str, moments: list[float]) -> Iterable[dict[str, Any]]:
        # The longest of those that the query names.
        known = [name for name in self.shows if name in query]
        for instance, value in self.shows[max(known, key=len)].items() if known else ():
            points = [[at, str(shown)] for at in moments if (shown := value(at)) is not None]
            if points:
                yield {"metric": {"job": instance, "instance": instance}, "values": points}

    def _samples(self) -> list[dict[str, Any]]:
        end = max(phase.end for phase in self.run.phases)
        times = [BEGIN + number for number in range(int(end - BEGIN) + 3)]
        seen = [at for at in times if not any(begin < at < last for begin, last in self.unscraped)]
        return [{"metric": {"instance": "recoup"}, "values": [[at, "1"] for at in seen]}] if seen else []


def always(value: float) -> Mapping[str, Value]:
    return {"recoup": lambda at: value}


#: How the query of a 99th percentile begins.
P99 = "histogram_quantile(0.99, sum by (cluster, namespace, le) (rate(recoup_request_duration_seconds_bucket{"


def good_source(run: Run) -> Recorded:
    """What the panels would show of a good run."""
    restart = next(phase for phase in run.phases if phase.name == "prometheus-restart fault")
    away = next(phase for phase in run.phases if phase.name == "terminate fault")
    back = next(phase for phase in run.phases if phase.name == "terminate restarted")
    shows: dict[str, Mapping[str, Value]] = {
        "job:recoup_hit_ratio": {"recoup": lambda at: ratio(run, at)},
        "job:recoup_speedup": {"recoup": lambda at: speedup(run, at)},
        "job:recoup_slow_hit_ratio": always(0.0),
        "recoup_http_requests_total": always(0.0),
        P99: always(0.004),
        "sum by (cluster, namespace) (recoup_memory_bytes": {
            "recoup": lambda at: at_moment(run, at, 'recoup_memory_bytes{pipeline="relief"}')
        },
        "sum by (cluster, namespace) (recoup_memory_limit_bytes": {"recoup": lambda at: limit(run, at)},
        "process_resident_memory_bytes": {"recoup": lambda at: at_moment(run, at, "process_resident_memory_bytes")},
        "instance:recoup_memory_bytes:sum": {
            "recoup": lambda at: at_moment(run, at, 'recoup_memory_bytes{pipeline="relief"}')
        },
    }
    gaps = ((restart.begin + 1, restart.begin + 9.5), (away.end - 1, back.begin - 0.5))
    return Recorded(run, shows, unscraped=gaps)


def _answered(run: Run, at: float) -> list[Request]:
    return [
        request
        for phase in run.phases
        if phase.begin <= at and phase.end >= at - WINDOW
        for request in phase.requests
        if at - WINDOW < request.at + request.seconds <= at
    ]


def ratio(run: Run, at: float) -> float | None:
    outcomes = [request.outcome for request in _answered(run, at) if request.outcome not in (None, "bypass")]
    return outcomes.count("hit") / len(outcomes) if outcomes else None


def speedup(run: Run, at: float) -> float | None:
    answered = [request for request in _answered(run, at) if request.outcome is not None]
    waited = sum(request.seconds for request in answered)
    return len(answered) * (GENERATION + OVERHEAD) / waited if answered else None


def at_moment(run: Run, at: float, name: str) -> float:
    """A gauge, between two phases as after the first."""
    value = run.phases[0].before[name]
    for phase in run.phases:
        if phase.begin <= at:
            value = phase.before[name]
        if phase.end <= at and phase.after is not None:
            value = phase.after[name]
    return value


def limit(run: Run, at: float) -> float:
    fault = next(phase for phase in run.phases if phase.name == "shrink fault")
    # It is restored a moment after it is asked for.
    return 60 * 2**20 if fault.begin + 3 <= at < fault.begin + 7.005 else LIMIT_BYTES


def phase_of(run: Run, name: str) -> Phase:
    return next(phase for phase in run.phases if phase.name == name)


def with_phase(run: Run, changed: Phase) -> Run:
    """The run with one phase changed."""
    return replace(run, phases=tuple(changed if phase.name == changed.name else phase for phase in run.phases))
