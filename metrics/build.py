"""Write `metrics/rules/*.yml` from the rulebook: `python metrics/build.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rulebook.documents import documents

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Write the rule files into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "rules", help="folder (default: metrics/rules)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (options.output / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
