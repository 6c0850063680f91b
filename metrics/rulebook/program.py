"""The command line: writes the rule files."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from metrics.rulebook.alert import Links
from metrics.rulebook.documents import documents
from metrics.thresholds import with_changes

#: Where the committed rule files are.
RULES = Path(__file__).resolve().parents[1] / "rules"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with the status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> None:
    """Write the rule files into a folder."""
    parser = _Parser(prog="metrics.build", description="Write the rule files from the rulebook.")
    parser.add_argument("--output", type=Path, default=RULES, help="folder (default: metrics/rules)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="another threshold, as in --set hit_ratio=0.5"
    )
    parser.add_argument(
        "--service", type=_address, metavar="URL", help="where Recoup answers: its runbook, and pages on its dashboards"
    )
    parser.add_argument("--runbook", type=_address, metavar="URL", help="where the runbook is, if elsewhere")
    parser.add_argument("--dashboards", type=_address, metavar="URL", help="where Grafana is: links lead into it")
    parser.add_argument(
        "--shorter-by", type=_factor, default=1, metavar="N", help="divide every time by N, for a trial"
    )
    options = parser.parse_args(arguments)
    try:
        thresholds = with_changes(options.set)
    except ValueError as error:
        parser.error(f"argument --set: {error}")
    options.output.mkdir(parents=True, exist_ok=True)
    links = _links(options.service, options.runbook, options.dashboards)
    for name, text in documents(thresholds, links, shorter_by=options.shorter_by).items():
        (options.output / name).write_text(text, encoding="utf-8")


def _links(service: str | None, runbook: str | None, dashboards: str | None) -> Links:
    links = Links(f"{service}/docs/runbook", f"{service}/docs/dashboards") if service else Links()
    return Links(runbook or links.runbook, dashboards or links.dashboards)


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"expected an address such as https://recoup.example.org, got {text!r}")
    return text.rstrip("/")


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return factor
