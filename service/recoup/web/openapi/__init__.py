"""The API's description (OpenAPI 3.1), made from the code that answers, and the page to read it."""

from recoup.web.openapi.blueprint import openapi_blueprint, openapi_document

__all__ = ["openapi_blueprint", "openapi_document"]
