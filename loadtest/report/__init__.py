"""The report: a result as one HTML page that asks nobody for anything, and the same as JSON."""

from __future__ import annotations

from pathlib import Path

from loadtest.report.page import render
from loadtest.result import Result

__all__ = ["render", "write"]


def write(result: Result, folder: Path) -> Path:
    """Write `report.html` and `report.json` into a folder, which is made if need be; the path of the page.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(result.to_json() + "\n", encoding="utf-8")
    written = folder / "report.html"
    written.write_text(render(result), encoding="utf-8")
    return written
