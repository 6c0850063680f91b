"""Put real load on a real service, and say whether it held.

Exit status 0: it held; 1: it did not; 2: the run could not be made.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from loadtest import journal, report, runner, thresholds, verdict, workload
from loadtest.processes import ROOT, ProcessError
from loadtest.prometheus import Prometheus, QueryError, ThroughGrafana
from loadtest.result import Result
from loadtest.service import preflight
from loadtest.settings import cores

EXIT_PASSED, EXIT_FAILED, EXIT_UNUSABLE = 0, 1, 2
#: Without words to the contrary: where the journal, the logs and the report go.
OUTPUT = ROOT / "build" / "loadtest"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    defaults = workload.Settings()
    load = parser.add_argument_group("the load")
    load.add_argument(
        "--scenario", default="all", help=f"one, several with commas, or all: {', '.join(workload.SCENARIOS)}"
    )
    load.add_argument(
        "--users", type=int, default=defaults.users, help="without queueing: as many as cores (%(default)s)"
    )
    load.add_argument(
        "--duration",
        type=float,
        default=defaults.duration_seconds,
        metavar="SECONDS",
        help="of the steady state (%(default)s)",
    )
    load.add_argument("--seed", type=int, default=defaults.seed, help="same seed, same requests (%(default)s)")
    place = parser.add_argument_group("the place; without these, a service and a Prometheus of the run's own")
    place.add_argument(
        "--service", metavar="URL", help="a service that runs; its management token in RECOUP_ADMIN_TOKEN"
    )
    place.add_argument("--prometheus", metavar="URL", help="the Prometheus that scrapes it, with its rules")
    place.add_argument(
        "--scrape", type=float, default=15.0, metavar="SECONDS", help="its scrape interval (%(default)s)"
    )
    place.add_argument(
        "--grafana",
        metavar="URL",
        default=os.environ.get("GRAFANA_URL"),
        help="ask through this Grafana instead, and write the run on its dashboards; its token in GRAFANA_TOKEN",
    )
    place.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable of the run's own service",
    )
    place.add_argument("--web-host", default="127.0.0.1", help="of Locust's web interface (%(default)s)")
    place.add_argument("--web-port", type=int, help="of Locust's web interface; without it there is none")
    told = parser.add_argument_group("the verdict")
    told.add_argument("--journal", type=Path, metavar="FILE", help="judge the run that left this, and make none")
    told.add_argument("--job", help="of the service, where Prometheus scrapes several")
    told.add_argument("--thresholds", type=Path, default=thresholds.FILE, help="what is asked (%(default)s)")
    told.add_argument("--relaxed", action="store_true", help="ask for less traffic, for a short run")
    told.add_argument("--json", action="store_true", help="print the result as JSON, and progress on standard error")
    told.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FOLDER", help="for journal, logs, report (%(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    command = parser()
    given = command.parse_args(arguments)
    try:
        settings = _settings(given)
        asked = thresholds.load(given.thresholds, relaxed=given.relaxed)
        service_settings = dict(map(_pair, given.set))
    except ValueError as error:
        command.error(str(error))
    if given.journal is not None:
        if not given.prometheus and not given.grafana:
            command.error("--journal needs the Prometheus that scraped the service: --prometheus, or --grafana")
    elif bool(given.service) != bool(given.prometheus or (given.service and given.grafana)):
        command.error("a service that runs needs the Prometheus that scrapes it, and the other way round")
    given.output.mkdir(parents=True, exist_ok=True)
    stream = sys.stderr if given.json else sys.stdout
    try:
        if given.journal is not None:
            run = journal.read(journal.lines(given.journal))
            result = _judge(given, run, asked, "" if given.prometheus is None else given.prometheus)
        else:
            result = _run(given, settings, asked, service_settings, stream)
    except (QueryError, ProcessError, FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNUSABLE
    page = report.write(result, given.output)
    sys.stdout.write(result.to_json() + "\n" if given.json else "\n" + verdict.as_text(result))
    stream.write(f"\n{page}\n")
    return EXIT_PASSED if result.passed else EXIT_FAILED


def _run(
    given: argparse.Namespace,
    settings: workload.Settings,
    asked: thresholds.Thresholds,
    service_settings: dict[str, str],
    stream: TextIO,
) -> Result:
    interface: Sequence[str] = runner.HEADLESS
    if given.web_port is not None:
        interface = ("--web-host", given.web_host, "--web-port", str(given.web_port), "--autostart", "--autoquit", "3")
    with _place(given, settings, service_settings) as place:
        run = runner.play(settings, place, given.output, stream, interface)
        time.sleep(2 * settings.scrape_seconds)  # until Prometheus has certainly scraped the end
        return _judge(given, run, asked, place.prometheus)


def _judge(given: argparse.Namespace, run: journal.Run, asked: thresholds.Thresholds, prometheus: str) -> Result:
    """The verdict on a run, by its Prometheus, or by Grafana where that has been named; the run is marked there."""
    through = given.grafana if given.service or not prometheus else None
    source = ThroughGrafana(through, os.environ.get("GRAFANA_TOKEN", "")) if through else Prometheus(prometheus)
    variables = {"job": given.job} if given.job else None
    result = verdict.judge(run, source, asked, environment=_environment(source), variables=variables)
    if isinstance(source, ThroughGrafana):
        source.annotate(result.begin, result.end, verdict.headline(result))
    return result


def _environment(prometheus: Prometheus) -> dict[str, str]:
    """What a run runs on: versions and the machine, by name."""
    try:
        scraper = str(prometheus.ask("status/buildinfo", {})["version"])
    except (QueryError, KeyError) as error:
        scraper = f"not known: {error}"
    return {
        "machine": f"{cores()} cores, {platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in ("recoup", "locust")},
        "Prometheus": scraper,
    }


def _settings(given: argparse.Namespace) -> workload.Settings:
    chosen = workload.scenarios(given.scenario)
    settings = workload.Settings(seed=given.seed, users=given.users, duration_seconds=given.duration, scenarios=chosen)
    if not given.service:
        return settings
    settings = replace(settings, scrape_seconds=given.scrape)
    return runner.without_faults(settings) if given.scenario == "all" else settings


@contextmanager
def _place(
    given: argparse.Namespace, settings: workload.Settings, service_settings: dict[str, str]
) -> Iterator[runner.Place]:
    if given.service:
        preflight(given.service, os.environ.get("RECOUP_ADMIN_TOKEN"))
        yield runner.Place(given.service.rstrip("/"), (given.prometheus or "").rstrip("/"))
        return
    with runner.own_place(settings, given.output, service_settings) as place:
        yield place


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE, and {text!r} has no equals sign")
    return name, value


if __name__ == "__main__":
    # As an exit, so that Locust is ended first, and puts back what the run has configured.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
