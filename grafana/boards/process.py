"""Is the process well? Each instance by itself."""

from __future__ import annotations

from metrics.signals import MEMORY_HELD
from metrics.standard import (
    GC_COLLECTED,
    GC_COLLECTIONS,
    PROCESS_CPU,
    PROCESS_FILES_LIMIT,
    PROCESS_MEMORY,
    PROCESS_OPEN_FILES,
    PROCESS_THREADS,
)

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import INSTANCE, rate, recorded, select, total
from grafana.liveness import all_there, fewer, missing, not_all_there, unless_gone
from grafana.panels import Line, Panel, dashed, figure, fixed, listing, series
from recoup.telemetry.catalogue import BUILD_INFO, IN_FLIGHT, IN_FLIGHT_LIMIT, LOG_LINES_DROPPED


def scraped() -> Panel:
    """How many instances answer, in a colour that says whether that is all of them."""
    return figure(
        "Instances scraped",
        "Instances of each job that Prometheus reached at its last try. Green: all that are known, and as many as "
        "within the last hour. Yellow: there were more within the last hour, and nobody knows them any more: scaled "
        "down, or lost. Red: one that is known was not reached, or none is left.",
        style.COUNT,
        Line(all_there(), "{{job}}", look=(fixed("green"),)),
        Line(fewer(), "{{job}}", look=(fixed("yellow"),)),
        Line(not_all_there(), "{{job}}", look=(fixed("red"),)),
        steps=style.NEUTRAL,
        absent=("none is known", "red"),
    )


def _missing() -> Panel:
    return figure(
        "Instances not reached",
        "Instances of each job that Prometheus knows of and did not reach at its last try. One that is no target any "
        "more is not among them: the tile beside this one remembers it for an hour.",
        style.COUNT,
        Line(unless_gone(missing()), "{{job}}"),
        steps=style.NONE_IS_GOOD,
        absent=("none is known", "red"),
    )


def _versions() -> Panel:
    return listing(
        "Versions",
        "What runs where.",
        Line(select(BUILD_INFO), "{{job}} {{instance}}"),
        hidden=("Time", "Value", "__name__"),
        no_value="no instance is scraped",
    )


def _processor() -> Panel:
    return series(
        "Processor time",
        "Share of one core that the serving process keeps busy; its worker processes are not counted here.",
        style.SHARE,
        Line(rate(PROCESS_CPU, INSTANCE), "{{job}} {{instance}}"),
    )


def _memory() -> Panel:
    return series(
        "Memory: accounted and resident",
        "What the cache says that it holds (dashed), and what the operating system gave the serving process. They "
        "grow by the same; where the gap widens, memory is held by something else.",
        style.BYTES,
        Line(total(PROCESS_MEMORY, INSTANCE), "{{job}} {{instance}} resident"),
        Line(recorded(MEMORY_HELD, "instance"), "{{job}} {{instance}} accounted"),
        styles={"/ accounted$/": [dashed(10, 6)]},
    )


def _in_flight() -> Panel:
    return series(
        "In flight",
        "What passes by the cache now: bodies being read, results being sent, upstreams' answers; with their common "
        "limit (dashed), past which requests are answered 503.",
        style.BYTES,
        Line(total(IN_FLIGHT, f"{INSTANCE}, part"), "{{job}} {{instance}} {{part}}"),
        Line(total(IN_FLIGHT_LIMIT, INSTANCE), "{{job}} {{instance}} limit"),
        styles={"/ limit$/": [dashed(10, 6)]},
    )


def _dropped_log_lines() -> Panel:
    return series(
        "Log lines dropped",
        "Log lines a second that nobody read in time. Logging holds up no request: what does not fit is dropped.",
        style.EVENTS_A_SECOND,
        Line(rate(LOG_LINES_DROPPED, INSTANCE), "{{job}} {{instance}}"),
    )


def _threads() -> Panel:
    return series(
        "Threads",
        "Threads of the serving process.",
        style.COUNT,
        Line(total(PROCESS_THREADS, INSTANCE), "{{job}} {{instance}}"),
    )


def _descriptors() -> Panel:
    return series(
        "File descriptors",
        "Open files and connections of the serving process, below their limit (dashed).",
        style.COUNT,
        Line(total(PROCESS_OPEN_FILES, INSTANCE), "{{job}} {{instance}} open"),
        Line(total(PROCESS_FILES_LIMIT, INSTANCE), "{{job}} {{instance}} limit"),
        logarithmic=True,
        styles={"/ limit$/": [dashed(10, 6)]},
    )


def _collections() -> Panel:
    return series(
        "Garbage collections",
        "Runs of Python's garbage collector a second, by generation; generation 2 looks at everything.",
        style.EVENTS_A_SECOND,
        Line(rate(GC_COLLECTIONS, f"{INSTANCE}, generation"), "{{job}} {{instance}} generation {{generation}}"),
    )


def _uncollectable() -> Panel:
    return series(
        "Objects that garbage collection freed",
        "Objects in cycles that Python's garbage collector freed, a second.",
        style.EVENTS_A_SECOND,
        Line(rate(GC_COLLECTED, INSTANCE), "{{job}} {{instance}}"),
    )


BOARD = Board(
    "process",
    "Process",
    "Is the process well?",
    (
        Strip(5, ((4, scraped()), (4, _missing()), (16, _versions()))),
        Strip(8, ((12, _processor()), (12, _memory()))),
        Strip(8, ((12, _in_flight()), (12, _dropped_log_lines()))),
        Strip(8, ((12, _threads()), (12, _descriptors()))),
        Strip(8, ((12, _collections()), (12, _uncollectable()))),
    ),
)
