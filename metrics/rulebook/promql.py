"""The few shapes that every expression is made of. Valid for Prometheus 2.42 and 3."""

from __future__ import annotations

#: What one job is known by. `cluster` and `namespace` keep jobs of one name apart in a shared Prometheus, and change
#: nothing where no target has them.
JOB = "cluster, namespace, job"
#: The levels that signals are recorded at: the first word of a rule's name, and the labels that it keeps.
LEVELS = {"job": JOB, "pipeline": f"{JOB}, pipeline", "instance": f"{JOB}, instance"}


def number(value: float) -> str:
    """A number as it stands in an expression: `3`, `0.6`, `67108864`."""
    return str(int(value)) if value == int(value) else repr(value)


def rate(level: str, selector: str, window: str) -> str:
    """What a counter grew by a second: summed over all that the level does not tell apart."""
    return f"sum by ({LEVELS[level]}) (rate({selector}[{window}]))"


def increase(level: str, selector: str, window: str, extra: str = "") -> str:
    """What a counter grew by in a window, summed likewise; `extra` keeps one label more."""
    labels = LEVELS[level] + (f", {extra}" if extra else "")
    return f"sum by ({labels}) (increase({selector}[{window}]))"


def ratio(numerator: str, denominator: str) -> str:
    """Sums, then the division. Absent, not NaN, where there was nothing to divide by."""
    return f"{_grouped(numerator)}\n/\n({_grouped(denominator)} > 0)"


def _grouped(expression: str) -> str:
    return f"(\n  {expression.replace(chr(10), chr(10) + '  ')}\n)" if "\n" in expression else expression
