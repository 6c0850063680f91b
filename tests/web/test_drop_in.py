"""Clients that exist, with another base URL and nothing else: `openai` and `anthropic`, through a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from recoup.pipelines.registry import load_pipelines
from recoup.settings import Settings
from recoup.web.banner import banner

from .model_server import ANTHROPIC_ERRORS, OPENAI_ERRORS, WORDS, ModelServer, model_server
from .running import running

TEXT = "".join(WORDS)
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
ERRORS: dict[int, str] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
}


class Place:
    """A model server, and Recoup in front of it. Its clients are closed after each test."""

    def __init__(self, server: ModelServer, url: str) -> None:
        self.server = server
        self._url = url
        self._clients = ExitStack()

    def openai(self, *, direct: bool = False, **options: Any) -> openai.OpenAI:
        base = f"{self.server.url if direct else self._url}/v1"
        client = openai.OpenAI(base_url=base, **{"api_key": "k", "max_retries": 0, **options})
        return self._clients.enter_context(client)

    def anthropic(self, *, direct: bool = False, **options: Any) -> anthropic.Anthropic:
        base = self.server.url if direct else self._url
        client = anthropic.Anthropic(base_url=base, **{"api_key": "k", "max_retries": 0, **options})
        return self._clients.enter_context(client)

    def close_clients(self) -> None:
        self._clients.close()

    def asked(self, text: str) -> list[dict[str, str]]:
        """The headers of what the server was asked with a text in it."""
        return [headers for _, headers, body in self.server.requests if text in str(body)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("drop-in")
    with (
        model_server() as server,
        running(folder, RECOUP_PIPELINES="", RECOUP_UPSTREAM=server.url, RECOUP_LOG_FORMAT="json") as service,
    ):
        yield Place(server, f"http://127.0.0.1:{service.port}")


@pytest.fixture(autouse=True)
def closed(place: Place) -> Iterator[None]:
    yield
    place.close_clients()


def say(client: openai.OpenAI, text: str, **given: Any) -> Any:
    return client.chat.completions.create(model="small", messages=[{"role": "user", "content": text}], **given)


def say_raw(client: openai.OpenAI, text: str, **given: Any) -> Any:
    create = client.chat.completions.with_raw_response.create
    return create(model="small", messages=[{"role": "user", "content": text}], **given)


def message(client: anthropic.Anthropic, text: str, **given: Any) -> Any:
    return client.messages.create(model="small", max_tokens=9, messages=[{"role": "user", "content": text}], **given)


class TestOpenAI:
    def test_the_models_are_those_of_the_server(self, place):
        assert ["small"] == [model.id for model in place.openai().models.list()]

    def test_the_second_answer_is_a_hit_and_the_same(self, place):
        client = place.openai()
        first, second = (say_raw(client, "a hit") for _ in range(2))
        assert TEXT == first.parse().choices[0].message.content
        assert first.content == second.content
        assert "recoup; fwd=uri-miss; stored; detail=cold" in first.headers["Cache-Status"]
        assert "recoup; hit" in second.headers["Cache-Status"]

    def test_a_stream_is_the_same_each_time(self, place):
        client = place.openai()
        told = [[chunk.choices[0].delta.content for chunk in say(client, "a stream", stream=True)] for _ in range(2)]
        assert [[*WORDS, None]] * 2 == told
        assert 1 == len(place.asked("a stream"))

    def test_tools_are_called(self, place):
        answer = say(place.openai(), "look it up", tools=TOOLS)
        assert '{"key": "a"}' == answer.choices[0].message.tool_calls[0].function.arguments

    def test_every_header_is_as_the_server_sent_it(self, place):
        direct = say_raw(place.openai(direct=True), "headers").headers
        through = say_raw(place.openai(), "headers").headers
        assert {"cache-status", "server-timing", "x-recoup-request-id"} == set(through) - set(direct)
        volatile = {"date"}
        assert {name: direct[name] for name in set(direct) - volatile} == {
            name: through[name] for name in set(direct) - volatile
        }

    @pytest.mark.parametrize("status", OPENAI_ERRORS)
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_an_error_is_the_servers_own(self, place, status, stream):
        raised = []
        for direct in (True, False):
            with pytest.raises(getattr(openai, ERRORS[status])) as caught:
                say(place.openai(direct=direct), f"fail {status}", stream=stream)
            raised.append(caught.value)
        direct_error, error = raised
        kind, code = OPENAI_ERRORS[status]
        assert (code, kind, "req_42", direct_error.body) == (error.code, error.type, error.request_id, error.body)
        assert str(direct_error) == str(error)

    @pytest.mark.parametrize("status", [429, 500])
    def test_the_client_tries_again_as_the_server_says(self, place, status):
        client = place.openai(max_retries=2)
        assert TEXT == say(client, f"fail-once {status}").choices[0].message.content
        assert 2 == len(place.asked(f"fail-once {status}"))

    def test_a_stream_that_breaks_off_raises(self, place):
        raised = []
        for direct in (True, False):
            told: list[str | None] = []
            with pytest.raises(openai.APIConnectionError) as caught:
                told.extend(it.choices[0].delta.content for it in say(place.openai(direct=direct), "cut", stream=True))
            assert list(WORDS[:3]) == told
            raised.append(type(caught.value))
        assert raised[0] is raised[1]

    def test_a_client_that_does_not_wait_ends_nothing(self, place):
        place.server.released.clear()
        with pytest.raises(openai.APITimeoutError):
            say(place.openai(timeout=0.3), "wait for it")
        place.server.released.set()
        client = place.openai()
        assert TEXT == say(client, "wait for it").choices[0].message.content
        assert 1 == len(place.asked("wait for it"))

    def test_each_caller_has_results_of_their_own(self, place):
        for key in ("a", "b", "a"):
            say(place.openai(api_key=key), "whose is it")
        keys = [headers["authorization"] for headers in place.asked("whose is it")]
        assert ["Bearer a", "Bearer b"] == keys

    def test_the_server_sees_the_clients_own_headers(self, place):
        client = place.openai(organization="org", default_headers={"X-Tenant": "t"})
        say(client, "headers up", extra_headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
        (headers,) = place.asked("headers up")
        assert ("org", "t") == (headers["openai-organization"], headers["x-tenant"])
        assert headers["user-agent"].startswith("OpenAI/")
        assert headers["traceparent"].startswith("00-1111")

    def test_a_refusal_of_recoups_own_is_read_as_an_error_of_the_api(self, place):
        with pytest.raises(openai.BadRequestError) as caught:
            place.openai().post("/chat/completions", cast_to=object, content=b'{"a": 1, "a": 2}')
        assert "bad_request" == caught.value.code


class TestAnthropic:
    def test_the_models_are_those_of_the_server(self, place):
        assert ["small"] == [model.id for model in place.anthropic().models.list()]

    def test_the_second_answer_is_a_hit_and_the_same(self, place):
        client = place.anthropic()
        given: Any = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": "a hit"}]}
        first, second = (client.messages.with_raw_response.create(**given) for _ in range(2))
        assert TEXT == first.parse().content[0].text
        assert first.text() == second.text()
        assert "recoup; hit" in second.headers["Cache-Status"]

    def test_a_stream_is_the_same_each_time(self, place):
        client = place.anthropic()
        texts = []
        for _ in range(2):
            messages: Any = [{"role": "user", "content": "a stream"}]
            with client.messages.stream(model="small", max_tokens=9, messages=messages) as stream:
                texts.append("".join(stream.text_stream))
        assert [TEXT] * 2 == texts

    def test_tools_are_called(self, place):
        tools: Any = [{"name": "look_up", "input_schema": {"type": "object"}}]
        answer = message(place.anthropic(), "look it up", tools=tools)
        assert ("tool_use", {"key": "a"}) == (answer.content[0].type, answer.content[0].input)

    @pytest.mark.parametrize("status", ANTHROPIC_ERRORS)
    def test_an_error_is_the_servers_own(self, place, status):
        raised = []
        for direct in (True, False):
            with pytest.raises(getattr(anthropic, ERRORS[status])) as caught:
                message(place.anthropic(direct=direct), f"fail {status}")
            raised.append(caught.value)
        assert (raised[0].body, raised[0].request_id) == (raised[1].body, raised[1].request_id)
        assert ANTHROPIC_ERRORS[status] == raised[1].body["error"]["type"]

    def test_a_stream_that_breaks_off_raises(self, place):
        with pytest.raises(Exception, match="peer closed connection without sending complete message body"):
            list(message(place.anthropic(), "cut", stream=True))

    def test_the_version_goes_to_the_server(self, place):
        message(place.anthropic(), "version")
        (headers,) = place.asked("version")
        assert headers["anthropic-version"]


def test_what_is_neither_of_recoups_own_nor_json_passes_through(place: Place) -> None:
    client = place.openai()
    answer = client.models.with_raw_response.list()
    assert "recoup; fwd=bypass" in answer.headers["Cache-Status"]


def test_the_base_url_to_give_to_clients_is_printed(place: Place) -> None:
    settings = Settings(upstream="http://127.0.0.1:9000/", port=8123)
    printed = banner(settings, list(load_pipelines(None, upstream=settings.upstream).values()))
    assert "base URL    http://127.0.0.1:8123 for clients, in place of http://127.0.0.1:9000\n" in printed
    assert "bypass the cache" not in printed
