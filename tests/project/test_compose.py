"""The compose file, the image and the settings' example agree with the service and with the files that they name.

`make compose-test` brings the stack up; here it is only read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from loadtest.__main__ import parser as loadtest_parser
from loadtest.processes import WINDOW_SECONDS

import recoup
from recoup.settings import SETTINGS, Settings

from .tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
RECOUP, PROMETHEUS, ALERTMANAGER, GRAFANA, LOADTEST = (
    SERVICES[name] for name in ("recoup", "prometheus", "alertmanager", "grafana", "loadtest")
)
#: What is built here, by the service that it is for.
DOCKERFILES = {
    name: (ROOT / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    for name, service in SERVICES.items()
    if "build" in service
}
DOCKERFILE = DOCKERFILES["recoup"]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SCRAPED = yaml.safe_load((ROOT / "metrics" / "prometheus.yml").read_text(encoding="utf-8"))
#: What a variable stands for in the compose file: its name, and the default.
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
#: What a generation worker takes at most, in bytes: the finest relief of the largest image that is taken, measured.
WORKER_BYTES = 1.1 * 2**30
#: Seconds that the service takes at most beside its grace period: twice the margin of `recoup.server`.
MARGIN_SECONDS = 10
every_service = pytest.mark.parametrize("name", SERVICES)
#: What runs until it is stopped; the load test comes to an end.
STAYS = ["recoup", "prometheus", "alertmanager", "grafana"]
every_image_of_ours = pytest.mark.parametrize("name", DOCKERFILES)


def with_defaults(text: str) -> str:
    """A text of the compose file where there is no `.env`."""
    return VARIABLE.sub(lambda found: found[2] or "", text)


def in_bytes(limit: str) -> float:
    """A memory limit as engines write it: `512m`."""
    number, unit = re.fullmatch(r"(\d+)([mg])", with_defaults(limit)).groups()  # type: ignore[union-attr]
    return float(number) * {"m": 2**20, "g": 2**30}[unit]


def ports(name: str) -> Iterator[tuple[str, str, int]]:
    """The published ports: address, port or range on the machine, port in the container."""
    for port in SERVICES[name].get("ports", []):
        address, machine, container = with_defaults(port).split(":")
        yield address, machine, int(container)


def mounts(name: str) -> dict[str, tuple[str, str]]:
    """What is mounted where: source and mode by the place in the container."""
    split = [volume.split(":") for volume in SERVICES[name].get("volumes", [])]
    return {place: (source, mode[0] if mode else "rw") for source, place, *mode in split}


def options(name: str) -> dict[str, str]:
    """The options of a command by their names."""
    return {option: value for option, _, value in (word.partition("=") for word in SERVICES[name]["command"])}


def host_file(name: str, place: str) -> Path:
    """The file of the repository that a container sees at a place."""
    for mounted, (source, _) in mounts(name).items():
        if Path(place).is_relative_to(mounted):
            return ROOT / source / Path(place).relative_to(mounted)
    raise AssertionError(f"{name} has nothing mounted at {place}")


def let_in(name: str) -> list[str]:
    """What of the repository the build of an image sees."""
    own = ROOT / f"{SERVICES[name]['build']['dockerfile']}.dockerignore"
    lines = (own if own.exists() else ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "**" == next(line for line in lines if line[0] != "#")
    return [line[1:] for line in lines if line.startswith("!")]


def test_the_stack_is_the_service_and_what_watches_it_and_by_a_profile_what_loads_it() -> None:
    assert [*STAYS, "loadtest"] == list(SERVICES)
    assert {"loadtest": ["loadtest"]} == {name: it["profiles"] for name, it in SERVICES.items() if "profiles" in it}


@every_service
def test_an_image_is_pinned_and_names_no_registry(name: str) -> None:
    assert re.fullmatch(r"([a-z]+/)?[a-z-]+:v?\d+\.\d+\.\d+", with_defaults(SERVICES[name]["image"]))


@every_service
def test_what_is_fetched_can_be_pinned_by_digest_through_a_variable(name: str) -> None:
    """An image of others directly; one of ours by its base."""
    service = SERVICES[name]
    if "build" in service:
        assert {"BASE_DIGEST": "${BASE_DIGEST:-}"} == service["build"]["args"]
        assert "\nARG BASE_DIGEST=\n" in DOCKERFILES[name].partition("FROM ")[0]
    else:
        assert service["image"].endswith(f"${{{name.upper()}_DIGEST:-}}")


@every_service
def test_only_loopback_ports_are_published(name: str) -> None:
    assert ["127.0.0.1"] == [address for address, _, _ in ports(name)]


def test_what_stays_starts_again_by_itself_and_what_ends_does_not() -> None:
    assert dict.fromkeys(STAYS, "unless-stopped") | {"loadtest": "no"} == {
        name: service["restart"] for name, service in SERVICES.items()
    }


@every_service
def test_a_service_runs_within_limits_and_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert (["ALL"], ["no-new-privileges:true"]) == (service["cap_drop"], service["security_opt"])
    assert int(service["user"].partition(":")[0]) > 0
    assert in_bytes(service["mem_limit"]) >= 128 * 2**20
    assert 0 < service["pids_limit"] <= 2048
    assert 0.5 <= float(with_defaults(str(service["cpu_quota"]))) / service["cpu_period"] <= 4
    assert {"max-size", "max-file"} == set(service["logging"]["options"])


@pytest.mark.parametrize("name", STAYS)
def test_what_stays_has_a_health_check(name: str) -> None:
    assert "CMD" == SERVICES[name]["healthcheck"]["test"][0]


def test_the_service_does_not_reach_alertmanager_or_grafana() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    reached = {name for name in SERVICES if networks["recoup"] & networks[name]}
    assert {"recoup", "prometheus", "loadtest"} == reached
    assert set(COMPOSE["networks"]) == set().union(*networks.values())
    assert networks["prometheus"] == set(COMPOSE["networks"])


@pytest.mark.parametrize("name", ["recoup", "prometheus", "alertmanager", "loadtest"])
def test_the_root_of_a_container_cannot_be_written(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@every_service
def test_what_a_container_sees_of_the_repository_is_there_and_read_only(name: str) -> None:
    given = {source: mode for source, mode in mounts(name).values() if source.startswith(".")}
    assert set() == set(given.values()) - {"ro"}
    assert [] == [source for source in given if not (ROOT / source).exists()]


def test_what_is_kept_is_in_named_volumes() -> None:
    used = {
        place: source
        for name in SERVICES
        for place, (source, mode) in mounts(name).items()
        if not source.startswith(".")
    }
    assert {"/prometheus", "/alertmanager", "/var/lib/grafana", "/report", "/var/lib/recoup"} == set(used)
    assert set(COMPOSE["volumes"]) == set(used.values())


# The service


def test_every_setting_comes_from_the_environment_of_compose_or_is_given_here() -> None:
    given = RECOUP["environment"]
    passed_on = {name: VARIABLE.fullmatch(value) for name, value in given.items()}
    fixed = {name: given[name] for name, variable in passed_on.items() if variable is None}
    assert {setting.name for setting in SETTINGS} == set(given)
    assert {"RECOUP_HOST": "0.0.0.0", "RECOUP_PORT": "8080"} == fixed
    assert [] == [name for name, variable in passed_on.items() if variable and variable[1] != name]


def test_the_service_takes_its_environment_as_it_is_without_a_file_of_settings() -> None:
    environment = {name: with_defaults(value) for name, value in RECOUP["environment"].items()}
    settings = Settings.from_environment(environment)
    assert ("0.0.0.0", 8080, 2, None) == (settings.host, settings.port, settings.workers, settings.admin_token)
    assert settings.grace_seconds == Settings().grace_seconds
    assert str(settings.disk_path) in mounts("recoup")


def test_our_images_are_built_from_their_dockerfiles_and_never_pulled() -> None:
    wanted = {"recoup": ("service", "recoup"), "loadtest": ("loadtest", "recoup-loadtest")}
    for name, (room, image) in wanted.items():
        service = SERVICES[name]
        assert (".", f"{room}/Dockerfile") == (service["build"]["context"], service["build"]["dockerfile"])
        assert ("build", f"{image}:{recoup.__version__}") == (service["pull_policy"], service["image"])
    assert set(wanted) == set(DOCKERFILES)


def test_the_engine_waits_longer_than_the_service_drains() -> None:
    patience = float(with_defaults(RECOUP["stop_grace_period"]).removesuffix("s"))
    assert patience >= Settings().grace_seconds + MARGIN_SECONDS


def test_the_memory_limit_holds_the_cache_and_the_workers_at_their_largest() -> None:
    workers = int(with_defaults(RECOUP["environment"]["RECOUP_WORKERS"]))
    needed = Settings().cache_max_memory_mb * 2**20 + workers * WORKER_BYTES
    assert needed <= in_bytes(RECOUP["mem_limit"])


def test_the_service_has_a_first_process_that_reaps_and_passes_signals_on() -> None:
    assert RECOUP["init"] is True


def test_there_are_processes_and_files_enough_for_the_threads_and_connections() -> None:
    assert RECOUP["pids_limit"] > Settings().threads
    # As many connections as the service accepts at most, and its own files.
    assert RECOUP["ulimits"]["nofile"]["soft"] >= 16_384 + 512


def test_the_service_is_on_its_usual_port_and_the_example_tells_how_to_make_room_for_more() -> None:
    ((_, machine, container),) = ports("recoup")
    ((first, last),) = re.findall(r"A range, such as (\d+)-(\d+)", EXAMPLE)
    assert (str(Settings().port), Settings().port) == (machine, container)
    others = {int(it) for name in STAYS if name != "recoup" for _, it, _ in ports(name)}
    assert set() == others & set(range(int(first), int(last) + 1))
    assert first == machine < last


# Prometheus and Alertmanager


def test_prometheus_scrapes_the_service_by_its_name_and_port() -> None:
    (job,) = [job for job in SCRAPED["scrape_configs"] if job["job_name"] == "recoup"]
    (discovery,) = job["dns_sd_configs"]
    assert ["recoup"] == discovery["names"]
    assert int(RECOUP["environment"]["RECOUP_PORT"]) == discovery["port"]


def test_prometheus_finds_its_configuration_and_rules() -> None:
    configured = options("prometheus")["--config.file"]
    assert ROOT / "metrics" / "prometheus.yml" == host_file("prometheus", configured)
    for pattern in SCRAPED["rule_files"]:
        folder = host_file("prometheus", str(Path(configured).parent / Path(pattern).parent))
        assert [path for path in folder.iterdir() if fnmatch(path.name, Path(pattern).name)]


def test_prometheus_keeps_exemplars_and_its_data_where_the_volume_is() -> None:
    given = options("prometheus")
    assert "exemplar-storage" == given["--enable-feature"]
    assert given["--storage.tsdb.path"] in mounts("prometheus")


def test_prometheus_and_alertmanager_know_each_other() -> None:
    (configured,) = SCRAPED["alerting"]["alertmanagers"]
    ((_, _, port),) = ports("alertmanager")
    assert [f"alertmanager:{port}"] == configured["static_configs"][0]["targets"]


def test_alertmanager_finds_its_configuration_and_keeps_its_data_where_the_volume_is() -> None:
    given = options("alertmanager")
    assert ROOT / "metrics" / "alertmanager.yml" == host_file("alertmanager", given["--config.file"])
    assert given["--storage.path"] in mounts("alertmanager")


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_links_in_alerts_lead_to_the_published_port(name: str) -> None:
    ((address, machine, _),) = ports(name)
    assert f"http://{address}:{machine}/" == options(name)["--web.external-url"]


# Grafana


def test_the_home_of_grafana_is_the_overview() -> None:
    home = host_file("grafana", GRAFANA["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert "recoup-overview" == json.loads(home.read_text(encoding="utf-8"))["uid"]


def test_grafana_is_provisioned_with_the_dashboards_of_the_repository() -> None:
    provisioning = host_file("grafana", "/etc/grafana/provisioning")
    assert {"dashboards", "datasources"} <= {path.name for path in provisioning.iterdir()}
    provided = yaml.safe_load((provisioning / "dashboards" / "recoup.yml").read_text(encoding="utf-8"))
    (provider,) = provided["providers"]
    assert ROOT / "grafana" / "dashboards" == host_file("grafana", provider["options"]["path"])


def test_grafana_has_what_its_provisioning_reads_from_the_environment() -> None:
    """`$$` stands for a dollar."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "grafana" / "provisioning").rglob("*.yml")]
    lines = [
        line for text in texts for line in text.replace("$$", "").splitlines() if not line.lstrip().startswith("#")
    ]
    named = {name for line in lines for name in re.findall(r"\$\{?(\w+)", line)}
    assert named
    assert set() == named - set(GRAFANA["environment"])


def test_grafana_asks_prometheus_where_it_is() -> None:
    ((_, _, port),) = ports("prometheus")
    assert f"http://prometheus:{port}" == GRAFANA["environment"]["PROMETHEUS_URL"]


def test_grafana_is_found_where_it_says() -> None:
    given, ((address, machine, _),) = GRAFANA["environment"], ports("grafana")
    assert (address, f"http://{address}:{machine}/") == (given["GF_SERVER_DOMAIN"], given["GF_SERVER_ROOT_URL"])


def test_grafana_lets_nobody_in_without_a_password_and_calls_nobody() -> None:
    given = GRAFANA["environment"]
    off = [
        "AUTH_ANONYMOUS_ENABLED",
        "USERS_ALLOW_SIGN_UP",
        "ANALYTICS_REPORTING_ENABLED",
        "ANALYTICS_CHECK_FOR_UPDATES",
    ]
    off += ["ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "NEWS_NEWS_FEED_ENABLED"]
    assert ["false"] * len(off) == [given[f"GF_{name}"] for name in off]
    assert given["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_ADMIN_PASSWORD:-")


# The load test


def test_the_load_test_asks_the_service_and_prometheus_where_they_are_when_they_are_healthy() -> None:
    given, ((_, _, port),) = options("loadtest"), ports("prometheus")
    assert f"http://recoup:{RECOUP['environment']['RECOUP_PORT']}" == given["--service"]
    assert f"http://prometheus:{port}" == given["--prometheus"]
    healthy = {"condition": "service_healthy"}
    assert {"recoup": healthy, "prometheus": healthy} == LOADTEST["depends_on"]


def test_the_command_of_the_load_test_has_every_option_as_it_is_given() -> None:
    words = [with_defaults(word) for word in LOADTEST["command"]]
    given = loadtest_parser().parse_args(words)
    assert ("all", 2, 15.0) == (given.scenario, given.users, given.scrape)
    assert ("0.0.0.0", 8089) == (given.web_host, given.web_port)
    assert f"{given.scrape:g}s" == SCRAPED["global"]["scrape_interval"]
    assert str(given.output) in mounts("loadtest")


def test_the_load_test_has_as_many_users_as_the_service_has_workers() -> None:
    users = with_defaults(next(word for word in LOADTEST["command"] if word.startswith("--users=")))
    assert users == f"--users={with_defaults(RECOUP['environment']['RECOUP_WORKERS'])}"


def test_the_steady_state_is_longer_than_the_recorded_rules_look_back_and_a_scrape_more() -> None:
    seconds = float(with_defaults(options("loadtest")["--duration"]))
    assert seconds >= WINDOW_SECONDS + 2 * float(options("loadtest")["--scrape"])


def test_the_load_test_has_the_service_s_token() -> None:
    assert RECOUP["environment"]["RECOUP_ADMIN_TOKEN"] == LOADTEST["environment"]["RECOUP_ADMIN_TOKEN"]


def test_prometheus_scrapes_the_load_test_by_its_name_and_port_while_it_runs() -> None:
    """By DNS: without the profile there is no target, rather than one that is down."""
    (job,) = [job for job in SCRAPED["scrape_configs"] if job["job_name"] == "loadtest"]
    (discovery,) = job["dns_sd_configs"]
    given = LOADTEST["environment"]
    assert (["loadtest"], int(given["LOADTEST_METRICS_PORT"])) == (discovery["names"], discovery["port"])
    assert {"job_name", "dns_sd_configs"} == set(job)
    assert "0.0.0.0" == given["LOADTEST_METRICS_ADDRESS"]


def test_prometheus_asks_nobody_outside_for_a_service_that_is_not_there() -> None:
    """An engine sends such a name on unless this is set; unanswered, Prometheus complains, and keeps the target."""
    assert (["ndots:1"], ["."]) == (PROMETHEUS["dns_opt"], PROMETHEUS["dns_search"])
    names = [name for job in SCRAPED["scrape_configs"] for it in job.get("dns_sd_configs", []) for name in it["names"]]
    assert [] == [name for name in names if "." in name]


def test_locusts_web_interface_is_on_its_usual_port() -> None:
    assert [("127.0.0.1", "8089", 8089)] == list(ports("loadtest"))


# The file of settings, and the images


def test_the_example_has_every_variable_that_compose_reads_and_sets_none() -> None:
    read = {found[0] for found in VARIABLE.findall((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))}
    lines = [line.partition("=") for line in EXAMPLE.splitlines() if line and not line.startswith("#")]
    assert read == {name for name, _, _ in lines}
    assert {""} == {value for _, _, value in lines}


def test_the_example_tells_the_defaults_of_the_memory_limits_as_they_are() -> None:
    defaults = [with_defaults(SERVICES[name]["mem_limit"]) for name in ("recoup", "prometheus", "grafana", "loadtest")]
    assert f"Defaults: {', '.join(defaults)}." in EXAMPLE


def test_no_variable_is_required() -> None:
    """`docker compose up` needs no other step."""
    assert ":?" not in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_the_file_of_settings_stays_out_of_the_repository_and_of_the_image() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert [] == [path for name in DOCKERFILES for path in let_in(name) if Path(path).is_relative_to(".env")]


def test_the_base_of_the_images_is_one_and_pinned() -> None:
    """A dated tag; all stages begin with it or with each other."""
    bases = [
        it for text in DOCKERFILES.values() for it in re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
    ]
    stages = {name for _, name in bases}
    (base,) = {base for base, _ in bases} - stages
    assert re.fullmatch(r"debian:[a-z]+-\d{8}-slim\$\{BASE_DIGEST\}", base)


@every_image_of_ours
def test_everything_that_an_image_installs_is_pinned_with_hashes_or_made_here(name: str) -> None:
    commands = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) .*", DOCKERFILES[name])
    assert commands
    assert [] == [it for it in commands if "--require-hashes" not in it and "--no-index --no-deps" not in it]


@every_image_of_ours
def test_an_image_gets_the_files_that_it_copies(name: str) -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILES[name], re.MULTILINE)
    copied = [word for line in copies for word in line.split()]
    assert sorted(let_in(name)) == sorted(copied)
    assert [] == [path for path in copied if not (ROOT / path).exists()]


@every_image_of_ours
def test_an_image_runs_as_nobody_without_a_shell_between(name: str) -> None:
    (user,) = re.findall(r"^USER (\d+:\d+)$", DOCKERFILES[name], re.MULTILINE)
    assert user == SERVICES[name]["user"]
    assert re.search(r'^ENTRYPOINT \["', DOCKERFILES[name], re.MULTILINE)


def test_an_image_runs_what_it_is_for() -> None:
    assert 'ENTRYPOINT ["recoup"]\nCMD ["serve"]\n' in DOCKERFILE
    assert f"EXPOSE {Settings().port}\n" in DOCKERFILE
    assert 'ENTRYPOINT ["python", "-m", "loadtest"]\n' in DOCKERFILES["loadtest"]
    assert f"EXPOSE 8089 {LOADTEST['environment']['LOADTEST_METRICS_PORT']}\n" in DOCKERFILES["loadtest"]


def test_the_health_check_is_the_one_that_is_copied_into_the_image() -> None:
    """What it does has tests of its own."""
    ((source, place),) = re.findall(r"^COPY (service/health.py) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert (ROOT / source).exists()
    assert f'CMD ["python", "-I", "{place}"]' in DOCKERFILE
    assert ["CMD", "python", "-I", place, "--end-after=3"] == RECOUP["healthcheck"]["test"]


def test_the_service_is_ended_when_the_engine_calls_it_unhealthy() -> None:
    check = RECOUP["healthcheck"]
    assert f"--end-after={check['retries']}" == check["test"][-1]


@every_image_of_ours
def test_an_image_tells_its_version(name: str) -> None:
    assert f'org.opencontainers.image.version="{recoup.__version__}"' in DOCKERFILES[name]
