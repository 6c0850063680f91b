"""`python -m loadtest.report report.json --output FOLDER`: the page again, from what a run left as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.report import write
from loadtest.result import Result


def main() -> None:
    """The command. It prints the path of the page."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.report", description=__doc__)
    parser.add_argument("report", type=Path, help="the report.json of a run")
    parser.add_argument("--output", type=Path, required=True, help="folder for the page")
    given = parser.parse_args()
    try:
        result = Result.from_json(given.report.read_text(encoding="utf-8"))
        written = write(result, given.output)
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.exit(2, f"{parser.prog}: {given.report}: {type(error).__name__}: {error}\n")
    sys.stdout.write(f"{written}\n")


if __name__ == "__main__":
    main()
