"""The Flask application: generation, management, health, metrics, errors."""

from __future__ import annotations

from recoup.web.app import create_app
from recoup.web.management import management_blueprint

__all__ = ["create_app", "management_blueprint"]
