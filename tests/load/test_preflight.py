"""A service that a run cannot take place on is refused before the run, with what is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loadtest.processes import ProcessError, Service, free_port, started
from loadtest.service import preflight

TOKEN = "a-token-of-the-test"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("service"), {"RECOUP_WORKERS": "1", "RECOUP_ADMIN_TOKEN": TOKEN})
    with started(running):
        yield running


def test_the_token_of_the_service_opens_it(service: Service) -> None:
    preflight(service.url, TOKEN)


@pytest.mark.parametrize(
    ("said", "token"),
    [
        pytest.param("RECOUP_ADMIN_TOKEN is not set", None, id="none"),
        pytest.param("RECOUP_ADMIN_TOKEN is not set", "", id="an empty one, as Compose gives it"),
        pytest.param("RECOUP_ADMIN_TOKEN is not the one that it knows", "another", id="another one"),
    ],
)
def test_without_it_the_message_says_which_variable(service: Service, said: str, token: str | None) -> None:
    with pytest.raises(ProcessError, match=said):
        preflight(service.url, token)


def test_what_is_no_service_is_told_as_it_answered(service: Service) -> None:
    with pytest.raises(ProcessError, match="was answered with 404"):
        preflight(f"{service.url}/elsewhere", TOKEN)


def test_nobody_there_is_told_too() -> None:
    with pytest.raises(ProcessError, match="was answered with nothing"):
        preflight(f"http://127.0.0.1:{free_port()}", TOKEN)
