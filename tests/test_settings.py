"""The environment becomes settings, or stops the start with words that help."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import ClassVar

import pytest

from recoup.errors import SettingError
from recoup.settings import FREE_PREFIX, SETTINGS, Settings, reference_table
from recoup.settings_kinds import available_cores
from recoup.settings_page import page

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reference" / "environment.md"
FIELDS = {member.metadata["setting"].name: member.name for member in dataclasses.fields(Settings)}

#: The contract's variables and defaults.
CONTRACT = {
    "DISABLE_RESULT_CACHE": False,
    "CACHE_MAX_SIZE": 1000,
    "CACHE_MAX_MEMORY_MB": 512.0,
    "CACHE_TTL_SECONDS": 86400.0,
    "RECOUP_ADMIN_TOKEN": None,
    "RECOUP_PIPELINES": None,
    "RECOUP_HOST": "127.0.0.1",
    "RECOUP_PORT": 8080,
    "RECOUP_LOG_FORMAT": "auto",
    "RECOUP_LOG_LEVEL": "info",
}


def read(**environ: str) -> Settings:
    return Settings.from_environment(environ)


class TestDefaults:
    @pytest.mark.parametrize(("name", "default"), CONTRACT.items())
    def test_the_contract_s_variables_have_the_contract_s_defaults(self, name: str, default: object) -> None:
        assert default == getattr(read(), FIELDS[name])

    @pytest.mark.parametrize("name", sorted(FIELDS))
    def test_an_empty_variable_counts_as_one_that_is_not_set(self, name: str) -> None:
        assert Settings() == Settings.from_environment({name: ""})

    def test_every_setting_is_declared_once(self) -> None:
        names = [setting.name for setting in SETTINGS]

        assert sorted(set(names)) == sorted(names)

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            read().port = 1  # type: ignore[misc]


class TestValues:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("DISABLE_RESULT_CACHE", "1", True),
            ("DISABLE_RESULT_CACHE", "True", True),
            ("DISABLE_RESULT_CACHE", "off", False),
            ("CACHE_MAX_SIZE", "1", 1),
            ("CACHE_MAX_SIZE", " 20 ", 20),
            ("CACHE_MAX_MEMORY_MB", "0.5", 0.5),
            ("CACHE_TTL_SECONDS", "0", 0.0),
            ("CACHE_TTL_SECONDS", "1e3", 1000.0),
            ("RECOUP_ADMIN_TOKEN", "s3cret~", "s3cret~"),
            ("RECOUP_HOST", "::1", "::1"),
            ("RECOUP_HOST", "0.0.0.0", "0.0.0.0"),
            ("RECOUP_HOST", "cache.example.org", "cache.example.org"),
            ("RECOUP_PORT", "65535", 65535),
            ("RECOUP_LOG_FORMAT", "JSON", "json"),
            ("RECOUP_LOG_LEVEL", "Warning", "warning"),
            ("RECOUP_TTL_JITTER", "0.5", 0.5),
            ("RECOUP_STALE_SECONDS", "30", 30.0),
            ("RECOUP_WORKERS", "3", 3),
            ("RECOUP_WORKERS", "auto", available_cores()),
            ("RECOUP_THREADS", "64", 64),
            ("RECOUP_GRACE_SECONDS", "0", 0.0),
            ("RECOUP_MAX_BODY_MB", ".25", 0.25),
            ("RECOUP_LOG_HITS_PER_SECOND", "0", 0.0),
            ("RECOUP_TELEMETRY", "no", False),
            ("RECOUP_WAIT_SECONDS", "12.5", 12.5),
        ],
    )
    def test_a_usable_text_becomes_its_value(self, name: str, text: str, value: object) -> None:
        assert value == getattr(Settings.from_environment({name: text}), FIELDS[name])

    def test_a_pipelines_file_that_can_be_read_is_taken(self, tmp_path: Path) -> None:
        file = tmp_path / "pipelines.toml"
        file.touch()

        assert file == read(RECOUP_PIPELINES=str(file)).pipelines

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("DISABLE_RESULT_CACHE", "2"),
            ("DISABLE_RESULT_CACHE", " "),
            ("CACHE_MAX_SIZE", "0"),
            ("CACHE_MAX_SIZE", "-1"),
            ("CACHE_MAX_SIZE", "1.5"),
            ("CACHE_MAX_SIZE", "1_000"),
            ("CACHE_MAX_SIZE", "١٠"),
            ("CACHE_MAX_SIZE", "1000 entries"),
            ("CACHE_MAX_MEMORY_MB", "0.0000001"),
            ("CACHE_MAX_MEMORY_MB", "512MB"),
            ("CACHE_MAX_MEMORY_MB", "nan"),
            ("CACHE_MAX_MEMORY_MB", "1e999"),
            ("CACHE_TTL_SECONDS", "-1"),
            ("CACHE_TTL_SECONDS", "inf"),
            ("CACHE_TTL_SECONDS", "1d"),
            ("RECOUP_HOST", "http://127.0.0.1"),
            ("RECOUP_HOST", "127.0.0.1:80"),
            ("RECOUP_HOST", "127.0.0.256"),
            ("RECOUP_HOST", "a b"),
            ("RECOUP_PORT", "0"),
            ("RECOUP_PORT", "65536"),
            ("RECOUP_PORT", "http"),
            ("RECOUP_LOG_FORMAT", "xml"),
            ("RECOUP_LOG_LEVEL", "loud"),
            ("RECOUP_PIPELINES", "/nowhere/pipelines.toml"),
            ("RECOUP_PIPELINES", "/"),
            ("RECOUP_TTL_JITTER", "0.6"),
            ("RECOUP_STALE_SECONDS", "-0.1"),
            ("RECOUP_WORKERS", "0"),
            ("RECOUP_WORKERS", "many"),
            ("RECOUP_THREADS", "0"),
            ("RECOUP_GRACE_SECONDS", "-1"),
            ("RECOUP_MAX_BODY_MB", "0"),
            ("RECOUP_LOG_HITS_PER_SECOND", "-1"),
            ("RECOUP_TELEMETRY", "maybe"),
            ("RECOUP_WAIT_SECONDS", "0"),
        ],
    )
    def test_an_unusable_text_stops_the_start_and_tells_name_value_and_what_is_expected(
        self, name: str, text: str
    ) -> None:
        expected = next(setting.kind.expected_text for setting in SETTINGS if setting.name == name)

        with pytest.raises(SettingError) as caught:
            Settings.from_environment({name: text})

        assert f"{name}={text!r}: expected {expected}" == str(caught.value)

    def test_every_setting_but_a_path_and_a_token_has_a_text_that_it_refuses(self) -> None:
        refusing = []
        for setting in SETTINGS:
            with pytest.raises(SettingError):
                setting.parse("\x00 ?")
            refusing.append(setting.name)

        assert sorted(FIELDS) == sorted(refusing)


class TestUnknownVariables:
    @pytest.mark.parametrize(
        ("mistyped", "meant"),
        [
            ("RECOUP_PROT", "RECOUP_PORT"),
            ("RECOUP_LOGFORMAT", "RECOUP_LOG_FORMAT"),
            ("RECOUP_TOKEN", "RECOUP_ADMIN_TOKEN"),
            ("RECOUP_WORKER", "RECOUP_WORKERS"),
            ("RECOUP_LISTEN_PORT", "RECOUP_PORT"),
        ],
    )
    def test_a_mistyped_name_stops_the_start_and_is_told_the_closest_one(self, mistyped: str, meant: str) -> None:
        with pytest.raises(SettingError, match=rf"^Unknown variable {mistyped}; did you mean {meant}\?$"):
            Settings.from_environment({mistyped: "9000"})

    def test_every_mistake_is_listed_at_once(self) -> None:
        environ = {"RECOUP_PROT": "1", "RECOUP_THREADS": "x", "CACHE_MAX_SIZE": "0", "RECOUP_LOG_LEVEL": "info"}
        names = [error.name for error in Settings.mistakes(environ) if isinstance(error, SettingError)]
        assert {"RECOUP_PROT", "RECOUP_THREADS", "CACHE_MAX_SIZE"} == set(names)
        assert [] == Settings.mistakes({"RECOUP_LOG_LEVEL": "info"})

    def test_what_a_mistyped_name_holds_is_not_shown_as_it_may_be_the_token(self) -> None:
        with pytest.raises(SettingError) as caught:
            read(RECOUP_ADMIN_TOKN="hunter2")

        assert "hunter2" not in str(caught.value)

    def test_names_of_the_operator_s_own_are_let_be(self) -> None:
        assert Settings() == Settings.from_environment({f"{FREE_PREFIX}ANYTHING": "at all"})

    def test_the_variables_of_others_are_let_be(self) -> None:
        assert Settings() == read(PATH="/bin", CACHE_TYPE="SimpleCache", XDG_CACHE_HOME="/tmp")

    def test_what_nearly_is_a_cache_variable_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "recoup.settings"):
            read(CACHE_MAX_MEMORY="512", CACHE_TYPE="null")

        assert ["CACHE_MAX_MEMORY", "CACHE_MAX_MEMORY_MB"] == re.findall("CACHE_[A-Z_]+", caplog.text)


class TestKubernetes:
    #: What the kubelet sets for a service `recoup` with a port named `http`, and for one named `recoup-metrics`.
    LINKS: ClassVar = {
        "RECOUP_SERVICE_HOST": "10.0.0.1",
        "RECOUP_SERVICE_PORT": "8080",
        "RECOUP_SERVICE_PORT_HTTP": "8080",
        "RECOUP_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "RECOUP_PORT_8080_TCP_PROTO": "tcp",
        "RECOUP_PORT_8080_TCP_PORT": "8080",
        "RECOUP_PORT_8080_TCP_ADDR": "10.0.0.1",
        "RECOUP_METRICS_SERVICE_HOST": "10.0.0.2",
        "RECOUP_METRICS_PORT": "tcp://10.0.0.2:9090",
        "RECOUP_METRICS_PORT_9090_TCP": "tcp://10.0.0.2:9090",
    }

    def test_the_port_of_a_service_link_stops_the_start_and_names_the_remedy(self) -> None:
        with pytest.raises(SettingError, match="enableServiceLinks: false"):
            read(RECOUP_PORT="tcp://10.0.0.1:8080", **self.LINKS)

    def test_an_ordinary_bad_port_is_not_blamed_on_kubernetes(self) -> None:
        with pytest.raises(SettingError, match=r"65535$"):
            read(RECOUP_PORT="80a")

    def test_the_other_service_links_are_no_settings_and_so_no_mistyped_ones(self) -> None:
        assert 9000 == read(RECOUP_PORT="9000", **self.LINKS).port

    def test_a_cache_alone_is_not_stopped_by_what_concerns_the_service(self) -> None:
        environ = {"RECOUP_PORT": "tcp://10.0.0.1:8080", "RECOUP_OTHER": "x", "CACHE_MAX_SIZE": "7"}

        assert 7 == Settings.from_environment(environ, parts=("cache",)).cache_max_size

    def test_a_cache_alone_is_stopped_by_its_own_variables(self) -> None:
        with pytest.raises(SettingError, match="CACHE_MAX_SIZE"):
            Settings.from_environment({"CACHE_MAX_SIZE": "x"}, parts=("cache",))


class TestTheToken:
    def test_it_is_not_in_the_representation(self) -> None:
        settings = read(RECOUP_ADMIN_TOKEN="hunter2")

        assert "hunter2" == settings.admin_token
        assert "hunter2" not in repr(settings) + str(settings)

    @pytest.mark.parametrize("token", ["hunter2\n", " hunter2", "hunter 2", "hünter2"])
    def test_one_that_no_header_can_carry_is_refused_without_being_shown(self, token: str) -> None:
        with pytest.raises(SettingError, match="RECOUP_ADMIN_TOKEN") as caught:
            read(RECOUP_ADMIN_TOKEN=token)

        assert token.strip() not in str(caught.value)
        assert caught.value.__cause__ is None


class TestCacheOptions:
    def test_they_are_what_the_environment_said(self) -> None:
        settings = read(CACHE_MAX_SIZE="5", CACHE_MAX_MEMORY_MB="2", CACHE_TTL_SECONDS="9", RECOUP_TTL_JITTER="0.1")

        expected = {
            "max_size": 5,
            "max_memory_mb": 2.0,
            "ttl_seconds": 9.0,
            "enabled": True,
            "ttl_jitter": 0.1,
            "stale_seconds": 0.0,
            "policy": "lru",
        }
        assert expected == settings.cache_options()

    def test_a_ttl_of_zero_means_that_entries_never_expire(self) -> None:
        assert read(CACHE_TTL_SECONDS="0").cache_options()["ttl_seconds"] is None

    def test_a_disabled_cache_is_not_enabled(self) -> None:
        assert read(DISABLE_RESULT_CACHE="1").cache_options()["enabled"] is False


class TestCores:
    def test_the_limit_of_the_control_group_counts_in_whole_cores_rounded_up(self, tmp_path: Path) -> None:
        limit = tmp_path / "cpu.max"
        limit.write_text("50000 100000\n")

        assert 1 == available_cores(limit)

    @pytest.mark.parametrize("text", ["max 100000\n", "", "100000000 100000\n"])
    def test_without_a_limit_below_them_all_cores_of_the_process_count(self, tmp_path: Path, text: str) -> None:
        limit = tmp_path / "cpu.max"
        limit.write_text(text)

        assert available_cores(tmp_path / "missing") == available_cores(limit)


class TestTheReference:
    def test_the_page_is_what_the_code_says(self) -> None:
        """After a change: python -m recoup.settings_page > docs/reference/environment.md."""
        assert page() == DOCUMENT.read_text(encoding="utf-8")

    @pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
    def test_each_setting_is_documented_with_its_default_and_its_meaning(self, setting) -> None:
        row = next(line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith(f"| `{setting.name}`"))

        assert setting.help in row
        assert f"| `{setting.default}` |" in row or (setting.default is None and "| none |" in row)

    def test_the_table_has_one_row_for_each_setting(self) -> None:
        assert len(SETTINGS) + 2 == len(reference_table().splitlines())
