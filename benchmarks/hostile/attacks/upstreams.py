"""Upstreams that answer what nobody asked for, or hang up."""

from __future__ import annotations

import asyncio

from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import Answer, statuses
from benchmarks.hostile.target import Target
from benchmarks.hostile.upstream import IDLE_SECONDS, PLAIN, TARGET

#: Behaviours after which the caller has its answer all the same, and those after which it cannot.
_GOOD = ("102", "103", "late-103", "surplus", "unasked")
_BROKEN = ("100-broken", "negative-length")
#: How far around the moment at which the upstream closes its connection requests are sent.
_SWEEP_SECONDS = 0.008


async def _ask(target: Target, behaviour: str, caller: str) -> Answer:
    body = f"{behaviour} {caller}".encode()
    return await target.service.post(
        "mirror", body, [("Authorization", caller), ("Content-Type", "text/plain")], seconds=10
    )


def _foreign(answer: Answer, behaviour: str, caller: str) -> bool:
    """Whether it is an answer, but not this caller's to this request."""
    return answer.status == "200" and answer.body != f"{caller} {behaviour} {caller}".encode()


async def _interim(target: Target, bounds: Bounds) -> list[Check]:
    """After each odd answer three other callers ask for plain ones, and then all four ask again."""
    foreign, wrong, broken, innocent = [], [], [], []
    for number in range(bounds.count):
        for behaviour in (*_GOOD, *_BROKEN):
            callers = {f"{behaviour}.{number}.{n}": behaviour if n == 0 else PLAIN for n in range(4)}
            for again in (False, True):
                for caller, asked in callers.items():
                    answer = await _ask(target, asked, caller)
                    if _foreign(answer, asked, caller):
                        foreign.append(f"{behaviour}{' (stored)' if again else ''}")
                    if asked in _BROKEN:
                        broken.append(answer)
                    elif asked == PLAIN:
                        innocent.append(answer)
                    elif answer.status != "200":
                        wrong.append(f"{behaviour}: {answer.status}")
                    await asyncio.sleep(2 * IDLE_SECONDS if asked == "unasked" else 0)
    failed = [answer for answer in innocent if answer.status != "200"]
    return [
        Check("nobody gets another's answer", not foreign, _counted(foreign)),
        Check("an answer after an interim one, or with surplus behind it, arrives", not wrong, _counted(wrong)),
        Check("a broken answer is 502", all(answer.status == "502" for answer in broken), statuses(broken)),
        Check("the next callers are answered", not failed, f"{len(failed)} of {len(innocent)} failed"),
    ]


def _counted(names: list[str]) -> str:
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or "none"


async def _idle_close(target: Target, bounds: Bounds) -> list[Check]:
    """The upstream closes 30 ms after each answer: the next request comes well after that, or about that moment.

    At that moment nobody can know whether the upstream has seen the request, so only a GET may be sent again.
    """
    late, racing = [], []
    for number in range(bounds.count):
        late.append(await _ask(target, "idle-close", f"late.{number}"))
        await asyncio.sleep(2 * IDLE_SECONDS)
    for number in range(bounds.count):
        racing.append(await target.service.post(f"fetched?do=idle-close+{number}", b"", seconds=10))
        # Where that moment is, only going past it tells.
        await asyncio.sleep(IDLE_SECONDS + _SWEEP_SECONDS * (number / bounds.count - 0.75))
    return [
        Check("a POST after the connection was closed is answered", _all_answered(late), statuses(late)),
        Check("a GET as it is closed is answered", _all_answered(racing), statuses(racing)),
    ]


def _all_answered(answers: list[Answer]) -> bool:
    return all(answer.status == "200" for answer in answers)


async def _query(target: Target, bounds: Bounds) -> list[Check]:
    answers = {
        query: await target.service.post(f"fixed?{query}", TARGET.encode())
        for query in ("model=theirs", "m%6Fdel=theirs", "a=1&model=theirs")
    }
    passed = [query for query, answer in answers.items() if answer.status == "200" and b"theirs" in answer.body]
    return [Check("no member of the configured URL is overridden", not passed, ", ".join(passed) or "none is")]


ATTACKS = (
    Attack(
        "upstream-interim",
        "An upstream that sends 102 or 103 first, surplus bytes, an answer that nobody asked for, 100 and a broken "
        "header, `Content-Length: -5`; callers with different `Authorization`",
        Bounds(5, seconds=120),
        Bounds(1, seconds=60),
        _interim,
        # Per round: what was answered well, of a fifth as many again at most.
        Limits(stored=5 * (4 * len(_GOOD) + 3 * len(_BROKEN))),
    ),
    Attack(
        "upstream-idle",
        "An upstream that closes each connection 30 ms after its answer; 40 POSTs after that, 40 GETs as it does",
        Bounds(40, seconds=60),
        Bounds(10, seconds=30),
        _idle_close,
        Limits(stored=None),
    ),
    Attack(
        "url-members",
        "Queries with the name of a member of the configured URL",
        Bounds(3, seconds=30),
        Bounds(3, seconds=30),
        _query,
        Limits(stored=None),
    ),
)
