"""The report: what a run came to, as a page that says it at once, and loads nothing from anywhere."""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from grafana.charts import Chart, Line, Target
from loadtest import checks as checks_of_the_verdict
from loadtest import formatting, report
from loadtest.report import page as pages
from loadtest.report.page import EXPECTED, HEADLINES, groups, headlines
from loadtest.result import Check, PanelChart, Result, Span, Usage
from loadtest.table import as_text

from tools import require_tool

BEGIN = 1_750_000_000.0
#: Scenario, part, seconds, requests, hit ratio.
PHASES = (
    ("single", "first", 2, 8, None), ("single", "cached", 16, 172, 0.0),
    ("duplicate", "without", 6, 60, None), ("duplicate", "cached", 5, 4000, 0.9998),
    ("pair", "cached", 16, 300, 0.5), ("triple", "cached", 16, 462, 0.667),
    ("typical", "warm", 30, 200, 0.0), ("typical", "cached", 75, 2480, 0.703),
    ("typical", "without", 18, 170, None),
    ("stampede", "bursts", 9, 1000, 0.01), ("churn", "before", 8, 260, 0.71), ("churn", "scan", 9, 180, 0.33),
    ("churn", "after", 10, 290, 0.64), ("saturation", "overload", 12, 900, 0.55),
    ("management", "calls", 14, 430, 0.52),
    ("kill-worker", "kill", 8, 210, 0.69), ("prometheus-restart", "without Prometheus", 12, 320, 0.7),
    ("terminate", "drain", 4, 60, 0.7), ("garbage", "between", 7, 400, 0.7), ("shrink", "shrunk", 9, 150, 0.22),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(phase[0] for phase in PHASES))
#: Scenarios of which half of the requests go past the cache, by turns with the others.
BY_TURNS = ("single", "pair", "triple")


def spans() -> tuple[Span, ...]:
    """The phases, one after another with a breath between."""
    made, at = [], BEGIN + 1.5
    for scenario, part, seconds, requests, ratio in PHASES:
        past = requests if ratio is None else requests // 2 if scenario in BY_TURNS else 0
        hits = round((requests - past) * (ratio or 0))
        missed = {"hit": hits, "miss": requests - past - hits, "bypass": past}
        if scenario == "stampede":
            missed = {"hit": 10, "coalesced": 980, "miss": 10}
        misses = missed.get("miss", 0)
        reasons = (
            {"cold": misses - misses // 2, "evicted": misses // 2}
            if scenario in ("typical", "churn")
            else {"cold": misses}
        )
        window = (scenario, part) == ("typical", "cached")
        made.append(
            Span(scenario, part, at, at + seconds, requests, 0, ratio, missed, reasons if misses else {}, window)
        )
        at += seconds + 1
    return tuple(made)


def lines(rng: random.Random, names: dict[str, Callable[[Span], float | None]], noise: float = 0.1) -> tuple[Line, ...]:
    """Lines of a point a second, with what each has in each phase; None: a gap."""
    made = []
    for name, height in names.items():
        points = []
        for span in spans():
            value = height(span)
            if value is not None:
                moments = [float(at) for at in range(math.ceil(span.begin), math.floor(span.end) + 1)]
                points += [(at, max(value * rng.gauss(1, noise), 0.0)) for at in moments]
        made.append(Line(name, tuple(points)))
    return tuple(made)


def rate(outcome: str) -> Callable[[Span], float]:
    return lambda span: span.outcomes.get(outcome, 0) / (span.end - span.begin)


def chart(title: str, unit: str, drawn: tuple[Line, ...], **further: object) -> PanelChart:
    query = f'sum by (outcome) (rate(recoup_lookups_total{{job="recoup",pipeline=~".+"}}[75s])) # {title}'
    plot = Chart(title, unit, drawn, **further)  # type: ignore[arg-type]
    return PanelChart("Recoup: Load test", f"What {title.lower()} was, over the run.", (query,), plot)


def pictures(rng: random.Random) -> tuple[PanelChart, ...]:
    """About what the load test's board has."""
    ratio = {"recoup": lambda span: span.hit_ratio}
    gain = {"recoup": lambda span: span.hit_ratio and min(1 / (1 - span.hit_ratio), 6)}
    outcomes = {name: rate(name) for name in ("hit", "coalesced", "miss", "bypass", "stale")}
    hits = {
        f"hit {name}": lambda span, much=much: much if span.outcomes.get("hit") else None
        for name, much in (("p99", 0.004), ("p95", 0.0021), ("p50", 0.0011))
    }
    misses = {
        f"miss {name}": lambda span, much=much: much if span.outcomes.get("miss") else None
        for name, much in (("p99", 0.21), ("p95", 0.16), ("p50", 0.11))
    }
    reasons = {
        name: lambda span, name=name: span.reasons.get(name, 0) / (span.end - span.begin)
        for name in ("cold", "evicted", "expired", "invalidated")
    }
    held = {
        "held": lambda span: 11e6 if span.scenario == "shrink" else 1.1e8,
        "limit": lambda span: 1.2e7 if span.scenario == "shrink" else 5.4e8,
    }
    load = {
        "offered": lambda span: span.requests / (span.end - span.begin) * 1.02,
        "achieved": lambda span: span.requests / (span.end - span.begin),
    }
    return (
        chart("Hit ratio", "percentunit", lines(rng, ratio, 0.01), targets=(Target(0.6), Target(0.7))),
        chart("Speed-up", "suffix:x", lines(rng, gain, 0.03), targets=(Target(2.0), Target(3.0))),
        chart("Lookups by outcome", "reqps", lines(rng, outcomes), stacked=True),  # type: ignore[arg-type]
        chart("Hit latency", "s", lines(rng, hits, 0.2), logarithmic=True),  # type: ignore[arg-type]
        chart("Miss latency", "s", lines(rng, misses, 0.2), logarithmic=True),  # type: ignore[arg-type]
        chart("Memory against its limit", "bytes", lines(rng, held, 0.004)),  # type: ignore[arg-type]
        chart("Misses by reason", "cps", lines(rng, reasons), stacked=True),  # type: ignore[arg-type]
        chart("Offered and achieved load", "reqps", lines(rng, load, 0.05)),
        chart("Failed requests", "reqps", lines(rng, {"failed": lambda span: 0.0})),
        chart("Slow hits", "percentunit", (), targets=(Target(0.01),)),
    )  # fmt: skip


def checks() -> tuple[Check, ...]:
    source = "Load test: {}".format
    typical = (
        Check("typical", "Hit ratio", "70.3 %", "66.7 to 72 %", True, "", source("Hit ratio")),
        Check("typical", EXPECTED, "0.20 points", "at most 2.00 points", True, "70.3 % against 70.5 %"),
        Check(
            "typical", "Answers that an exact LRU would not give", "0.2 %", "at most 2.0 %", True, "5 answers of 2,480"
        ),
        Check(
            "typical", "Speed-up, the clients' way", "3.31x", "at least 3.00x", True, "113 ms without, 34 ms with it"
        ),
        Check("typical", "Speed-up, the service's way", "3.27x", "at least 3.00x", True, "", source("Speed-up")),
        Check("typical", "Speed-up: clients and service agree", "1.2 %", "at most 10.0 %", True, "3.31x and 3.27x"),
        Check("typical", "Memory overhead", "3.4 %", "at most 10.0 %", True),
    )
    others = [
        Check(name, asked, measured, wanted, True)
        for name in NAMES
        if name != "typical"
        for asked, measured, wanted in (
            ("Requests counted", "1,234 and 1,234", "equal"),
            ("Recovery", "0.4 s", "within 5 s"),
        )
    ]
    run = Check("run", "Failures", "0 failures in 11,902 requests", "none", True)
    return (run, *typical, *others)


def usages() -> tuple[Usage, ...]:
    return (
        Usage("Single request", 86, 0.1134, 0.1151, 0.985, 0.0, 1.0, 124.6, 124.6017, 1.0),
        Usage("Duplicate request", 4000, 0.1121, 0.00117, 95.8, 0.99975, 4000.0, 124.6, 0.0323, 3857.0),
        Usage("2-item pipeline", 150, 0.1129, 0.0577, 1.957, 0.5, 2.0, 124.6, 62.3011, 2.0),
        Usage("3-item pipeline", 231, 0.1131, 0.0388, 2.915, 0.6667, 3.0, 124.6, 41.5342, 3.0),
        Usage("Typical usage", 2480, 0.1132, 0.0342, 3.31, 0.703, 3.367, 124.6, 37.0072, 3.367),
    )


def passed(seed: int = 1) -> Result:
    """A run of all scenarios that passed, about five minutes at a point a second."""
    return Result(
        passed=True,
        checks=checks(),
        usages=usages(),
        spans=spans(),
        charts=pictures(random.Random(seed)),
        settings={"seed": 1, "users": 2, "cache_entries": 100, "catalogue": 500, "alpha": 0.945,
                  "duration_seconds": 75.0, "scenarios": list(NAMES), "scaled_generation_seconds": 124.6},
        environment={"recoup": "0.4.0", "Python": "3.11.9", "Prometheus": "2.53.0", "Locust": "2.47.0", "cores": "2",
                     "window of the recorded rules": "75 s"},
        notes=("Prometheus was stopped for 5 seconds in the scenario prometheus-restart: the charts have a gap.",),
        begin=BEGIN,
        end=spans()[-1].end + 1,
    )  # fmt: skip


def failed() -> Result:
    """The same, with the cache crippled."""
    whole = passed()
    bad = {
        "Hit ratio": ("41.2 %", "The cache gave less than two thirds of what a cache of this size gives."),
        "Speed-up, the clients' way": ("1.62x", ""),
    }
    every = tuple(
        replace(check, measured=bad[check.name][0], detail=bad[check.name][1], passed=False)
        if check.name in bad
        else check
        for check in whole.checks
    )
    broken = replace(
        every[-1], passed=False, measured="7.3 s", detail="Answers stayed slow after the limit was restored."
    )
    return replace(whole, passed=False, checks=(*every[:-1], broken))


def one_scenario() -> Result:
    """A run of one scenario, with nothing to compare and no panel asked."""
    whole = passed()
    return replace(
        whole,
        checks=tuple(check for check in whole.checks if check.scenario == "garbage"),
        usages=(),
        spans=tuple(span for span in whole.spans if span.scenario == "garbage"),
        charts=(),
        notes=(),
    )


class Page(HTMLParser):
    """What a test asks of the page: its elements, the text in them, and whether they are closed as they were opened."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(markup)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        inside: list[str] = []
        self.elements.append((tag, dict(attrs), inside))
        if tag not in self.VOID:
            self._open.append((tag, inside))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        for _, inside in self._open:
            inside.append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        """What stands in every such element, with single spaces."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}.items()
        return [
            " ".join("".join(text).split())
            for name, has, text in self.elements
            if name == tag and wanted <= has.items()
        ]


def seen(path: Path, folder: Path) -> tuple[Page, list[str]]:
    """The page as Chromium has it after its script ran, without a network; and what its console says."""
    command = [
        require_tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
        f"--user-data-dir={folder}", "--virtual-time-budget=2000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return Page(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def with_script(result: Result, folder: Path, script: str) -> Path:
    """A report with a script of the test at its end. Its own policy lets it run, as it does the page's."""
    path = report.write(result, folder)
    path.write_text(path.read_text("utf-8").replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    return path


class TestInABrowser:
    @pytest.mark.parametrize(
        ("result", "verdict"), [(passed(), "Passed"), (failed(), "Failed")], ids=["passed", "failed"]
    )
    def test_it_says_the_verdict_and_its_script_has_nothing_to_complain_of(
        self, tmp_path: Path, result: Result, verdict: str
    ) -> None:
        path = report.write(result, tmp_path / "report")
        page, console = seen(path, tmp_path / "browser")
        assert [] == console
        (shown,) = page.texts("h1")
        assert shown.endswith(verdict)
        drawn = [has for tag, has, _ in page.elements if tag == "div" and "uplot" in (has.get("class") or "").split()]
        assert len(drawn) == sum(bool(chart.plot.lines) for chart in result.charts)

    def test_pointing_at_a_chart_shows_every_line_of_that_moment_in_all_charts(self, tmp_path: Path) -> None:
        """At 3:32 it is the first part of `churn`, whose hit ratio was 71 %, and nobody's requests were coalesced."""
        script = """
            const [first] = recoupCharts.plots, moment = first.data[0].find((at) => at >= BEGIN + 212);
            first.setCursor({left: first.valToPos(moment, "x"), top: 10});
        """.replace("BEGIN", f"{BEGIN:.0f}")
        page, console = seen(with_script(passed(), tmp_path, script), tmp_path / "browser")
        assert [] == console
        shown = [text for text in page.texts("li") if text.startswith(("recoup ", "coalesced "))]
        assert 71 == pytest.approx(float(shown[0].removeprefix("recoup ").removesuffix("%")), abs=3)
        assert "coalesced 0 req/s" == shown[2]

    def test_a_complaint_would_have_been_seen(self, tmp_path: Path) -> None:
        script = 'console.error("loud"); fetch("http://127.0.0.1:9/").catch(() => {});'
        _, console = seen(with_script(one_scenario(), tmp_path, script), tmp_path / "browser")
        assert any("loud" in line for line in console)
        assert any("Content Security Policy" in line for line in console), "the page may load nothing"


@pytest.mark.parametrize("result", [passed(), failed(), one_scenario()], ids=["passed", "failed", "one scenario"])
class TestEveryReport:
    def test_it_asks_nobody_for_anything(self, result: Result) -> None:
        page = Page(report.render(result))
        sources = [
            value
            for _, has, _ in page.elements
            for name, value in has.items()
            if name in ("src", "href", "action", "data")
        ]
        assert ["data:,"] == sources
        assert not re.search(r"url\(|@import", "".join(page.texts("style")))
        # The library names its home in the comment at its top.
        assert ["https://github.com/leeoniya/uPlot"] == re.findall(r"https?://[\w./]+\w", report.render(result))

    def test_it_is_written_beside_its_json_which_gives_the_same_again(self, tmp_path: Path, result: Result) -> None:
        path = report.write(result, tmp_path / "new" / "folder")
        again = Result.from_json((path.parent / "report.json").read_text("utf-8"))
        assert path.read_text("utf-8") == report.render(again)
        assert result == again

    def test_no_table_or_list_is_empty(self, result: Result) -> None:
        page = Page(report.render(result))
        for tag in ("tbody", "ul", "dl", "section", "h2", "h3", "figcaption", "summary"):
            assert "" not in page.texts(tag)

    def test_every_check_stands_there_with_what_was_found_and_wanted(self, result: Result) -> None:
        items = Page(report.render(result)).texts("li")
        for check in result.checks:
            said = f"{'passed' if check.passed else 'failed'}", check.name, check.measured, f"wanted {check.wanted}"
            assert any(all(word in item for word in said) for item in items), check


def test_the_command_makes_the_page_again_from_json(tmp_path: Path) -> None:
    first = report.write(failed(), tmp_path / "first")
    command = [
        sys.executable,
        "-m",
        "loadtest.report",
        str(first.parent / "report.json"),
        "--output",
        str(tmp_path / "second"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    second = Path(done.stdout.strip())
    assert first.read_text("utf-8") == second.read_text("utf-8")


def test_the_command_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}", "utf-8")
    command = [sys.executable, "-m", "loadtest.report", str(tmp_path / "report.json"), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == done.returncode
    assert "report.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_failed_stands_at_the_top_and_first_in_its_scenario() -> None:
    page = Page(report.render(failed()))
    (top,) = page.texts("ul", class_="failed")
    assert ["typical: Hit ratio", "typical: Speed-up, the clients' way", "shrink: Recovery"] == re.findall(
        r"(\S+: .+?) measured", top.replace("✕failed", "\n").replace("gives.", "\n")
    )
    names = page.texts("h3")
    assert names.index("typical 2 of 7 failed") < names.index("run 1 passed")
    assert [False, False, True, True, True, True, True] == [check.passed for check in groups(failed().checks)[0].checks]


def test_the_large_figures_are_those_of_the_checks_and_theory_stands_beside_the_hit_ratio() -> None:
    large = list(headlines(passed().checks))
    assert [name for _, name in HEADLINES] == [headline.check.name for headline in large]
    assert ["70.3 %", "3.31x", "3.27x", "3.4 %", "0 failures in 11,902 requests"] == [
        headline.check.measured for headline in large
    ]
    assert "70.3 % against 70.5 % expected (Che's approximation)" == large[0].beside


def test_money_is_told_where_a_pipeline_has_a_price() -> None:
    paid = replace(passed(), recouped={"USD": 41.2}, generated={"USD": 0.09})
    unbroken = pages.render(paid).replace("\N{NO-BREAK SPACE}", " ")
    assert "41.20 USD" in unbroken
    assert "0.09 USD spent on generations" in unbroken
    assert "  recouped: 41.20 USD, beside 0.09 USD that generations cost\n" in as_text(paid)
    assert "Recouped" not in pages.render(passed())
    assert "recouped:" not in as_text(passed())
    assert paid == Result.from_json(paid.to_json())


def test_the_large_figures_are_checks_that_the_verdict_makes() -> None:
    code = "".join(path.read_text("utf-8") for path in Path(checks_of_the_verdict.__file__).parent.glob("*.py"))
    assert [] == [name for name in (EXPECTED, *(name for _, name in HEADLINES)) if f'"{name}"' not in code]


def test_what_is_computed_is_set_apart_from_what_is_measured() -> None:
    page = Page(report.render(passed()))
    (head,) = page.texts("th", class_="computed", scope="colgroup")
    assert head.startswith("Computed, not measured")
    assert 3 * len(usages()) == len(page.texts("td", class_="computed"))
    assert "37.0 s" in page.texts("td", class_="computed")


EVIL = '<script>alert("1")</script>&\'"</style>'


def test_no_text_becomes_markup() -> None:
    whole = one_scenario()
    evil = replace(
        whole,
        checks=(Check(EVIL, EVIL, EVIL, EVIL, False, EVIL, EVIL),),
        usages=(replace(usages()[0], name=EVIL),),
        spans=tuple(replace(s, scenario=EVIL, part=EVIL, outcomes={EVIL: 1}, reasons={EVIL: 2}) for s in whole.spans),
        charts=(PanelChart(EVIL, EVIL, (EVIL,), Chart(EVIL, EVIL, (Line(EVIL, ((BEGIN, 1.0),)),))),),
        settings={EVIL: EVIL},
        environment={EVIL: EVIL},
        notes=(EVIL,),
    )
    page = Page(report.render(evil))
    data, library = page.texts("script")
    assert 2 == len(page.texts("style"))
    assert (True, False) == ("alert" in data, "alert" in library)
    assert "<" not in data
    assert [EVIL] == page.texts("pre")


class TestCharts:
    AXIS = pages.Axis.of(passed())

    @pytest.mark.parametrize(
        ("empty", "why"),
        [
            (chart("Slow hits", "s", ()), "Prometheus answered with no series"),
            (chart("Slow hits", "s", (Line("recoup", ()),)), "Prometheus answered with series that have no value"),
            (replace(chart("Slow hits", "s", ()), queries=()), "Nothing was asked"),
        ],
        ids=["no series", "no value", "no query"],
    )
    def test_an_empty_one_says_why(self, empty: PanelChart, why: str) -> None:
        (said,) = Page(report.render(replace(passed(), charts=(empty,)))).texts("div", class_="chart empty")
        assert said.startswith(why)

    @pytest.mark.parametrize(
        ("second", "scrape_seconds"), [("75", 0.0), ("75.5", 0.25), ("76", 1.0)], ids=["end", "settled", "next phase"]
    )
    def test_the_values_at_rest_are_those_that_the_verdict_asks_for(self, second: str, scrape_seconds: float) -> None:
        """At the end of the steady state, and of the rest of two scrapes after it, but never after what comes next."""
        (window,) = [span for span in spans() if span.window]
        whole = passed()
        moments = tuple((window.begin + half / 2, half / 2) for half in range(400))
        settings = {**whole.settings, "scrape_seconds": scrape_seconds}
        result = replace(whole, settings=settings, charts=(chart("Hit ratio", "short", (Line("recoup", moments),)),))
        assert f"recoup {second}" in Page(report.render(result)).texts("li")

    def test_all_have_the_whole_run_as_their_axis_and_the_steady_state_marked(self) -> None:
        (window,) = [span for span in spans() if span.window]
        for drawn in passed().charts:
            shown = pages.plot(drawn, self.AXIS)
            assert ((BEGIN, passed().end), True) == (shown.span, shown.elapsed)
            assert ((window.begin, window.end),) == shown.shaded

    def test_a_peak_elsewhere_does_not_flatten_the_steady_state_and_is_told(self) -> None:
        (window,) = [span for span in spans() if span.window]
        points = ((BEGIN + 5, 1000.0), *((window.begin + second, 30.0) for second in range(70)))
        drawn = chart("Lookups", "reqps", (Line("hit", points),))
        assert 120.0 == pages.plot(drawn, self.AXIS).maximum
        said = Page(report.render(replace(passed(), charts=(drawn,)))).texts("p", class_="faint beyond")
        assert ["Beyond the axis: up to 1,000 req/s"] == said

    def test_a_run_without_a_steady_state_is_drawn_as_it_is(self) -> None:
        drawn = chart("Lookups", "reqps", (Line("hit", ((BEGIN + 5, 1000.0), (BEGIN + 6, 1.0))),))
        assert None is pages.plot(drawn, pages.Axis.of(one_scenario())).maximum


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("113 ms", formatting.seconds(0.1134)),
        ("124.6 s", formatting.seconds(124.6)),
        ("3:05", formatting.clock(185.4)),
        ("1:00:01", formatting.clock(3601)),
        ("70.3 %", formatting.percent(0.703)),
        ("99.98 %", formatting.percent(0.99975)),
        ("100.0 %", formatting.percent(1.0)),
        ("no bound", formatting.times(None)),
        ("3.31x", formatting.times(3.31)),
        ("4,000x", formatting.times(4000.0)),
        ("0.945", formatting.setting(0.945)),
        ("at most\N{SPACE}10.0\N{NO-BREAK SPACE}% in 3 steps", formatting.unbroken("at most 10.0 % in 3 steps")),
        ("single, pair", formatting.setting(["single", "pair"])),
    ],
)
def test_figures_are_written_for_people(said: str, told: str) -> None:
    assert said == told
