"""A chat behind Recoup: bodies with noise, streams, followers in mid-stream, refusals, an upstream that is dead."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate
from random import Random
from typing import Any

from loadtest import chat as upstream
from loadtest import theory
from loadtest.actions import clear, configure, fault
from loadtest.items import OK
from loadtest.plan import Batch, Call, Moment, Phase
from loadtest.scenarios.parts import TTL_SECONDS, lane, scenario
from loadtest.settings import Settings

SCENARIO = "chat"
#: More than all of it: nothing is evicted, so that each answer is known.
ENTRIES = 1000
#: Of the phase `mixed`: half of its items are streams.
ITEMS, REQUESTS, ALPHA, QUICK_SECONDS = 24, 480, 0.8, 0.02
#: Of the phase `followers`: of each stream, one caller after another, until some come when it is over.
STREAMS, STREAM_SECONDS, FOLLOWERS, FOLLOWERS_RATE = 3, 1.5, 25, 10.0
REFUSED_REQUESTS = 20
#: They expire while the upstream is dead.
STALE_ITEMS, STALE_TTL_SECONDS, STALE_RATE = 6, 5.0, 6.0
DEAD_AFTER_SECONDS, DEAD_SECONDS = 0.6, 10.0
#: Calls a second meanwhile for what is held, and for what is not.
HELD_RATE, NEW_RATE = 20.0, 4.0
OK_OR_DEAD = frozenset({200, 502})
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@scenario(
    "Every count, body and stream exact; followers get all of a stream; refusals are never stored; what has expired answers for a dead upstream."
)
def chat(settings: Settings) -> tuple[Phase, ...]:
    """Chats, plain and streamed, with noise in their bodies; an upstream that refuses, fails, and is dead a while."""
    draw = Random(f"chat {settings.seed}")  # noqa: S311
    popular = [_item(settings, f"mixed-{number}", QUICK_SECONDS, stream=number % 2 == 1) for number in range(ITEMS)]
    chosen = draw.choices(popular, cum_weights=list(accumulate(theory.zipf(ITEMS, ALPHA))), k=REQUESTS - ITEMS)
    mixed = draw.sample(popular + chosen, REQUESTS)
    streams = [_item(settings, f"stream-{number}", STREAM_SECONDS, stream=True) for number in range(STREAMS)]
    refusing = [
        _item(settings, f"{model}-{stream}", QUICK_SECONDS, stream=stream, model=model)
        for model in (upstream.LIMITED, upstream.BROKEN)
        for stream in (False, True)
    ]
    held = popular * round((DEAD_AFTER_SECONDS + DEAD_SECONDS) * HELD_RATE / ITEMS)
    new = [
        _item(settings, f"new-{number}", QUICK_SECONDS, stream=number % 2 == 1)
        for number in range(round((DEAD_AFTER_SECONDS + DEAD_SECONDS) * NEW_RATE))
    ]
    stale = [_item(settings, f"stale-{number}", QUICK_SECONDS, stream=number % 2 == 1) for number in range(STALE_ITEMS)]
    ample = configure({"max_size": ENTRIES, "ttl_seconds": TTL_SECONDS, "enabled": True})
    death = (
        Moment(DEAD_AFTER_SECONDS, fault("stop-upstream")),
        Moment(DEAD_AFTER_SECONDS + DEAD_SECONDS, fault("start-upstream")),
    )
    return (
        # One caller: each answer is known.
        Phase(SCENARIO, "mixed", (lane(_asked(draw, mixed), 1),), before=(ample, clear())),
        Phase(
            SCENARIO,
            "followers",
            tuple(lane(_asked(draw, [one] * FOLLOWERS), FOLLOWERS, FOLLOWERS_RATE) for one in streams),
        ),
        Phase(SCENARIO, "refused", (lane(_asked(draw, refusing * (REFUSED_REQUESTS // len(refusing))), 1),)),
        Phase(
            SCENARIO,
            "short",
            (lane(_asked(draw, stale), 1),),
            before=(configure({"ttl_seconds": STALE_TTL_SECONDS}),),
        ),
        Phase(
            SCENARIO,
            "dead",
            (
                lane(_asked(draw, held), settings.users, HELD_RATE),
                lane(_asked(draw, new, OK_OR_DEAD), settings.users, NEW_RATE),
                lane(
                    _asked(draw, stale * round((DEAD_AFTER_SECONDS + DEAD_SECONDS - 1) * STALE_RATE / STALE_ITEMS)),
                    settings.users,
                    STALE_RATE,
                ),
            ),
            before=(ample,),
            seconds=DEAD_AFTER_SECONDS + DEAD_SECONDS + 1,
            during=death,
        ),
        Phase(SCENARIO, "recovery", (lane(_asked(draw, new), 1),)),
    )


#: The name of what is asked for, and the request without noise.
_Item = tuple[str, dict[str, Any]]


def _item(settings: Settings, name: str, seconds: float, *, stream: bool, model: str = upstream.ANSWERS) -> _Item:
    asked = {"model": model, "messages": [{"role": "user", "content": f"{name} {settings.seed}"}], "seconds": seconds}
    return f"{SCENARIO}-{name}", {**asked, "stream": True} if stream else asked


def _asked(draw: Random, items: Iterable[_Item], allowed: frozenset[int] = OK) -> list[Batch]:
    """A call for each, no two of which have the same body."""
    return [(_call(draw, name, asked, allowed),) for name, asked in items]


def _call(draw: Random, name: str, asked: dict[str, Any], allowed: frozenset[int]) -> Call:
    noise = {"user": f"caller-{draw.randrange(10**9)}", "metadata": {"trace": draw.randrange(10**9)}}
    defaults = {pointer[1:]: value for pointer, value in upstream.DEFAULTS.items() if draw.random() < 0.5}
    members = list({**asked, **noise, **defaults}.items())
    draw.shuffle(members)
    body = json.dumps(dict(members), indent=draw.choice((None, 1)))
    status = upstream.answer(body.encode()).status
    return Call(name, upstream.PATH, body.encode(), _HEADERS, allowed=allowed if status == 200 else frozenset({status}))
