"""The runbook as the service serves it.

    python -m metrics.runbook_page > service/recoup/web/templates/runbook_sections.html

Made of `runbook.md` when that changes, and committed, so that the service needs no library for Markdown.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt

RUNBOOK = Path(__file__).with_name("runbook.md")
_HEADING = re.compile(r"<h2>(\w+)</h2>")
#: Pages that the service does not serve: their names alone stay.
_ELSEWHERE = re.compile(r'<a href="(?!#)[^"]*">(.*?)</a>')


def sections() -> str:
    """The runbook's HTML, each section with the anchor that its alert links to."""
    made = MarkdownIt().enable("table").render(RUNBOOK.read_text(encoding="utf-8"))
    made = _HEADING.sub(lambda heading: f'<h2 id="{heading[1].lower()}">{heading[1]}</h2>', made)
    return _ELSEWHERE.sub(r"\1", made)


if __name__ == "__main__":
    sys.stdout.write(sections())
