"""The runbook as the service serves it: where the links of alerts lead by default."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from metrics.runbook_page import sections

from recoup.web.runbook import filled, runbook_blueprint
from tools import require_tool

from .rulefiles import ALERTS, ROOT, run

TEMPLATE = ROOT / "service" / "recoup" / "web" / "templates" / "runbook_sections.html"
LABELS = {"cluster": "", "namespace": "", "job": "recoup", "instance": "10.0.0.5:8080", "pipeline": "relief"}


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__)
    app.register_blueprint(runbook_blueprint())
    return app.test_client()


def link(annotation: str) -> str:
    """An alert's link as Prometheus makes it, with `LABELS`."""
    made = re.sub(r"{{ with .*?{{ end }}", "", annotation)
    return re.sub(r"{{ \$labels\.(\w+) \| urlquery }}", lambda label: LABELS[label[1]].replace(":", "%3A"), made)


def test_it_is_what_the_runbook_gives() -> None:
    """After a change there: python -m metrics.runbook_page > service/recoup/web/templates/runbook_sections.html."""
    assert sections() == TEMPLATE.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: "-".join([rule["alert"], *rule["labels"].values()]))
def test_each_alert_leads_to_its_section_and_to_a_page_on_its_dashboard(client: FlaskClient, rule: dict) -> None:
    runbook = urlsplit(link(rule["annotations"]["runbook_url"]))
    dashboard = urlsplit(link(rule["annotations"]["dashboard_url"]))

    page = client.get(f"{runbook.path}?{runbook.query}")
    board = client.get(f"{dashboard.path}?{dashboard.query}")

    assert (200, 200) == (page.status_code, board.status_code)
    assert f'<h2 id="{runbook.fragment}">' in page.text
    assert (
        html.escape(f"http://127.0.0.1:3000/{dashboard.path.split('/dashboards/')[1]}?{dashboard.query}") in board.text
    )


def test_queries_and_commands_are_filled_by_the_labels(client: FlaskClient) -> None:
    labels = "cluster=west&job=recoup&pipeline=a.b&instance=10.0.0.5:8080"
    text = html.unescape(client.get(f"/docs/runbook?{labels}").text)

    matchers = r'cluster=~"west", namespace=~".*", job=~"recoup", pipeline=~"a\\.b"'
    assert f"rate(recoup_misses_total{{{matchers}}}[30m])" in text
    assert 'curl -sS -H "Authorization: Bearer $RECOUP_ADMIN_TOKEN" http://10.0.0.5:8080/api/cache/stats' in text


def test_without_labels_a_query_asks_for_everything(client: FlaskClient) -> None:
    text = html.unescape(client.get("/docs/runbook").text)

    assert 'recoup_misses_total{cluster=~".*", namespace=~".*", job=~".*", pipeline=~".*"}' in text
    assert "http://127.0.0.1:8080/api/cache/stats" in text


@pytest.mark.parametrize("value", ['"><script>alert(1)</script>', 'a"} or up{job="', "a\\", "[", "&quot;"])
def test_whatever_a_label_holds_is_nothing_but_its_value(client: FlaskClient, tmp_path: Path, value: str) -> None:
    text = client.get("/docs/runbook", query_string={"job": value, "pipeline": value, "instance": value}).text

    assert "<script" not in text
    queries = [html.unescape(query) for query in re.findall(r'language-promql">(.*?)</code>', text, re.DOTALL)]
    rules = [{"record": f"query:{number}:sum", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert queries
    checked = run(require_tool("promtool"), "check", "rules", path)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_nothing_is_loaded_from_elsewhere(client: FlaskClient) -> None:
    answer = client.get("/docs/runbook")

    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert [] == re.findall(r"src=|url\(|<link|<script", answer.text)


def test_a_page_for_what_is_no_dashboard_is_not_there(client: FlaskClient) -> None:
    assert 404 == client.get("/docs/dashboards/d/else").status_code


def test_a_dollar_that_is_no_variable_stays() -> None:
    assert "Bearer $RECOUP_ADMIN_TOKEN $jobs" == filled("Bearer $RECOUP_ADMIN_TOKEN $jobs", {"job": "a"})


def test_the_text_about_the_variables_keeps_their_names() -> None:
    """Only commands and queries are filled in."""
    sections = "<p><code>$instance</code> is a place</p><pre><code>curl $instance</code></pre>"
    shown = filled(sections, {"instance": "a:1"})
    assert "<p><code>$instance</code> is a place</p><pre><code>curl a:1</code></pre>" == shown
