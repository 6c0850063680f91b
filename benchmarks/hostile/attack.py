"""What an attack is: what it sends, how much and how long, and what must hold meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.hostile.target import Target


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold, whether it did, and the figure, with its unit, by which that was decided."""

    what: str
    held: bool
    figure: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an attack sends.

    Attributes:
        count: Requests, connections or rounds, at most.
        seconds: The whole attack is cut off after this time, and has then failed.
        size: Bytes of one body, of one result, or elements in it, as the attack says.
        hold_seconds: How long it holds still, where it does.
    """

    count: int
    seconds: float
    size: int = 0
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold, whatever the attack.

    Attributes:
        memory_mib: All processes of the service together, at their peak.
        hit_p99_seconds: The 99th percentile of hits during the attack; or ten times that before it, if that is more.
            None: no hit can be answered meanwhile, by the nature of the attack.
        recovery_seconds: From the attack's end until hits are as fast as before.
        stored: Entries that the attack may leave in the cache; None: as many as it likes.
    """

    memory_mib: int = 3072
    hit_p99_seconds: float | None = 0.25
    recovery_seconds: float = 5.0
    stored: int | None = 0


#: Sends the attack, and gives what it saw of its own.
Run = Callable[["Target", Bounds], Awaitable[list[Check]]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        name: On the command line.
        sends: In one sentence, at its full size.
        full: The bounds of `python -m benchmarks.hostile`.
        short: The bounds of the tests and of `--short`.
        run: Sends it. None of the service's failures raises: they are checks that did not hold.
        limits: What must hold beside the checks that `run` makes.
        environment: Settings of the service.
        resources: Limits of the service's processes, as the shell's `ulimit` takes them; empty: this process' own.
        stalled_stderr: The service's standard error is a pipe that nobody reads.
        probed: Whether a service is started and probed with hits; otherwise the attack starts its own.
    """

    name: str
    sends: str
    full: Bounds
    short: Bounds
    run: Run
    limits: Limits = Limits()
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: str = ""
    stalled_stderr: bool = False
    probed: bool = True

    @property
    def command(self) -> str:
        """What runs it alone."""
        return f"python -m benchmarks.hostile {self.name}"
