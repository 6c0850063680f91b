"""What the configured pipelines, `http` and `python`, have in common: their options, their keys, their description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from recoup.cache import NEVER_STALE, Staleness
from recoup.errors import UnsupportedMediaError
from recoup.pipelines import stale_options
from recoup.pipelines.aside import AT_HOME, Aside
from recoup.pipelines.canonical import canonical_body, canonical_query
from recoup.pipelines.group_templates import GroupTemplates, Template
from recoup.pipelines.key_shape import WHOLE, KeyShape
from recoup.pipelines.protocol import Prepared, Request
from recoup.pipelines.quota_options import NO_QUOTA, PipelineQuota
from recoup.pipelines.result_rules import NO_RULES, ResultRules


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """The options of every configured pipeline; `Pipeline` says what they mean."""

    name: str
    version: str = "1"
    description: str = ""
    timeout_seconds: float = 300.0
    ttl_seconds: float | None = None
    max_concurrent: int = 4
    max_waiting: int = 64
    key_headers: tuple[str, ...] = ()
    ignore_headers: tuple[str, ...] = ()
    refresh: str = "anyone"
    groups: tuple[Template, ...] = ()
    quota: PipelineQuota = NO_QUOTA
    key_shape: KeyShape = WHOLE
    rules: ResultRules = NO_RULES
    compress: str = "auto"
    staleness: Staleness = NEVER_STALE


class ConfiguredPipeline:
    """What the options of a pipeline decide; a subclass generates.

    Everything that may change the answer belongs to the key: content type, body, query and the key headers, but for
    what the options say is noise.

    Attributes:
        aside: Where long JSON is read; the registry's.
    """

    kind: ClassVar[str]
    aside: Aside = AT_HOME

    def __init__(self, options: PipelineOptions) -> None:
        self.name = options.name
        self.version = options.version
        self.description = options.description
        self.timeout_seconds = options.timeout_seconds
        self.ttl_seconds = options.ttl_seconds
        self.max_concurrent = options.max_concurrent
        self.max_waiting = options.max_waiting
        self.key_headers = options.key_headers
        self.ignore_headers = options.ignore_headers
        self.refresh = options.refresh
        self.groups = GroupTemplates(options.name, options.groups)
        self.quota = options.quota
        self.rules = options.rules
        self.compress = options.compress
        self.staleness = options.staleness
        self._key_shape = options.key_shape
        self.ignored_query = options.key_shape.query
        self._reshape = options.key_shape.reshape if options.key_shape.shapes_json else None

    @property
    def currency(self) -> str | None:
        """What its generations are paid in; None: they have no price."""
        return None if self.rules.price is None else self.rules.price.currency

    def prepare(self, request: Request) -> Prepared:
        """Check the body and bring the request to its canonical form.

        Raises:
            BadRequestError: A JSON body that is none; see `canonical_json`.
            OverloadedError: A long JSON body could not be read.
            UnsupportedMediaError: A form with parts, whose boundary the pipeline was not given.
        """
        content_type = request.content_type
        is_form = content_type is not None and content_type.startswith("multipart/")
        if is_form and request.direct is None and "content-type" not in request.headers:
            raise UnsupportedMediaError(
                f"the pipeline {self.name!r} does not take {content_type}; it would, with Content-Type in key_headers"
            )
        return Prepared(canonical=self.canonical(request), job=request)

    def canonical(self, request: Request) -> Any:
        """What a request means: content type, body, query, key headers."""
        headers = [request.headers.get(name) for name in self.key_headers]
        body = canonical_body(request.body, request.content_type, self._reshape, self.aside)
        return request.content_type, body, canonical_query(request.query, self.ignored_query), headers

    def describe(self) -> dict[str, Any]:
        """What it takes; nothing of where or how it generates, which may be nobody else's business."""
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "description": self.description,
            "accepts": ["*/*"],
            "produces": ["*/*"],
            "parameters": [],
            "path": None,
            "ttl_seconds": self.ttl_seconds,
            "timeout_seconds": self.timeout_seconds,
            "max_concurrent": self.max_concurrent,
            "max_waiting": self.max_waiting,
            "key_headers": list(self.key_headers),
            "ignore_headers": list(self.ignore_headers),
            **self.quota.describe(),
            **self._key_shape.describe(),
            **self.rules.describe(),
            **stale_options.describe(self.staleness, {}),
        }
