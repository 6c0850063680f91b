"""`python -m benchmarks.hostile [NAME ...]`: attack a service and say what held. Exit code 1 when something did not."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hostile import report, result
from benchmarks.hostile.attacks import ATTACKS
from benchmarks.hostile.client import raise_descriptor_limit
from benchmarks.hostile.run import attacked

_HERE = Path(__file__).parent
BEFORE, NOW = _HERE / "before.json", _HERE / "now.json"
PAGE = _HERE.parent.parent / "docs" / "explanation" / "what-was-thrown-at-it.md"
_DESCRIPTORS = 12_000


def page_table() -> str:
    """The table of the page, of the results that are kept."""
    kept = ({item.name: item for item in result.load(path)} for path in (BEFORE, NOW))
    before, now = kept
    return report.table(ATTACKS.values(), before, now)


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What a command line asks for; None: that of this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(ATTACKS)}")
    parser.add_argument("--short", action="store_true", help="their small forms, as the tests send them")
    parser.add_argument("--list", action="store_true", help="say what each sends, and send nothing")
    parser.add_argument("--keep", choices=("before", "now"), help="keep the results for the page, in that column")
    parser.add_argument("--page", action="store_true", help="write the page of what is kept, and send nothing")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.names if name not in ATTACKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; expected any of {', '.join(ATTACKS)}")
    if arguments.keep and arguments.short:
        parser.error("the page shows the full attacks; expected --keep without --short")
    return arguments


def main() -> int:
    """Run what the command line names, or everything."""
    arguments = read_arguments()
    if arguments.page:
        report.write(PAGE, page_table())
        return 0
    attacks = [ATTACKS[name] for name in arguments.names or ATTACKS]
    if arguments.list:
        sys.stdout.writelines(f"{attack.name}\n  {attack.sends}\n" for attack in attacks)
        return 0
    raise_descriptor_limit(_DESCRIPTORS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the service ends with this process
    failed = []
    for attack in attacks:
        outcome = asyncio.run(attacked(attack, short=arguments.short))
        sys.stdout.write("\n".join(report.lines(outcome)) + "\n\n")
        sys.stdout.flush()
        if arguments.keep:
            result.save(BEFORE if arguments.keep == "before" else NOW, [outcome])
        if not outcome.held:
            failed.append(attack.name)
    sys.stdout.write(f"{len(attacks) - len(failed)} of {len(attacks)} held\n")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # by then the service has been ended
        sys.exit(130)
