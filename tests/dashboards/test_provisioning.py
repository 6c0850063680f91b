"""What Grafana is provisioned with agrees with Prometheus, with the dashboards and with the service."""

from __future__ import annotations

import re
from typing import Any

import yaml
from grafana.queries import View

from dashboards.boards import BOARDS, provisioned
from project.tree import ROOT


def source() -> dict[str, Any]:
    (provider,) = provisioned("datasources")["datasources"]
    return dict(provider)


def provider() -> dict[str, Any]:
    (provider,) = provisioned("dashboards")["providers"]
    return dict(provider)


def test_the_data_source_is_prometheus_and_the_default() -> None:
    assert ("prometheus", "proxy", True) == (source()["type"], source()["access"], source()["isDefault"])


def test_its_interval_is_the_scrape_interval_so_that_rate_intervals_are_right() -> None:
    scraped = yaml.safe_load((ROOT / "metrics" / "prometheus.yml").read_text(encoding="utf-8"))
    intervals = {scraped["global"]["scrape_interval"]}
    intervals |= {job["scrape_interval"] for job in scraped["scrape_configs"] if "scrape_interval" in job}

    assert {source()["jsonData"]["timeInterval"]} == intervals
    assert intervals == {f"{View(3600).scrape_seconds:.0f}s"}


def test_an_exemplar_leads_to_its_trace() -> None:
    (link,) = source()["jsonData"]["exemplarTraceIdDestinations"]

    assert "trace_id" == link["name"]
    assert "http://traces/abc" == expanded(link["url"], TRACE_URL="http://traces/").replace("${__value.raw}", "abc")


def expanded(text: str, **environment: str) -> str:
    """As Grafana reads a provisioning file: the environment's values, and one `$` for two."""
    parts = [re.sub(r"\$\{(\w+)\}", lambda name: environment[name[1]], part) for part in text.split("$$")]
    return "$".join(parts)


def test_no_dashboard_names_the_data_source() -> None:
    """So that they work with any Prometheus: they take the one that is chosen, and begin with the default."""
    assert source()["uid"] not in str(BOARDS)


def test_dashboards_come_from_the_folder_that_is_mounted_and_cannot_be_changed_in_the_browser() -> None:
    assert ("Recoup", "/etc/grafana/dashboards") == (provider()["folder"], provider()["options"]["path"])
    assert provider()["allowUiUpdates"] is False
