"""The command line: writes the rule files."""

from __future__ import annotations

import argparse
from pathlib import Path

from metrics.rulebook.alert import Links
from metrics.rulebook.documents import documents
from metrics.thresholds import with_changes

#: Where the committed rule files are.
RULES = Path(__file__).resolve().parents[1] / "rules"


def main(arguments: list[str] | None = None) -> None:
    """Write the rule files into a folder."""
    parser = argparse.ArgumentParser(prog="metrics/build.py", description="Write the rule files from the rulebook.")
    parser.add_argument("--output", type=Path, default=RULES, help="folder (default: metrics/rules)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="another threshold, as in --set hit_ratio=0.5"
    )
    parser.add_argument("--runbook", default=Links.runbook, metavar="URL", help="where runbook.md is served")
    parser.add_argument("--grafana", default=Links.grafana, metavar="URL", help="where Grafana is")
    parser.add_argument("--shorter-by", type=float, default=1, metavar="N", help="divide every time by N, for a trial")
    options = parser.parse_args(arguments)
    try:
        thresholds = with_changes(options.set)
    except ValueError as error:
        parser.error(str(error))
    options.output.mkdir(parents=True, exist_ok=True)
    links = Links(options.runbook, options.grafana.rstrip("/"))
    for name, text in documents(thresholds, links, shorter_by=options.shorter_by).items():
        (options.output / name).write_text(text, encoding="utf-8")
