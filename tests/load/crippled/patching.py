"""How a lie gets into the code that it is about."""

from __future__ import annotations

from typing import Any


def patch(owner: Any, **changes: Any) -> None:
    """Put other attributes into a class or a module, for all of its process."""
    for name, value in changes.items():
        setattr(owner, name, value)
