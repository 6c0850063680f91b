"""The API's description: valid, complete, true, and readable as a page."""

from __future__ import annotations

import itertools
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from recoup import LRUCache
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.web.openapi import openapi_blueprint, openapi_document
from recoup.web.problem_types import PROBLEM_TYPES

from .asgi_client import Client, Serving
from .pipelines import Counting

TOML = """
[pipelines.llm]
kind = "http"
url = "http://127.0.0.1:9/v1/completions"
description = "Completions, with <b>bold</b> & `code`."
key_headers = ["Accept-Language", "Authorization"]

[pipelines.picture]
kind = "relief"
"""


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/openapi.json").get_json()
    return described


@pytest.fixture
def configured(tmp_path: Any) -> PipelineRegistry:
    path = tmp_path / "pipelines.toml"
    path.write_text(TOML)
    return load_pipelines(path)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def routes(app: Serving, pipelines: Any) -> Iterator[tuple[str, str]]:
    """What the application answers, with a generation for each pipeline."""
    for method, rule in app.application.routes():
        if method in {"HEAD", "OPTIONS"}:
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
        paths = [path.format(pipeline=name) for name in pipelines] if path == "/api/generate/{pipeline}" else [path]
        yield from ((method, path) for path in paths)


# --- the document


def test_it_is_valid(document: dict[str, Any], configured: PipelineRegistry) -> None:
    validate(document)
    validate(openapi_document(configured))
    validate(openapi_document({}))


def test_it_has_every_route_of_the_application_and_no_other(
    document: dict[str, Any], app: Serving, pipelines: dict[str, Counting]
) -> None:
    assert set(routes(app, pipelines)) == {(method, path) for method, path, _ in operations(document)}


def test_without_telemetry_there_are_no_metrics_to_describe(configured: PipelineRegistry) -> None:
    paths = openapi_document(configured, metrics=False)["paths"]
    assert {"/metrics"} == set(openapi_document(configured)["paths"]) - set(paths)


def test_the_statistics_tell_why_lookups_went_past_the_cache(document: dict[str, Any]) -> None:
    reasons = document["components"]["schemas"]["Stats"]["properties"]["bypass_reasons"]
    assert {"request", "credentials", "disabled", "uncacheable", "error"} == set(reasons["properties"])


def test_each_operation_has_a_name_of_its_own_a_summary_a_description_and_a_sample(document: dict[str, Any]) -> None:
    described = [operation for _, _, operation in operations(document)]
    assert len(described) == len({operation["operationId"] for operation in described})
    assert all(operation["summary"] and operation["description"].endswith(".") for operation in described)
    assert all(operation["x-codeSamples"][0]["source"].startswith("curl ") for operation in described)


def test_each_management_operation_tells_of_the_token(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        assert path.startswith("/api/cache/") == ("401" in operation["responses"]) == ("security" in operation)


def test_each_generation_has_the_errors_of_the_contract(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        if path.startswith("/api/generate/"):
            assert {"400", "413", "415", "422", "502", "503", "504"} <= set(operation["responses"])


def test_a_pipeline_s_parameters_have_its_types_bounds_and_defaults(configured: PipelineRegistry) -> None:
    operation = openapi_document(configured)["paths"]["/api/generate/picture"]["post"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    described = configured["picture"].describe()["parameters"]
    assert described
    for parameter in described:
        schema = schemas[parameter["name"]]
        assert (parameter["type"], parameter["default"]) == (schema["type"], schema["default"])
        assert parameter.get("choices") == schema.get("enum")
        assert (parameter.get("minimum"), parameter.get("maximum")) == (schema.get("minimum"), schema.get("maximum"))
        Draft202012Validator(schema).validate(parameter["default"])


def test_a_pipeline_of_images_takes_a_form_too(configured: PipelineRegistry) -> None:
    body = openapi_document(configured)["paths"]["/api/generate/picture"]["post"]["requestBody"]
    assert {"image/png", "image/jpeg", "image/webp", "multipart/form-data"} <= set(body["content"])


def test_an_upstream_s_refusals_and_the_headers_of_the_key_are_told(configured: PipelineRegistry) -> None:
    operation = openapi_document(configured)["paths"]["/api/generate/llm"]["post"]
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert "4XX" in operation["responses"]
    assert "accept-language" in names
    assert "authorization" not in names  # OpenAPI keeps that name to itself
    assert "`Cookie` goes past the cache" in operation["description"]


def test_it_is_the_same_at_each_start(configured: PipelineRegistry) -> None:
    assert openapi_document(configured) == openapi_document(configured)


# --- the answers are as it says


@pytest.mark.parametrize(
    "path",
    ["/api/cache/stats", "/api/cache/config", "/api/cache/entries", "/api/pipelines", "/healthz", "/readyz"],
)
def test_an_answer_is_as_its_schema_says(client: Client, cache: LRUCache, document: dict[str, Any], path: str) -> None:
    client.post("/api/generate/echo", data=b"one")
    client.post("/api/generate/echo", data=b"one")
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = client.get(path)
    assert 200 == answer.status_code
    Draft202012Validator({**schema, "components": document["components"]}).validate(answer.get_json())


def test_an_entry_is_as_its_schema_says(client: Client, cache: LRUCache, document: dict[str, Any]) -> None:
    client.post("/api/generate/echo", data=b"one")
    (key,) = cache
    schema = {"$ref": "#/components/schemas/Entry", "components": document["components"]}
    entry = client.get(f"/api/cache/entries/{key}").get_json()
    Draft202012Validator(schema).validate(entry)
    assert "text/x-echo" == entry["content_type"]


def test_a_generation_answers_with_the_headers_that_are_told(client: Client, document: dict[str, Any]) -> None:
    headers = document["paths"]["/api/generate/echo"]["post"]["responses"]["200"]["headers"]
    answers = [client.post("/api/generate/echo", data=b"one") for _ in range(2)]
    for name, header in headers.items():
        assert name in answers[1].headers
        assert name in answers[0].headers or not header["required"]


# --- the page


class Page(HTMLParser):
    """What of a page matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.headings: list[int] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in ("meta", "link", "circle", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == "circle" or tag == self.open.pop()


@pytest.fixture
def page(client: Client) -> Page:
    return Page(client.get("/docs").text)


def test_every_link_within_the_page_leads_somewhere(page: Page) -> None:
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert set() == inner - set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert [] == page.open


def test_the_page_tells_of_every_operation_schema_and_problem(page: Page, document: dict[str, Any]) -> None:
    told = {operation["operationId"] for _, _, operation in operations(document)}
    told |= {f"schema-{name}" for name in document["components"]["schemas"]}
    told |= {problem.uri.partition("#")[2] for problem in PROBLEM_TYPES}
    assert set() == told - set(page.ids)


def test_the_page_works_without_a_network_and_without_scripts(page: Page) -> None:
    assert {"/openapi.json"} == {link for link in page.links if not link.startswith(("#", "data:"))}
    assert set() == page.tags & {"script", "iframe", "img", "object", "form"}


def test_on_a_narrow_screen_the_contents_fold_without_a_script(client: Client) -> None:
    text = client.get("/docs").text
    narrow = text[text.index("@media (max-width") : text.index("@media print")]
    assert '<input type="checkbox" id="menu"><label for="menu">' in text
    assert "nav .menu { display: none" in narrow
    assert "nav input:checked ~ .menu { display: block" in narrow


def test_the_page_s_policy_allows_its_own_style_alone(client: Client) -> None:
    response = client.get("/docs")
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" == policy["style-src"]
    assert "'none'" == policy["default-src"] == policy["frame-ancestors"]
    assert " style=" not in response.text


def test_the_page_is_for_light_and_dark_and_for_readers_by_ear(client: Client, page: Page) -> None:
    text = client.get("/docs").text
    assert "prefers-color-scheme: dark" in text
    assert '<html lang="en">' in text
    assert 'href="#main"' in text
    main = page.headings[page.headings.index(1) :]
    assert all(after - before <= 1 for before, after in itertools.pairwise(main))


def test_the_page_s_samples_name_the_server_that_was_asked(client: Client) -> None:
    text = client.get("/docs", headers={"Host": "cache.example:1234"}).text
    assert "curl -sS http://cache.example:1234/api/cache/stats" in text
    assert "127.0.0.1:8080" not in text


def test_what_a_pipeline_says_of_itself_cannot_break_the_page(configured: PipelineRegistry) -> None:
    app = Flask("page")
    app.register_blueprint(openapi_blueprint(configured))
    text = app.test_client().get("/docs").text
    assert "Completions, with &lt;b&gt;bold&lt;/b&gt; &amp; <code>code</code>." in text


def test_the_front_door_leads_to_the_page(client: Client) -> None:
    response = client.get("/")
    assert (302, "/docs") == (response.status_code, response.headers["Location"])
