"""Images that are none, or far more than they seem."""

from __future__ import annotations

from benchmarks.hostile import payloads
from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import ask, ask_all, request, statuses
from benchmarks.hostile.target import Target

_REFUSED = {"400", "413", "415", "422", "503"}
_PATH = "/api/generate/relief?quality=preview"


async def _garbage(target: Target, bounds: Bounds) -> list[Check]:
    """Of as many keys, so that each of them is decoded."""
    body = payloads.garbage_png(bounds.size)
    headers = [("Content-Type", "image/png"), ("Content-Length", str(len(body)))]
    heads = [request("POST", f"{_PATH}&width_mm={60 + n}", headers=headers) for n in range(bounds.count)]
    answers = await ask_all(target.address, heads, body, seconds=bounds.seconds - 5)
    held = all(answer.status in _REFUSED for answer in answers)
    return [Check("all of them are refused", held, statuses(answers))]


async def _form(target: Target, bounds: Bounds) -> list[Check]:
    """As when the folder for temporary files is full."""
    head = b'--part\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\n\r\n'
    body = head + payloads.garbage_png(bounds.size) + b"\r\n--part--\r\n"
    data = request("POST", _PATH, body, [("Content-Type", "multipart/form-data; boundary=part")])
    answers = await ask_all(target.address, [data] * bounds.count, seconds=bounds.seconds - 5)
    held = all(answer.status in {*_REFUSED, "507"} for answer in answers)
    return [Check("it is refused, not failed", held, statuses(answers))]


async def _refused_soon(target: Target, body: bytes, media: str, bounds: Bounds, seconds: float) -> list[Check]:
    answer = await ask(
        target.address, request("POST", _PATH, body, [("Content-Type", media)]), seconds=bounds.seconds - 5
    )
    words = answer.body.decode("utf-8", "replace")
    held = answer.status in _REFUSED and answer.seconds <= seconds
    return [
        Check(
            f"refused within {seconds:.0f} s",
            held,
            f"{answer.status} in {answer.seconds:.1f} s",
        ),
        Check(
            "in words for people",
            "Error" not in words and "Bomb" not in words,
            words[:160] if words.isprintable() else "no words at all",
        ),
    ]


async def _scans(target: Target, bounds: Bounds) -> list[Check]:
    body = payloads.jpeg_of_scans(bounds.count, bounds.size)
    return await _refused_soon(target, body, "image/jpeg", bounds, 15)


async def _gigapixel(target: Target, bounds: Bounds) -> list[Check]:
    return await _refused_soon(target, payloads.gigapixel_png(bounds.size), "image/png", bounds, 5)


ATTACKS = (
    Attack(
        "garbage-images",
        "30 images of 31 MB that are none, at once",
        Bounds(30, seconds=150, size=31_000_000),
        Bounds(6, seconds=60, size=2_000_000),
        _garbage,
        Limits(hit_p99_seconds=0.5),
    ),
    Attack(
        "large-form",
        "A form with an image of 8 MB that is none, to a service whose files may have 1 MB",
        Bounds(1, seconds=60, size=8_000_000),
        Bounds(1, seconds=30, size=8_000_000),
        _form,
        resources="-f 2048",
    ),
    Attack(
        "jpeg-scans",
        "A JPEG of 4,000 by 4,000 pixels in 2,001 scans (125 KB)",
        Bounds(2001, seconds=150, size=4000),
        Bounds(2001, seconds=60, size=512),
        _scans,
    ),
    Attack(
        "gigapixel-png",
        "A black PNG of 40,000 by 40,000 pixels (200 KB)",
        Bounds(1, seconds=60, size=40_000),
        Bounds(1, seconds=60, size=20_000),
        _gigapixel,
    ),
)
