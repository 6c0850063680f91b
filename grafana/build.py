"""Generate the dashboards' JSON: `python -m grafana.build`, or with `--check` tell whether it is up to date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from grafana.board import Board
from grafana.boards import capacity, generation, load_test, misses, overview, process, streams
from grafana.queries import DASHBOARDS
from grafana.sdk import JSONEncoder

BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    misses.BOARD,
    capacity.BOARD,
    generation.BOARD,
    streams.BOARD,
    load_test.BOARD,
    process.BOARD,
)


def rendered() -> dict[str, str]:
    """The text of every file, by its name."""
    return {f"{board.name}.json": _text(board) for board in BOARDS}


def _text(board: Board) -> str:
    encoded = JSONEncoder().encode(board.build())
    return json.dumps(json.loads(encoded, object_hook=_visible), indent=2, sort_keys=True) + "\n"


def _visible(member: dict[str, Any]) -> dict[str, Any]:
    # The SDK's default would hide links and annotations in a menu.
    return {name: value for name, value in member.items() if value != "inControlsMenu"}


def stale(folder: Path) -> list[str]:
    """The names of files that differ, are missing, or belong to no dashboard."""
    wanted = rendered()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(folder: Path) -> None:
    """Write every dashboard, and remove what belongs to none."""
    wanted = rendered()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where something differs")
    parser.add_argument("--folder", type=Path, default=DASHBOARDS, help="where the files are (%(default)s)")
    given = parser.parse_args()
    if not given.check:
        write(given.folder)
        return 0
    differing = stale(given.folder)
    for name in differing:
        sys.stderr.write(f"{name} is not what the code makes; run python -m grafana.build\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
