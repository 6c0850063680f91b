"""The rules are what the rulebook gives, pass every lint, and name only what exists."""

from __future__ import annotations

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from metrics.rulebook.burn import BURNS
from metrics.rulebook.documents import documents
from metrics.rulebook.program import main
from metrics.signals import ALERTS_LOADED, HIT_RATIO, LEVELS, SIGNALS
from metrics.thresholds import SLOW_HIT_BOUNDS, Thresholds, with_changes

from recoup.cache import histogram
from recoup.telemetry import METRICS
from tools import require_tool

from .rulefiles import ALERTS, KNOWN, MARKERS, METRICS_ROOM, RECORDED, RULES, names, read, rules_of, run

EVERY_RULE = [*RECORDED, *ALERTS]
#: The contract's headline figures.
HEADLINES = {
    "pipeline:recoup_hit_ratio:rate5m",
    "pipeline:recoup_speedup:rate5m",
    "job:recoup_hit_ratio:rate5m",
    "job:recoup_speedup:rate5m",
}
LEVEL_LABELS = {level: set(labels) for level, labels in LEVELS.items()}


def alerts_of(folder: Path) -> list[dict[str, Any]]:
    return [rule for rule in rules_of(folder / "alerts.yml") if "alert" in rule]


def name_of(rule: dict[str, Any]) -> str:
    return rule.get("record") or "-".join([rule["alert"], *rule["labels"].values()])


class TestTheFiles:
    @pytest.mark.parametrize("name", ["recording.yml", "alerts.yml"])
    def test_they_are_what_the_rulebook_gives(self, name: str) -> None:
        """After a change there: python -m metrics.build."""
        assert documents()[name] == (RULES / name).read_text(encoding="utf-8")

    def test_there_are_no_others(self) -> None:
        assert set(documents()) == {path.name for path in RULES.iterdir()}

    def test_promtool_finds_no_fault_with_the_rules(self) -> None:
        done = run(require_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.iterdir()))

        assert 0 == done.returncode, done.stdout + done.stderr

    def test_promtool_finds_no_fault_with_the_configuration(self) -> None:
        done = run(require_tool("promtool"), "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")

        assert 0 == done.returncode, done.stdout + done.stderr

    def test_amtool_finds_no_fault_with_the_configuration(self) -> None:
        done = run(require_tool("amtool"), "check-config", "alertmanager.yml")

        assert 0 == done.returncode, done.stdout + done.stderr


class TestTheConfiguration:
    def test_instances_are_found_by_dns(self) -> None:
        jobs = {job["job_name"]: job for job in read(METRICS_ROOM / "prometheus.yml")["scrape_configs"]}

        assert [("recoup", "A", 8080)] == [
            (name, discovery["type"], discovery["port"])
            for discovery in jobs["recoup"]["dns_sd_configs"]
            for name in discovery["names"]
        ]

    def test_exemplars_are_kept(self) -> None:
        assert read(METRICS_ROOM / "prometheus.yml")["storage"]["exemplars"]["max_exemplars"] > 0

    def test_every_rule_file_is_loaded(self) -> None:
        (pattern,) = read(METRICS_ROOM / "prometheus.yml")["rule_files"]

        assert set(RULES.iterdir()) == set(METRICS_ROOM.glob(pattern))

    def test_nothing_in_alertmanager_needs_a_secret(self) -> None:
        configuration = read(METRICS_ROOM / "alertmanager.yml")

        assert [{"name": configuration["route"]["receiver"]}] == configuration["receivers"]

    def test_inhibition_names_alerts_that_exist(self) -> None:
        text = (METRICS_ROOM / "alertmanager.yml").read_text()
        named = set(re.findall(r'alertname !?= "(\w+)"', text))

        assert named
        assert set() == named - {rule["alert"] for rule in ALERTS}


class TestExpressions:
    @pytest.mark.parametrize("rule", EVERY_RULE, ids=name_of)
    def test_each_name_is_catalogued_or_recorded(self, rule: dict[str, Any]) -> None:
        assert names(rule["expr"])
        assert set() == names(rule["expr"]) - KNOWN

    @pytest.mark.parametrize("rule", EVERY_RULE, ids=name_of)
    def test_each_value_of_a_label_is_one_that_is_exported(self, rule: dict[str, Any]) -> None:
        known = {metric.name: metric for metric in METRICS}
        for name, matchers in re.findall(r"(recoup_\w+)\{([^}]*)\}", rule["expr"]):
            metric = known[re.sub(r"_(bucket|sum|count)$", "", name)]
            for label, _, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
                if label in {"route", "status"}:  # known to the service's routes, not to the catalogue
                    continue
                bounds = {str(bound) for bound in metric.buckets}
                allowed = bounds if label == "le" else set(metric.values[label])
                assert set() == set(value.split("|")) - allowed

    def test_the_names_tell_a_failure(self) -> None:
        assert {"recoup_lookup_total", "nosuch:recoup_x:sum"} == names(
            'sum by (job) (rate(recoup_lookup_total{outcome="hit"}[5m])) / nosuch:recoup_x:sum offset 1h > 0.5'
        )


class TestSignals:
    def test_the_headlines_are_recorded(self) -> None:
        assert set() == HEADLINES - {rule["record"] for rule in RECORDED}

    def test_those_that_have_a_name_are_those_that_are_recorded(self) -> None:
        named = [name for signal in SIGNALS for name in signal.series]

        assert sorted(named) == sorted(rule["record"] for rule in [*RECORDED, *MARKERS])

    def test_the_file_of_alerts_says_that_it_is_loaded(self) -> None:
        """A dashboard could not tell otherwise: an alert that does not fire is no series."""
        assert [ALERTS_LOADED.at("job")] == [rule["record"] for rule in MARKERS]

    @pytest.mark.parametrize(("level", "window"), [("instance", "1d"), ("job", "1d"), ("world", None)])
    def test_a_series_that_is_not_recorded_has_no_name(self, level: str, window: str | None) -> None:
        with pytest.raises(ValueError, match="recoup_hit_ratio is not recorded"):
            HIT_RATIO.at(level, window)

    def test_each_is_recorded_once(self) -> None:
        assert len(RECORDED) == len({rule["record"] for rule in RECORDED})

    @pytest.mark.parametrize("rule", RECORDED, ids=name_of)
    def test_its_name_tells_its_level_and_its_window(self, rule: dict[str, Any]) -> None:
        level, signal, operation = rule["record"].split(":")
        windows = set(re.findall(r"\[(\w+)\]|:(?:rate|increase)(\w+)", rule["expr"]))
        windows = {window for pair in windows for window in pair if window}

        assert level in LEVELS
        assert re.fullmatch(r"recoup_[a-z_]+", signal)
        assert not operation.startswith("rate") or {operation.removeprefix("rate")} == windows

    @pytest.mark.parametrize("rule", RECORDED, ids=name_of)
    def test_sums_keep_the_labels_of_the_level(self, rule: dict[str, Any]) -> None:
        level = rule["record"].partition(":")[0]
        kept = [
            set(labels.split(", ")) - {"le", "outcome"} for labels in re.findall(r"sum by \(([^)]*)\)", rule["expr"])
        ]
        if "_cost:" in rule["record"]:  # money, which is never added over currencies
            assert all("currency" in labels for labels in kept)
            kept = [labels - {"currency"} for labels in kept]

        assert all(labels == LEVEL_LABELS[level] for labels in kept)

    @pytest.mark.parametrize(
        "rule", [rule for rule in RECORDED if re.search(r"_ratio:|_speedup:", rule["record"])], ids=name_of
    )
    def test_ratios_are_sums_that_are_divided_and_silent_without_traffic(self, rule: dict[str, Any]) -> None:
        numerator, denominator = rule["expr"].split("\n/\n")

        assert re.search(r"sum by|:sum|:increase", numerator)
        assert denominator.endswith("> 0)")

    def test_the_bounds_of_slow_hits_are_buckets_and_fractions(self) -> None:
        assert set(SLOW_HIT_BOUNDS) <= set(histogram.REQUEST_SECONDS)
        assert all(bound != int(bound) for bound in SLOW_HIT_BOUNDS)


class TestTheProgram:
    def test_a_threshold_that_is_changed_changes_expression_and_text(self, tmp_path: Path) -> None:
        main(["--output", str(tmp_path), "--set", "hit_ratio=0.45"])

        (rule,) = [rule for rule in alerts_of(tmp_path) if rule["alert"] == "RecoupHitRatioLow"]
        assert rule["expr"].startswith("pipeline:recoup_hit_ratio:rate1h < 0.45\n")
        assert "(threshold 45%)" in rule["annotations"]["description"]

    def test_links_lead_where_one_says(self, tmp_path: Path) -> None:
        main(
            [
                "--output",
                str(tmp_path),
                "--runbook",
                "https://wiki.example.org/recoup",
                "--dashboards",
                "https://g.example.org/",
            ]
        )

        for rule in alerts_of(tmp_path):
            assert rule["annotations"]["runbook_url"].startswith("https://wiki.example.org/recoup?")
            assert rule["annotations"]["dashboard_url"].startswith("https://g.example.org/d/recoup-")

    def test_one_setting_leads_every_link_to_the_service(self, tmp_path: Path) -> None:
        main(["--output", str(tmp_path), "--service", "https://recoup.example.org/"])

        for rule in alerts_of(tmp_path):
            assert rule["annotations"]["runbook_url"].startswith("https://recoup.example.org/docs/runbook?")
            assert rule["annotations"]["dashboard_url"].startswith(
                "https://recoup.example.org/docs/dashboards/d/recoup-"
            )

    @pytest.mark.parametrize("rule", ALERTS, ids=name_of)
    def test_links_are_absolute_and_choose_what_the_alert_is_about(self, rule: dict[str, Any]) -> None:
        for link, prefix in (("runbook_url", ""), ("dashboard_url", "var-")):
            address = urlsplit(re.sub(r"{{.*?}}", "", rule["annotations"][link]))
            assert ("http", "127.0.0.1:8080") == (address.scheme, address.netloc)
            chosen = re.findall(r"(\w[\w-]*)={{", rule["annotations"][link])
            assert [f"{prefix}cluster", f"{prefix}namespace", f"{prefix}job"] == chosen[:3]

    @pytest.mark.parametrize(
        ("change", "refusal"),
        [
            ("hit_rate=0.5", "Unknown threshold 'hit_rate'; did you mean hit_ratio?"),
            ("hit_ratio=much", "hit_ratio: expected a number, got 'much'"),
            ("hit_ratio", "hit_ratio: expected a number, got nothing"),
            ("hit_ratio=60", "hit_ratio=60: expected a number above 0 and below 1"),
            ("hit_ratio=0", "hit_ratio=0: expected a number above 0 and below 1"),
            ("hit_ratio=nan", "hit_ratio=nan: expected a number above 0 and below 1"),
            ("speedup=inf", "speedup=inf: expected a number above 1"),
            ("speedup=1", "speedup=1: expected a number above 1"),
            ("error_budget=0.1", "error_budget=0.1: expected a number above 0 and below 0.06944"),
            ("bypasses=-1", "bypasses=-1: expected a number of at least 0"),
            ("slow_hit_seconds=0.03", "slow_hit_seconds=0.03: expected one of 0.0025, 0.005"),
        ],
    )
    def test_a_threshold_that_means_nothing_is_refused_in_one_line(
        self, change: str, refusal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as end:
            main(["--output", str(tmp_path), "--set", change])

        error = capsys.readouterr().err
        assert 2 == end.value.code
        assert error.startswith(f"metrics.build: argument --set: {refusal}")
        assert 1 == error.count("\n")
        assert [] == list(tmp_path.iterdir())

    @pytest.mark.parametrize("threshold", fields(Thresholds), ids=lambda threshold: threshold.name)
    @pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1"])
    def test_no_threshold_takes_what_no_figure_can_be(self, threshold: Field[float], value: str) -> None:
        with pytest.raises(ValueError, match=f"^{threshold.name}="):
            with_changes([f"{threshold.name}={value}"])

    @pytest.mark.parametrize(
        ("option", "value"), [("--shorter-by", "0"), ("--shorter-by", "nan"), ("--runbook", "docs/runbook.md")]
    )
    def test_an_option_that_cannot_be_is_refused_in_one_line(
        self, option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as end:
            main(["--output", str(tmp_path), option, value])

        error = capsys.readouterr().err
        assert 2 == end.value.code
        assert error.startswith(f"metrics.build: argument {option}: expected ")
        assert 1 == error.count("\n")

    def test_no_alert_can_ask_for_more_than_all(self) -> None:
        """A burn rate times its budget is a share: with the largest budget, too, it is below 1."""
        most = Thresholds.__dataclass_fields__["error_budget"].metadata["bounds"].high

        assert max(burn.rate for burn in BURNS) * most <= 1

    def test_shorter_rules_differ_in_their_times_alone(self, tmp_path: Path) -> None:
        main(["--output", str(tmp_path), "--shorter-by", "60"])
        shorter = [*rules_of(tmp_path / "recording.yml"), *alerts_of(tmp_path)]

        assert [name_of(rule) for rule in EVERY_RULE] == [name_of(rule) for rule in shorter]
        for long, short in zip(EVERY_RULE, shorter, strict=True):
            assert not re.search(r"\[\d+[smhd]\]|offset \d+[smhd]\b", short["expr"])
            assert names(long["expr"]) == names(short["expr"])
        (rule,) = [rule for rule in shorter if rule.get("alert") == "RecoupHitRatioLow"]
        assert ("5000ms", "60000ms") == (rule["for"], rule["keep_firing_for"])
