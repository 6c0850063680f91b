"""Who is let in to the management API, and who is not."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder

from recoup import LRUCache
from recoup.errors import ConfigurationError, NotAuthorizedError
from recoup.web import management_blueprint
from recoup.web.management.auth import Access, is_local_host, is_loopback

from .envelope import assert_problem

TOKEN = "s3cret-töken"
PATHS = [
    ("GET", "/api/cache/stats"),
    ("GET", "/api/cache/config"),
    ("POST", "/api/cache/config"),
    ("POST", "/api/cache/clear"),
    ("POST", "/api/cache/purge"),
    ("GET", "/api/cache/entries"),
    ("GET", "/api/cache/entries/abc"),
    ("DELETE", "/api/cache/entries/abc"),
    ("OPTIONS", "/api/cache/config"),
    ("PUT", "/api/cache/config"),
    ("GET", "/api/cache/"),
    ("GET", "/api/cache/nowhere"),
]


def environ(peer: str = "127.0.0.1", method: str = "GET", host: str = "localhost:8080", **headers: str) -> Any:
    builder = EnvironBuilder(method=method, headers={name.replace("_", "-"): text for name, text in headers.items()})  # type: ignore[misc]
    return {**builder.get_environ(), "REMOTE_ADDR": peer, "HTTP_HOST": host}


def is_let_in(access: Access, request: Any) -> bool:
    try:
        access.require(request)
    except NotAuthorizedError:
        return False
    return True


def mounted(token: str | None) -> Flask:
    app = Flask("mounted")
    app.register_blueprint(management_blueprint(LRUCache(), token))
    return app


def client(token: str | None) -> FlaskClient:
    return mounted(token).test_client()


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0::1"]
)
def test_this_machine_is_known_by_its_addresses(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "10.0.0.1",
        "128.0.0.1",
        "0.0.0.0",
        "::",
        "::2",
        "::ffff:10.0.0.1",
        "localhost",
        "127.1",
        "127.0.0.1 ",
        "unix:",
    ],
)
def test_any_other_address_is_not_this_machine(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "localhost.", "cache.localhost:1", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080"],
)
def test_a_host_may_name_this_machine(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "127.0.0.1.evil.example",
        "evil.example:127",
        "localhost@evil.example",
        "[::1",
        "10.0.0.1:8080",
        "[::2]",
    ],
)
def test_any_other_host_does_not_name_this_machine(host: str) -> None:
    assert not is_local_host(host)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_callers_on_this_machine_are_let_in(peer: str) -> None:
    assert is_let_in(Access(), environ(peer))


@pytest.mark.parametrize("peer", ["", "10.0.0.1", "192.168.1.7", "2001:db8::1", "::ffff:10.0.0.1"])
def test_without_a_token_nobody_else_is_let_in(peer: str) -> None:
    assert not is_let_in(Access(), environ(peer))


FORWARDING = [
    "X_Forwarded_For",
    "Forwarded",
    "X_Real_IP",
    "X_Forwarded_Host",
    "Via",
    "X_Forwarded_Server",
    "CF_Connecting_IP",
]


@pytest.mark.parametrize("value", ["127.0.0.1", "", " ", "é", "Ã©", "\udcff", ",", "10.0.0.1"], ids=ascii)
@pytest.mark.parametrize("header", FORWARDING)
def test_without_a_token_a_proxy_on_this_machine_speaks_for_nobody(header: str, value: str) -> None:
    """That the header is there is enough, whatever bytes it has, and if it has none."""
    name = f"HTTP_{header.upper()}"
    assert not is_let_in(Access(), {**environ(), name: value})
    assert not is_let_in(Access(), {**environ("10.0.0.1"), name: value})


def test_without_a_token_what_curl_sends_by_itself_is_let_in() -> None:
    assert is_let_in(Access(), environ(method="POST", User_Agent="curl/8.5.0", Accept="*/*"))


def test_without_a_token_a_stranger_s_name_for_this_machine_is_refused() -> None:
    """DNS rebinding: a page at evil.example whose name turns into 127.0.0.1."""
    assert not is_let_in(Access(), environ(host="evil.example:8080"))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://evil.example"}, id="origin"),
        pytest.param({"Origin": "null"}, id="opaque origin"),
        pytest.param({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, id="opaque origin, called the same"),
        pytest.param({"Origin": "null", "Sec_Fetch_Mode": "navigate"}, id="opaque origin that navigates"),
        pytest.param({"Origin": ""}, id="empty origin"),
        pytest.param({"Origin": "https://evil.example", "Sec_Fetch_Mode": "navigate"}, id="another site's navigation"),
        pytest.param({"Origin": "http://localhost:8080, null"}, id="two origins"),
        pytest.param({"Origin": "http://localhost:3000"}, id="another port of this machine"),
        pytest.param({"Origin": "http://localhost:8080.evil.example"}, id="longer origin"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, id="same-site"),
        pytest.param({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, id="no-cors"),
    ],
)
def test_without_a_token_another_site_s_page_is_refused(method: str, headers: dict[str, str]) -> None:
    assert not is_let_in(Access(), environ(method=method, **headers))


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost:8080"}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}]
)
def test_without_a_token_the_service_s_own_page_and_a_person_are_let_in(headers: dict[str, str]) -> None:
    assert is_let_in(Access(), environ(method="POST", **headers))


@pytest.mark.parametrize(("method", "expected"), [("GET", True), ("POST", False)])
def test_without_a_token_a_link_may_be_followed_but_no_form_sent(method: str, expected: bool) -> None:
    request = environ(method=method, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert expected is is_let_in(Access(), request)


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1"])
def test_the_token_lets_in_from_anywhere(peer: str) -> None:
    request = environ(peer, host="cache.example", Origin="https://panel.example", X_Forwarded_For="10.1.1.1")
    request["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}".encode().decode("latin-1")
    assert is_let_in(Access(TOKEN), request)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_may_be_in_any_case(scheme: str) -> None:
    assert is_let_in(Access("token"), environ(Authorization=f"{scheme} token"))


@pytest.mark.parametrize(
    "header",
    ["", "token", "Bearer", "Bearer ", "Bearer tokens", "Bearer toke", "Bearer TOKEN", "Basic token", "Bearer token x"],
)
def test_with_a_token_set_nothing_else_lets_in_not_even_from_this_machine(header: str) -> None:
    request = environ()
    request["HTTP_AUTHORIZATION"] = header
    assert not is_let_in(Access("token"), request)


def test_with_a_token_set_a_request_without_one_is_refused() -> None:
    assert not is_let_in(Access("token"), environ())


@pytest.mark.parametrize("token", ["", " ", "token ", "\ttoken"])
def test_a_token_that_no_header_could_carry_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(ConfigurationError):
        management_blueprint(LRUCache(), token)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_path_or_method_answers_without_the_token(method: str, path: str) -> None:
    response = client("token").open(path, method=method)
    assert_problem(response, 401, "not-authorized")


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_path_or_method_answers_a_stranger_without_a_token_set(method: str, path: str) -> None:
    response = client(None).open(path, method=method, environ_base={"REMOTE_ADDR": "10.0.0.1"})
    document = assert_problem(response, 401, "not-authorized")
    assert "RECOUP_ADMIN_TOKEN" in document["detail"]


def test_a_refusal_does_not_tell_the_token() -> None:
    response = client("token-1234").get("/api/cache/stats", headers={"Authorization": "Bearer wrong-5678"})
    text = response.get_data(as_text=True) + str(response.headers)
    assert "token-1234" not in text
    assert "wrong-5678" not in text


def test_a_refused_request_changes_nothing() -> None:
    cache = LRUCache(max_size=7)
    cache.set("key", b"value")
    app = Flask("mounted")
    app.register_blueprint(management_blueprint(cache, "token"))
    app.test_client().post("/api/cache/config", json={"max_size": 1})
    app.test_client().post("/api/cache/clear")
    app.test_client().delete("/api/cache/entries/key")
    assert (7, 1) == (cache.config()["max_size"], len(cache))


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "10.0.0.1"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1"])
def test_a_proxy_middleware_of_the_application_opens_no_way_in(peer: str, forwarded: str) -> None:
    """It puts what a header says in the place of the socket's peer."""
    app = mounted(None)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    response = app.test_client().get(
        "/api/cache/stats", headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": peer}
    )
    assert_problem(response, 401, "not-authorized")


def test_a_proxy_middleware_does_not_hide_the_peer_even_without_its_headers() -> None:
    request = environ("127.0.0.1")
    request["werkzeug.proxy_fix.orig"] = {"REMOTE_ADDR": "10.0.0.1"}
    assert not is_let_in(Access(), request)
