"""Write `metrics/rules/*.yml` from the rulebook: `python metrics/build.py`. Needs PyYAML."""

from __future__ import annotations

import argparse
from pathlib import Path

from rulebook.alert import Links
from rulebook.documents import documents
from rulebook.thresholds import with_changes

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Write the rule files into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "rules", help="folder (default: metrics/rules)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="another threshold, as in --set hit_ratio=0.5"
    )
    parser.add_argument("--runbook", default=Links.runbook, metavar="URL", help="where runbook.md is served")
    parser.add_argument("--grafana", default=Links.grafana, metavar="URL", help="where Grafana is")
    options = parser.parse_args(arguments)
    try:
        thresholds = with_changes(options.set)
    except ValueError as error:
        parser.error(str(error))
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in documents(thresholds, Links(options.runbook, options.grafana.rstrip("/"))).items():
        (options.output / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
