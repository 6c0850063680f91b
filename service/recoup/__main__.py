"""The command line: `recoup serve`, which is also `python -m recoup`, `recoup check` and `recoup what-if`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product

from recoup import __version__
from recoup.allocators import share_answers_memory
from recoup.check import check
from recoup.errors import SettingError
from recoup.insight.command import DESCRIPTION, add_arguments, what_if
from recoup.settings import Settings

#: Options of `serve`, and the variables that each stands in for.
OPTIONS = {
    "host": ("RECOUP_HOST", "address to listen on"),
    "port": ("RECOUP_PORT", "port to listen on"),
    "pipelines": ("RECOUP_PIPELINES", "a TOML file of pipelines"),
    "upstream": ("RECOUP_UPSTREAM", "a base URL to serve in front of, without any file"),
    "log-format": ("RECOUP_LOG_FORMAT", "json, console, or auto"),
    "log-level": ("RECOUP_LOG_LEVEL", "debug, info, warning, or error"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 when all went well; 2 when an option, a variable or the installation cannot be used.
    """
    given = _parser().parse_args(arguments)
    if given.command == "check":
        return check(_environment(given))
    if given.command == "what-if":
        return what_if(given)
    try:
        settings = Settings.from_environment(_environment(given))
    except SettingError as error:
        sys.stderr.write(f"recoup: {error}\n")
        return 2
    share_answers_memory()
    try:
        from recoup.server import serve  # --help and --version need none of it
    except ModuleNotFoundError as error:
        sys.stderr.write(f"recoup: serving needs the extra recoup[service]: {error}\n")
        return 2
    return serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recoup", description="A result cache for slow, expensive generation work that shows whether it pays."
    )
    parser.add_argument("--version", action="version", version=f"recoup {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands")
    serve = commands.add_parser("serve", help="serve (what is done without a command, too)", description=_SERVE)
    check_only = commands.add_parser("check", help="list every mistake in the settings", description=_CHECK)
    simulate = commands.add_parser("what-if", help="what other sizes and policies would bring", description=DESCRIPTION)
    add_arguments(simulate, Settings().cache_options())
    for command, (option, (variable, text)) in product((serve, check_only), OPTIONS.items()):
        command.add_argument(f"--{option}", metavar="VALUE", dest=variable, help=f"{text} (instead of {variable})")
    return parser


_CHECK = (
    "Read the environment and the TOML file of pipelines as `recoup serve` would, and list every mistake at once. "
    "The exit status is 0 where there is none, else 2. Nothing is started."
)
_SERVE = (
    "Serve generation, management and metrics over HTTP. Settings come from the environment "
    "(docs/reference/environment.md); an option goes before its variable."
)


def _environment(given: argparse.Namespace) -> dict[str, str]:
    options = {variable: getattr(given, variable, None) for variable, _ in OPTIONS.values()}
    return {**os.environ, **{name: value for name, value in options.items() if value is not None}}


if __name__ == "__main__":
    sys.exit(main())
