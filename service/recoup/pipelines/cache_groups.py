"""An upstream's `Cache-Groups` (RFC 9875): the groups that its answer is in.

The field is a List of Strings in the syntax of structured fields (RFC 9651). Parameters say nothing yet, and are passed
over. A field that is anything else is ignored as a whole, as RFC 9651 (section 4.2) has it.
"""

from __future__ import annotations

import re

from recoup.pipelines.hop_by_hop import RawHeaders

_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE_ITEM = (
    r'(?:"(?:[ !#-\[\]-~]|\\["\\])*"'  # a string
    r"|-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}"  # a decimal, an integer
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"  # a token
    r"|:[A-Za-z0-9+/=]*:|\?[01]|@-?[0-9]{1,15}"  # bytes, a boolean, a date
    r'|%"[ !#-~]*")'  # a display string
)
_PARAMETERS = re.compile(rf"(?:; *[a-z*][a-z0-9_.*-]*(?:={_BARE_ITEM})?)*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def cache_groups(headers: RawHeaders) -> tuple[str, ...]:
    """The groups that an answer names, each once; none where the field cannot be read.

    Args:
        headers: Of the answer, names in lower case.
    """
    values = [value for name, value in headers if name == b"cache-groups"]
    if not values:
        return ()
    text = b", ".join(values).decode("latin-1").strip(" ")
    groups: list[str] = []
    place = 0
    while place < len(text):
        string = _STRING.match(text, place)
        if string is None:
            return ()
        groups.append(re.sub(r"\\(.)", r"\1", string[1]))
        parameters = _PARAMETERS.match(text, string.end())
        place = string.end() if parameters is None else parameters.end()
        if place == len(text):
            break
        comma = _COMMA.match(text, place)
        if comma is None or comma.end() == len(text):
            return ()
        place = comma.end()
    return tuple(dict.fromkeys(groups))
