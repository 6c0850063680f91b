"""What an attack is given: the service, and the means to start others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.hostile.client import Address
from benchmarks.hostile.service import ONE_PIPELINE, Options, Service, started


@dataclass(slots=True)
class Target:
    """What is attacked.

    Attributes:
        running: The service that is probed meanwhile; None where the attack starts its own.
    """

    running: Service | None = None

    @property
    def service(self) -> Service:
        """The probed service."""
        assert self.running is not None, "an attack that is probed has a service"
        return self.running

    @property
    def address(self) -> Address:
        """Where the probed service listens."""
        return self.service.address

    @contextlib.contextmanager
    def another(self, environment: Mapping[str, str], port: int | None = None) -> Iterator[Service]:
        """Another service, with one pipeline (`large`) alone."""
        with started(Options(ONE_PIPELINE, environment), port=port) as service:
            yield service
