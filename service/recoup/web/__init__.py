"""The service over HTTP: generation, management, health, metrics, errors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recoup.web.app import create_app
    from recoup.web.management import management_blueprint

__all__ = ["create_app", "management_blueprint"]

#: Imported when it is asked for: who mounts the management API needs Flask alone, not the whole service.
_PLACES = {"create_app": "recoup.web.app", "management_blueprint": "recoup.web.management"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
