"""A run of `chat` that went well, as a journal would have it: what the tests of its checks then break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from loadtest import chat as upstream
from loadtest import workload
from loadtest.answers import digest
from loadtest.journal import Action, Phase, Request, Run
from loadtest.plan import Call
from loadtest.plan import Phase as Planned
from loadtest.scenarios.chat import DEAD_AFTER_SECONDS, DEAD_SECONDS, STALE_TTL_SECONDS
from loadtest.service import UPSTREAM_REQUESTS, series
from loadtest.settings import Settings

SETTINGS = Settings(users=2, scenarios=("chat",), duration_seconds=20.0)
BEGIN = 1_800_000_000.0
HIT, OVERHEAD = 0.002, 0.005


class Recording:
    """A service and its upstream, and what they count."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = {UPSTREAM_REQUESTS: 0.0}
        self.stored: dict[str, float] = {}
        for end in ("complete", "cut", "too_large", "not_stored"):
            self.add("recoup_streams_total", 0, end=end)

    def add(self, name: str, value: float, **labels: str) -> None:
        text = name if name == UPSTREAM_REQUESTS else series(name, {"pipeline": "chat", **labels})
        self.counters[text] = self.counters.get(text, 0.0) + value

    def request(self, call: Call, at: float, dead: bool) -> Request:
        """What comes of a call; `stored` has when the result of an item is there."""
        said = upstream.answer(call.body)
        streamed, takes = said.content_type == upstream.EVENTS, json.loads(call.body)["seconds"] + OVERHEAD
        made = Request(
            at,
            HIT,
            call.kind,
            call.item,
            said.status,
            "hit",
            bytes=len(said.body),
            digest=digest([said.body]),
            content_type=said.content_type,
            first_seconds=0.1 if streamed else HIT,
        )
        ready = self.stored.get(call.item)
        if "-stale-" in call.item and ready is not None and at > ready + STALE_TTL_SECONDS:
            made = replace(made, outcome="stale")
        if ready is None:
            made = self._missed(made, takes, dead)
        elif at < ready:
            made = replace(made, outcome="coalesced", seconds=ready - at, first_seconds=0.001)
        self.add("recoup_lookups_total", 1, outcome=made.outcome or "miss")
        if made.outcome in ("hit", "stale", "coalesced"):
            self.add("recoup_recouped_seconds_total", takes)
            self.add("recoup_recouped_cost_total", upstream.WORDS * upstream.WORD_PRICE, currency="USD")
        return made

    def _missed(self, made: Request, takes: float, dead: bool) -> Request:
        if dead:
            self.add("recoup_generation_failures_total", 1, error="upstream")
            return replace(made, status=502, outcome=None, content_type="application/problem+json", digest="0")
        self.add(UPSTREAM_REQUESTS, 1)
        if made.status != 200:
            self.add("recoup_generation_failures_total", 1, error="refused" if made.status == 429 else "upstream")
            retry = float(upstream.RETRY_SECONDS) if made.status == 429 else None
            return replace(made, outcome="miss", retry_after=retry)
        self.stored[made.item] = made.at + takes
        self.add("recoup_entries", 1)
        self.add("recoup_generation_duration_seconds_count", 1)
        self.add("recoup_generated_cost_total", upstream.WORDS * upstream.WORD_PRICE, currency="USD")
        self.add("recoup_streams_total", made.content_type == upstream.EVENTS, end="complete")
        return replace(made, outcome="miss", reason="cold", seconds=takes)

    def phase(self, planned: Planned, begin: float) -> Phase:
        before, requests = dict(self.counters), []
        died, back = begin + DEAD_AFTER_SECONDS, begin + DEAD_AFTER_SECONDS + DEAD_SECONDS
        for at, call in sorted(_sent(planned, begin), key=lambda sent: sent[0]):
            requests.append(self.request(call, at, bool(planned.during) and died <= at < back))
        end = max(request.at + request.seconds for request in requests)
        actions = [Action(begin + one.after_seconds, 0.01, one.action.name) for one in planned.during]
        end = max([end, *(action.at + 0.5 for action in actions)])
        done = tuple(requests)
        return Phase("chat", planned.part, begin, end, before, dict(self.counters), done, tuple(actions), len(done))


def _sent(planned: Planned, begin: float) -> Iterator[tuple[float, Call]]:
    """When each call is sent: at its lane's pace, or two a second where one follows the other."""
    for lane in planned.lanes:
        for number, batch in enumerate(lane.batches()):
            assert isinstance(batch, tuple)
            yield begin + number / (lane.rate or 2.0), batch[0]


@lru_cache(maxsize=1)
def good_run() -> Run:
    recording, phases, now = Recording(), list[Phase](), BEGIN
    for planned in workload.phases(SETTINGS):
        phases.append(recording.phase(planned, now))
        now = phases[-1].end + 2.0
    return Run(SETTINGS.to_mapping(), tuple(phases), BEGIN, now)
