"""What the docs show passes `mypy --strict`, and what is wrong does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GOOD = """
from collections.abc import Callable

from typing_extensions import assert_type

from recoup import LRUCache, ResultCache, cached_result
from recoup.cache import Lookup

cache = LRUCache(max_size=10)
texts: ResultCache[str] = LRUCache()
assert_type(texts.fetch("a", lambda: "mesh"), Lookup[str])
assert_type(texts["a"], str)
cache.set("a", 1)
hits: int = cache.stats().hits
reasons: dict[str, int] = {str(reason): n for reason, n in cache.stats().bypass_reasons.items()}


@cached_result
def render(name: str, size: int = 1) -> bytes:
    return name.encode() * size


@cached_result(ttl_seconds=60, cache=cache, store_if=bool)
async def arender(name: str) -> bytes:
    return name.encode()


assert_type(render("a", size=2), bytes)
render.invalidate("a", 2)
cleared: int = render.cache_clear()
ratio: float | None = render.cache_info().hit_ratio
plain: Callable[[str, int], bytes] = render.__wrapped__
arender.invalidate("a")


async def main() -> None:
    assert_type(await arender("a"), bytes)


class Artist:
    @cached_result
    def draw(self, what: str) -> list[str]:
        return [what]

    @staticmethod
    @cached_result
    def mix(colour: str) -> str:
        return colour


artist = Artist()
assert_type(artist.draw("a horse"), list[str])
artist.draw.invalidate("a horse")
Artist.draw.invalidate(artist, "a horse")
artist.draw.cache_info()
Artist.mix("red")
"""
BAD = """
from recoup import LRUCache, ResultCache, cached_result

texts: ResultCache[str] = LRUCache()
texts.set("a", 1)


@cached_result
def render(name: str) -> bytes:
    return name.encode()


render(1)
render.invalidate(1)
render.no_such_offer()
cached_result(60)
"""


def checked(tmp_path: Path, program: str) -> str:
    file = tmp_path / "sample.py"
    file.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--config-file", "", str(file)]
    service = str(Path(__file__).parents[2] / "service")
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache")], env={"MYPYPATH": service, "PATH": ""}, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_what_the_docs_show_is_right(tmp_path: Path) -> None:
    assert "Success" in checked(tmp_path, GOOD)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    lines = [line for line in checked(tmp_path, BAD).splitlines() if "error" in line]

    assert [5, 13, 14, 15, 16] == sorted({int(line.split(":")[1]) for line in lines if line.count(":") > 2}), lines
