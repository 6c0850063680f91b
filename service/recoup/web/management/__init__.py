"""The management API: statistics, configuration, clearing, entries. It mounts in any Flask application."""

from recoup.web.management.views import MAX_BODY_BYTES, THE_REST, management_blueprint

__all__ = ["MAX_BODY_BYTES", "THE_REST", "management_blueprint"]
