"""Bodies that are small to send and dear to read."""

from __future__ import annotations

from benchmarks.hostile import payloads
from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import Answer, ask, ask_all, request, statuses
from benchmarks.hostile.target import Target

_JSON = [("Content-Type", "application/json")]
#: What a refusal may be: the request is wrong, too large, of the wrong kind, or there is no room now.
_REFUSED = {"400", "408", "413", "415", "422", "503"}
#: A refusal quotes at most 200 characters; the rest of a problem is its own words.
_LONGEST_REFUSAL = 1500


def _refused(answers: list[Answer]) -> Check:
    held = all(answer.status in _REFUSED for answer in answers)
    return Check("all of it is refused", held, statuses(answers))


def _answered(answers: list[Answer], seconds: float) -> Check:
    """Refused or generated, but not failed, and soon."""
    slowest = max(answer.seconds for answer in answers)
    held = all(answer.status in {*_REFUSED, "200"} for answer in answers) and slowest <= seconds
    return Check(f"answered within {seconds:.0f} s", held, f"{statuses(answers)}, slowest {slowest:.1f} s")


async def _empty_arrays(target: Target, bounds: Bounds) -> list[Check]:
    body = payloads.empty_arrays(bounds.size)
    bodies = [request("POST", f"/api/generate/digest?n={n}", body, _JSON) for n in range(bounds.count)]
    return [_answered(await ask_all(target.address, bodies, seconds=bounds.seconds - 5), 30)]


async def _nested_arrays(target: Target, bounds: Bounds) -> list[Check]:
    body = request("POST", "/api/generate/digest", payloads.nested_arrays(bounds.size), _JSON)
    answers = await ask_all(target.address, [body] * bounds.count, seconds=bounds.seconds - 5)
    return [_refused(answers), _answered(answers, 10)]


async def _duplicate_member(target: Target, bounds: Bounds) -> list[Check]:
    checks = []
    for size in (bounds.size // 9, bounds.size):
        body = request("POST", "/api/generate/digest", payloads.duplicate_member(size), _JSON)
        answer = await ask(target.address, body, seconds=bounds.seconds / 2)
        held = answer.status == "400" and answer.seconds <= 1 and len(answer.body) <= _LONGEST_REFUSAL
        figure = f"{answer.status} in {answer.seconds:.2f} s, {len(answer.body)} bytes"
        checks.append(Check(f"{size // 1000} KB refused within 1 s, in {_LONGEST_REFUSAL} bytes", held, figure))
    return checks


async def _gzip_request(target: Target, bounds: Bounds) -> list[Check]:
    headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/octet-stream")]
    body = request("POST", "/api/generate/digest", payloads.empty_gzip_members(bounds.size), headers)
    return [_answered(await ask_all(target.address, [body] * bounds.count, seconds=bounds.seconds - 2), 10)]


async def _gzip_upstream(target: Target, bounds: Bounds) -> list[Check]:
    """The pipeline's own time limit is 5 s."""
    bodies = [request("POST", "/api/generate/mirror", f"gzip {bounds.size} {n}".encode()) for n in range(bounds.count)]
    answers = await ask_all(target.address, bodies, seconds=bounds.seconds - 2)
    slowest = max(answer.seconds for answer in answers)
    held = all(answer.status in {"200", "502", "503", "504"} for answer in answers) and slowest <= 10
    return [Check("answered within 10 s, 5 past the time limit", held, f"{statuses(answers)}, slowest {slowest:.1f} s")]


ATTACKS = (
    Attack(
        "json-arrays",
        "2 JSON bodies of 31 MB, `[[],[],...]`, at once",
        Bounds(2, seconds=120, size=31_000_000),
        Bounds(1, seconds=60, size=2_000_000),
        _empty_arrays,
        Limits(stored=None),
    ),
    Attack(
        "json-nested",
        "2 JSON bodies of 16 MB, `[[[[...]]]]`, at once",
        Bounds(2, seconds=60, size=16_000_000),
        Bounds(1, seconds=30, size=1_000_000),
        _nested_arrays,
    ),
    Attack(
        "json-duplicate",
        "JSON objects of 48 and 429 KB whose last two members have one name",
        Bounds(2, seconds=240, size=429_000),
        Bounds(2, seconds=30, size=90_000),
        _duplicate_member,
    ),
    Attack(
        "gzip-request",
        "2 bodies of a million empty gzip members (20 MB, `Content-Encoding: gzip`) at once",
        Bounds(2, seconds=120, size=1_000_000),
        Bounds(1, seconds=30, size=50_000),
        _gzip_request,
        Limits(stored=1),
    ),
    Attack(
        "gzip-upstream",
        "2 answers of an upstream with a million empty gzip members (20 MB) at once",
        Bounds(2, seconds=150, size=1_000_000),
        Bounds(1, seconds=30, size=200_000),
        _gzip_upstream,
        Limits(stored=2),
    ),
)
