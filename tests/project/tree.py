"""The repository's own files, and what its Markdown holds."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "service" / "recoup"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def files(*suffixes: str, below: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the repository, with one of these suffixes if any are given."""
    for path in _tracked():
        if path.is_relative_to(below) and (not suffixes or path.suffix in suffixes):
            yield path


def is_text(path: Path) -> bool:
    """Whether a file is a text: UTF-8 without a NUL."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


@cache
def _tracked() -> tuple[Path, ...]:
    """What git tracks or would track: a new file counts before it is committed, a build artefact never."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    paths = (ROOT / name for name in sorted({*listed.stdout.decode().split("\0")} - {""}))
    # A file that was deleted is listed until that is committed.
    return tuple(path for path in paths if path.is_file())


def name_of(path: Path) -> str:
    """A file's name as one reads it: relative to the repository, with `/`."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a Python file imports, absolute imports only; imports for types alone included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def fences(text: str, *languages: str) -> list[str]:
    """The fenced blocks of these languages, in their order."""
    return [block for language, block in _FENCE.findall(text) if language in languages]


def commands(text: str) -> list[str]:
    """What a reader pastes: each command of the `sh` and `console` blocks, continued lines joined."""
    found = []
    for block in fences(text, "sh", "console"):
        shown = "$ " in block
        lines = block.replace("\\\n", " ").splitlines()
        found += [line.removeprefix("$ ").strip() for line in lines if line.strip() and (line[:2] == "$ " or not shown)]
    return [command for command in found if not command.startswith("#")]


def links(text: str) -> list[str]:
    """The targets of Markdown links and images, outside fenced blocks."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make, as the usual forges make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
