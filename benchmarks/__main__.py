"""`python -m benchmarks [NAME ...]`: run the benchmarks and print their tables. Exit code 1 when one falls short."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

from benchmarks import busy, door, growth, hits, keying, memory, purges, service, streams, under_load, writes
from benchmarks.table import Row, markdown

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "hits": hits.one_thread,
    "threads": hits.four_threads,
    "sets": writes.sets,
    "decorated": writes.decorated,
    "growth": growth.growth,
    "memory": memory.memory,
    "purges": purges.purges,
    "keying": keying.keying,
    "http": service.http_hits,
    "door": door.slow_peers,
    "busy": busy.while_busy,
    "telemetry": service.telemetry,
    "load": under_load.under_load,
    "streams": streams.streams,
}


def main() -> int:
    """Run what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores\n")
    short = False
    for name in names:
        print(f"## {name}\n", flush=True)
        rows = BENCHMARKS[name]()
        short = short or any(row.met is False for row in rows)
        print(markdown(rows) + "\n", flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
