"""Who is there: which instances answer, which were there within the last hour, and whether rules are loaded for them.

A figure says its state by a negative number, which no figure of Recoup is: `DOWN`, `IDLE`, `NO_RULES`, `NO_ALERTS`. So
a tile that cannot know its value never has the colour of a good one.
"""

from __future__ import annotations

from metrics.signals import ALERTS_LOADED, UP_STATE, Signal
from metrics.standard import UP

from grafana.expressions import INSTANCE, JOB, recorded, select
from recoup.telemetry.catalogue import BUILD_INFO

#: Nothing was asked; no instance answers; nothing is recorded for instances that answer; no alert could fire for them.
IDLE, DOWN, NO_RULES, NO_ALERTS = -1, -2, -3, -4

_RECORDED = recorded(UP_STATE, "instance")
#: Instances whose last scrape gave Recoup's metrics.
_ANSWERING = f"max by ({INSTANCE}) ({select(BUILD_INFO)})"
#: The most of them at one time within the last hour.
_NOW = f"count by ({JOB}) ({_ANSWERING})"
_MOST = f"(max_over_time(({_NOW})[1h:1m]) or {_NOW})"


def state() -> str:
    """1 for each instance that answers, 0 for each that does not: as recorded, or as scraped where no rules are."""
    scraped = f"max by ({INSTANCE}) ({select(UP)} and on ({INSTANCE}) max_over_time({select(BUILD_INFO)}[1d]))"
    return f"({_RECORDED} or {scraped} or {_ANSWERING})"


def missing() -> str:
    """By job: the instances that are known and do not answer."""
    return f"count by ({JOB}) ({state()} == 0) or 0 * count by ({JOB}) ({state()})"


def all_there() -> str:
    """By job, how many instances answer, where none is missing and none has vanished within the last hour."""
    return f"({_reached()} >= {_MOST} > 0) unless on ({JOB}) ({state()} == 0)"


def fewer() -> str:
    """By job, how many instances answer, where there were more within the last hour that are no targets any more."""
    return f"(0 < {_reached()} < {_MOST}) unless on ({JOB}) ({state()} == 0)"


def not_all_there() -> str:
    """By job, how many instances answer, where one that is known does not, or none does."""
    return f"({_reached()} and on ({JOB}) ({state()} == 0)) or {_gone()}"


def judged(signal: Signal) -> str:
    """A signal by job, or why there is none."""
    idle = f"max by ({JOB}) ({_RECORDED} == 1) - {1 - IDLE}"
    return f"{unless_down(recorded(signal, 'job'))} or {idle} or {without_rules()}"


def with_alerts(expression: str) -> str:
    """A count of alerts by job: 0 where there is none, and alerts are loaded that could fire."""
    loaded = f"0 * max by ({JOB}) ({recorded(ALERTS_LOADED, 'job')})"
    return f"{expression} or {loaded} or {without_alerts()} or {_gone()} - {-DOWN}"


def unless_down(expression: str) -> str:
    """A figure by job; `DOWN` where no instance answers and one did within the last hour, or is known still."""
    return f"({_known()} == 0 or {_gone()}) - {-DOWN} or {expression}"


def unless_gone(expression: str) -> str:
    """A figure by job; `DOWN` where it had instances within the last hour and has no target any more."""
    return f"{expression} or {_gone()} - {-DOWN}"


def without_rules() -> str:
    """`NO_RULES` for each job that is there and has nothing recorded."""
    return f"0 * ({_known()} unless on ({JOB}) {_RECORDED}) - {-NO_RULES}"


def without_alerts() -> str:
    """`NO_ALERTS` for each job that has something recorded and no alert that could fire; `NO_RULES` without either."""
    unguarded = f"max by ({JOB}) ({_RECORDED}) unless on ({JOB}) {recorded(ALERTS_LOADED, 'job')}"
    return f"0 * ({unguarded}) - {-NO_ALERTS} or {without_rules()}"


def _known() -> str:
    return f"max by ({JOB}) ({state()})"


def _gone() -> str:
    """0 for each job that answered within the last hour and has no target any more."""
    return f"(0 * {_MOST} unless on ({JOB}) {_known()})"


def _reached() -> str:
    return f"sum by ({JOB}) ({state()})"
