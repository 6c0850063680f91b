"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How fast a machine draws and runs examples says nothing of the code: only a hang may fail a test for its time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: One of twenty parts of a thorough run: `make properties`.
settings.register_profile("thorough", parent=settings.get_profile("any machine"), max_examples=5_000)
settings.load_profile("any machine")
