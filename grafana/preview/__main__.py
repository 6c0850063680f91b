"""`python -m grafana.preview --prometheus http://127.0.0.1:9090 --output build/preview`: a page for each dashboard."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.preview.data import Source
from grafana.preview.page import THEMES, WIDTH, height, page
from grafana.queries import ALL, DASHBOARDS, View, read


def main() -> None:
    """The command. It prints, for each page, its name and its size in pixels."""
    parser = argparse.ArgumentParser(prog="python -m grafana.preview", description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pages")
    parser.add_argument("--minutes", type=float, default=60, help="time range until now (%(default)s)")
    parser.add_argument("--scrape-seconds", type=float, default=15, help="Prometheus' scrape interval (%(default)s)")
    parser.add_argument("--job", default=ALL, help="the job (all)")
    parser.add_argument("--theme", choices=THEMES, default="dark")
    given = parser.parse_args()
    chosen = {"job": given.job, "instance": ALL, "pipeline": ALL}
    # A panel asks for about as many points as it is wide; here they are halves of that.
    source = Source(given.prometheus, View(60 * given.minutes, given.scrape_seconds, chosen, points=300))
    given.output.mkdir(parents=True, exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = read(path)
        (given.output / f"{path.stem}.html").write_text(page(dashboard, source, given.theme), encoding="utf-8")
        sys.stdout.write(f"{path.stem} {WIDTH} {height(dashboard)}\n")


if __name__ == "__main__":
    main()
