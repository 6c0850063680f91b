"""The option `groups`: what groups a result is in, from the request that it was generated for.

A template is text with places in braces: `model:{/model}` takes a member of the JSON body by its pointer,
`{header:NAME}` and `{query:NAME}` take a header and a query member.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from recoup import strict_json
from recoup.cache.config import LONGEST_GROUP, MOST_GROUPS, is_group
from recoup.fields import Kind, UnusableError, echo
from recoup.pipelines.canonical import is_json
from recoup.pipelines.headers import is_header_name
from recoup.pipelines.json_pointer import Path, find, parse_pointer
from recoup.pipelines.protocol import Request

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable

_PLACE = re.compile(r"\{([^{}]*)\}")
#: The management API shows groups: no secret of a caller becomes one.
_SECRETS = ("authorization", "cookie", "proxy-authorization", "x-api-key", "api-key")
RULE = (
    "text of one line with at least one place in braces: {/pointer} of the JSON body (RFC 6901), {header:NAME} or "
    "{query:NAME}"
)

_log = logging.getLogger(__name__)


class _TemplateList(Kind[list[Any]]):
    """A list; what is in it is checked one by one."""

    expected = f"a list of at most {MOST_GROUPS} templates, each {RULE}"

    def parse(self, text: str) -> list[Any]:
        return [text]

    def check(self, value: object) -> list[Any]:
        if not isinstance(value, list) or len(value) > MOST_GROUPS:
            raise UnusableError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}, "maxItems": MOST_GROUPS}


#: What is at each path of a body, as parts of names.
Members = Mapping[Path, Sequence[str]]


class Place(NamedTuple):
    """What a template takes from a request: `name` of a header (lower case) or query member, or `path` of the body."""

    kind: str
    name: str
    path: Path = ()


class Template(NamedTuple):
    """A template: its texts, one more than its places, which are between them."""

    texts: tuple[str, ...]
    places: tuple[Place, ...]

    def groups(self, request: Request, members: Members) -> Iterable[str]:
        """The groups that it gives: one for each combination of its places' values; none where one has no value."""
        values = [_values(place, request, members) for place in self.places]
        for chosen in islice(product(*values), MOST_GROUPS + 1):
            yield self.texts[0] + "".join(value + text for value, text in zip(chosen, self.texts[1:], strict=True))


def parse_template(text: object) -> Template:
    """A template.

    Raises:
        UnusableError: It is none.
    """
    if not isinstance(text, str) or not text.isprintable():
        raise UnusableError
    parts = _PLACE.split(text)
    texts, places = tuple(parts[::2]), tuple(map(_place, parts[1::2]))
    if not places or any("{" in part or "}" in part for part in texts) or sum(map(len, texts)) >= LONGEST_GROUP:
        raise UnusableError
    return Template(texts, places)


def _place(text: str) -> Place:
    if text.startswith("/"):
        return Place("json", text, parse_pointer(text))
    kind, colon, name = text.partition(":")
    if kind == "header" and is_header_name(name):
        return Place(kind, name.lower())
    if kind == "query" and colon and name:
        return Place(kind, name)
    raise UnusableError


def group_templates(options: OptionTable, headers: Sequence[str]) -> tuple[Template, ...]:
    """The option `groups` of a pipeline.

    Args:
        options: The pipeline's.
        headers: The request headers that it is given, in lower case.
    """
    given = options.take("groups", _TemplateList(), [])
    templates = []
    for index, text in enumerate(given):
        where = f"groups[{index}]"
        try:
            template = parse_template(text)
        except UnusableError:
            options.mistakes.append(options.fault(where, f"{echo(text)}: expected {RULE}"))
            continue
        for place in template.places:
            if place.kind == "header" and place.name in _SECRETS:
                options.mistakes.append(options.fault(where, f"{echo(text)}: expected no header that may be a secret"))
            elif place.kind == "header" and place.name not in headers:
                problem = f"{echo(text)}: expected a header of key_headers or ignore_headers"
                options.mistakes.append(options.fault(where, problem))
        templates.append(template)
    return tuple(templates)


class GroupTemplates:
    """The templates of one pipeline.

    Args:
        pipeline: Its name, for the log.
        templates: See above.
    """

    def __init__(self, pipeline: str, templates: Sequence[Template] = ()) -> None:
        self._pipeline = pipeline
        self._templates = templates
        #: Where in the body its templates look.
        self.paths = tuple(place.path for template in templates for place in template.places if place.kind == "json")
        self._warned = False

    def __bool__(self) -> bool:
        return bool(self._templates)

    def reads(self, request: Request) -> bool:
        """Whether it looks into a request's body."""
        return bool(self.paths) and is_json(request.content_type)

    def of(self, request: Request, members: Members | None = None) -> tuple[str, ...]:
        """The groups of a request's result, each once.

        More than a result may have, and names that no group may have, are left out, which is logged once.

        Args:
            request: The request.
            members: What `members_at` finds in its body at `paths`; None: it is read now, as slow as that is.
        """
        if members is None:
            members = members_at(request.body, self.paths) if self.reads(request) else {}
        named = dict.fromkeys(group for template in self._templates for group in template.groups(request, members))
        return self.usable(named)

    def usable(self, named: Iterable[str]) -> tuple[str, ...]:
        """The names that groups may have, as many as a result may have."""
        names = tuple(named)
        groups = tuple(filter(is_group, names))[:MOST_GROUPS]
        if len(groups) < len(names) and not self._warned:
            self._warned = True
            _log.warning(
                "groups left out: a result may have %d, of %d characters",
                MOST_GROUPS,
                LONGEST_GROUP,
                extra={"pipeline": self._pipeline, "given": len(names), "kept": len(groups)},
            )
        return groups


def members_at(body: bytes, paths: Iterable[Path]) -> Members:
    """What is at some paths of a JSON body that was checked: no more of it than decides whether it can be used."""
    value = strict_json.parse_unbounded(body)
    return {path: _texts(find(value, path)) for path in paths}


def _texts(value: Any) -> Sequence[str]:
    texts = (_text(member) for member in (value if isinstance(value, list) else [value]))
    return [text[: LONGEST_GROUP + 1] for text in islice(filter(None, texts), MOST_GROUPS + 1)]


def _values(place: Place, request: Request, members: Members) -> Sequence[str]:
    if place.kind == "query":
        return [value for value in request.query.get(place.name, ()) if value]
    if place.kind == "header":
        values = request.headers.get(place.name, ())
        return [text for value in values if (text := value.decode("utf-8", "surrogateescape").strip())]
    return members.get(place.path, ())


def _text(value: Any) -> str:
    """A JSON value as a part of a name; empty: it is none."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (bool, int, float)) else ""
