"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How fast a machine draws and runs examples says nothing of the code: only a hang may fail a test for its time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
