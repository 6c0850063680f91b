"""What the docs show passes `mypy --strict`, and what is wrong does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """
from collections.abc import Callable

from typing_extensions import assert_type

from recoup import LRUCache, ResultCache, cached_result
from recoup.cache import Lookup

cache = LRUCache(max_size=10)
texts: ResultCache[str] = LRUCache()
assert_type(texts.fetch("a", lambda: "mesh"), Lookup[str])
assert_type(texts["a"], str)
assert_type(texts.get("a"), str | None)
assert_type(texts.get("a", None, "shop"), str | None)
assert_type(texts.get("a", pipeline="shop"), str | None)
assert_type(texts.get("a", ""), str)
assert_type(texts.get("a", default=0, pipeline="shop"), str | int)
assert_type(texts.pop("a"), str)
assert_type(texts.pop("a", None), str | None)
numbers = LRUCache[int](max_size=10)
assert_type(numbers.get("a"), int | None)
assert_type(numbers.get("a", 0) + 1, int)
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
texts.get("a").upper()
texts.get("a", pipeline=1)

@cached_result
def render(name: str) -> bytes:
    return name.encode()


render(1)
render.invalidate(1)
render.no_such_offer()
cached_result(60)
"""


SERVICE = Path(__file__).parents[2] / "service"


def wrong_lines_by_mypy(folder: Path, program: str) -> dict[int, str]:
    """The lines that mypy refuses, and why."""
    file = folder / "sample.py"
    file.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--config-file", "", str(file)]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), "--no-error-summary"],
        env={"MYPYPATH": str(SERVICE), "PATH": ""}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert not done.stderr
    errors = [line.split(":", 2) for line in done.stdout.splitlines() if "error:" in line]
    return {int(line): text for _, line, text in errors}


def wrong_lines_by_pyright(folder: Path, program: str) -> dict[int, str]:
    """The lines that pyright refuses, and why."""
    (folder / "sample.py").write_text(program)
    config = {"typeCheckingMode": "strict", "pythonVersion": "3.10", "extraPaths": [str(SERVICE)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable, "sample.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    report = json.loads(done.stdout)
    assert 1 == report["summary"]["filesAnalyzed"]
    errors = [one for one in report["generalDiagnostics"] if one["severity"] == "error"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in errors}


#: mypy is among what the tests need; pyright is Node's, and asked where it is installed.
CHECKERS = [wrong_lines_by_mypy, *([wrong_lines_by_pyright] if shutil.which("pyright") else [])]


@pytest.mark.parametrize("wrong_lines", CHECKERS)
class TestTypes:
    def test_what_the_docs_show_is_right(self, tmp_path: Path, wrong_lines: Callable[..., dict[int, str]]) -> None:
        assert {} == wrong_lines(tmp_path, GOOD)

    def test_what_is_wrong_is_found(self, tmp_path: Path, wrong_lines: Callable[..., dict[int, str]]) -> None:
        wrong = wrong_lines(tmp_path, BAD)

        assert [5, 6, 7, 14, 15, 16, 17] == sorted(wrong), wrong
