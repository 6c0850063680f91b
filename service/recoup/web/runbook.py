"""Where the links of alerts lead: the runbook with its queries filled in, and a page that names the dashboard."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

#: The alert's labels that the runbook has as variables, such as `$job`.
_VARIABLE = re.compile(r"(?P<quote>&quot;)?\$(?P<name>cluster|namespace|job|pipeline|instance)\b")
#: A command or a query.
_BLOCK = re.compile(r"<pre\b.*?</pre>", re.DOTALL)
_OF_A_PATTERN = re.compile(r"[\\.+*?()\[\]{}^$|]")
#: What `$instance` is in a command where the alert has no such label: where the service listens by default.
_INSTANCE = "127.0.0.1:8080"
_DASHBOARD = re.compile(r"recoup-[a-z-]{1,32}")
#: The Grafana of the compose file.
_GRAFANA = "http://127.0.0.1:3000"


def runbook_blueprint() -> Blueprint:
    """`GET /docs/runbook` and `GET /docs/dashboards/d/<uid>`, without scripts or anything from elsewhere."""
    blueprint = Blueprint("runbook", __name__)
    environment = Environment(
        loader=PackageLoader("recoup.web", "templates"), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("runbook.html")
    style = environment.get_template("runbook.css").render()
    sections = environment.get_template("runbook_sections.html").render()
    headers = _security_headers(style)

    def page(title: str, content: str) -> Response:
        # Our own files; what a caller says is escaped where it is put in.
        shown = template.render(title=title, style=Markup(style), content=Markup(content))  # noqa: S704
        return Response(shown, mimetype="text/html", headers=headers)

    @blueprint.get("/docs/runbook")
    def show_runbook() -> Response:
        return page("Recoup: runbook", filled(sections, request.args))

    @blueprint.get("/docs/dashboards/d/<uid>")
    def show_dashboard(uid: str) -> Response:
        if not _DASHBOARD.fullmatch(uid):
            abort(404)
        chosen = {name: value for name, value in request.args.items() if name.startswith("var-")}
        return page(f"Dashboard {uid}", _dashboard(uid, chosen))

    return blueprint


def filled(sections: str, labels: Mapping[str, str]) -> str:
    """The runbook with `$job`, `$pipeline`, `$cluster` and so on replaced by an alert's labels.

    In a query's matcher a label that is not given is any value, and one that is given is nothing but itself; in a
    command `$instance` is where the service listens by default, unless it is given. Text that explains the variables
    keeps their names.
    """

    def value(variable: re.Match[str]) -> str:
        given = labels.get(variable["name"], "")
        if variable["quote"]:
            return f"{variable['quote']}{escape(_in_a_matcher(given) if given else '.*')}"
        return str(escape(given or _INSTANCE)) if variable["name"] == "instance" else variable[0]

    return _BLOCK.sub(lambda block: _VARIABLE.sub(value, block[0]), sections)


def _in_a_matcher(value: str) -> str:
    """Escaped twice: for the regular expression, and for the string of PromQL that holds it."""
    pattern = _OF_A_PATTERN.sub(r"\\\g<0>", value)
    return pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _dashboard(uid: str, chosen: Mapping[str, str]) -> str:
    place = f"/d/{uid}" + (f"?{urlencode(chosen)}" if chosen else "")
    near = escape(_GRAFANA + place)
    return (
        f"<h1>Dashboard {escape(uid)}</h1>"
        f"<p>In your Grafana: <code>{escape(place)}</code></p>"
        f'<p>In the Grafana of the compose file: <a href="{near}">{near}</a></p>'
        "<p>To have alerts link to your Grafana, make the rules with "
        "<code>python -m metrics.build --dashboards URL</code>.</p>"
    )


def _security_headers(style: str) -> dict[str, str]:
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
