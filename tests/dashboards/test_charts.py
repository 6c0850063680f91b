"""Charts on self-contained pages: what the library draws, what stands beside it, and that nothing is loaded."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from grafana.charts import (
    COLOURS,
    DARK,
    LIGHT,
    PALETTE,
    Chart,
    Heatmap,
    Line,
    Mark,
    Target,
    render,
    script,
    style,
    text,
)
from grafana.charts.page import TABLE_ROWS, VENDOR

from tools import require_tool

BEGIN = 1_700_000_000.0
SPAN = (BEGIN, BEGIN + 600)
STEADY = [(BEGIN + 15 * number, 0.5) for number in range(41)]


def data(element: str) -> dict[str, Any]:
    """What the script is given."""
    encoded = re.search(r'<script type="application/json">(.*?)</script>', element)
    assert encoded
    decoded: dict[str, Any] = json.loads(encoded[1])
    return decoded


class TestTheVendoredLibrary:
    def test_the_files_have_the_hashes_that_the_readme_says(self) -> None:
        readme = (VENDOR.parent / "README.md").read_text(encoding="utf-8")
        stated = dict(re.findall(r"\| `uplot/([\w.]+)` \| [\d.]+ \| `([0-9a-f]{64})`", readme))

        assert {"uPlot.iife.min.js", "uPlot.min.css"} == set(stated)
        assert stated == {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in stated}

    def test_its_licence_stands_beside_it(self) -> None:
        assert "MIT License" in (VENDOR / "LICENSE").read_text(encoding="utf-8")

    def test_the_version_in_the_file_is_the_readme_s(self) -> None:
        version = re.search(r"v(\d+\.\d+\.\d+)", (VENDOR / "uPlot.iife.min.js").read_text(encoding="utf-8"))
        assert version
        assert f"| {version[1]} |" in (VENDOR.parent / "README.md").read_text(encoding="utf-8")


class TestAChart:
    def test_it_has_a_name_a_legend_and_a_table(self) -> None:
        element = render(Chart("Hit <ratio>", "percentunit", [Line("a&b", STEADY)], SPAN))

        assert '<figure class="chart" aria-label="Hit &lt;ratio&gt;">' in element
        assert 'role="img" aria-label="Hit &lt;ratio&gt;"' in element
        assert "a&amp;b <b>50%</b>" in element
        assert ['<th scope="col">Time</th>', '<th scope="col">a&amp;b</th>'] == re.findall(
            r"<th scope=.col.>.*?</th>", element
        )
        assert TABLE_ROWS == element.count("<td>50%</td>")

    def test_what_a_name_holds_never_ends_the_script(self) -> None:
        element = render(Chart("x", "short", [Line("</script><b>", STEADY)], SPAN))

        assert "</script><b>" not in element
        assert "</script><b>" == data(element)["lines"][0]["name"]

    def test_without_lines_it_says_so(self) -> None:
        element = render(Chart("Hits", "short", [Line("a", [])], SPAN, empty="no traffic"))

        assert "no traffic" in element
        assert "<script" not in element

    def test_a_pause_is_a_gap(self) -> None:
        points = [point for point in STEADY if not BEGIN + 100 < point[0] < BEGIN + 400]

        (line,) = data(render(Chart("x", "short", [Line("a", points)], SPAN)))["lines"]

        assert 1 == line["drawn"].count(None)
        at = line["at"][line["drawn"].index(None)]
        assert BEGIN + 100 < at < BEGIN + 400

    def test_a_missing_scrape_is_no_gap(self) -> None:
        (line,) = data(render(Chart("x", "short", [Line("a", STEADY[:9] + STEADY[11:])], SPAN)))["lines"]

        assert None not in line["drawn"]

    def test_stacked_lines_stand_on_each_other_and_say_their_own_values(self) -> None:
        lines = [Line("a", STEADY), Line("limit", STEADY, alone=True), Line("b", STEADY)]

        drawn = data(render(Chart("x", "short", lines, SPAN, stacked=True)))["lines"]

        assert [0.5, 0.5, 1.0] == [line["drawn"][0] for line in drawn]
        assert [True, False, True] == [line["stacked"] for line in drawn]
        assert {0.5} == set(drawn[2]["shown"])

    def test_a_stacked_line_is_left_out_where_it_is_nothing(self) -> None:
        points = [(at, 1.0 if number == 5 else 0.0) for number, (at, _) in enumerate(STEADY)]

        (_, line) = data(render(Chart("x", "short", [Line("a", STEADY), Line("b", points)], SPAN, stacked=True)))[
            "lines"
        ]

        assert [None, 0.5, 1.5, 0.5, None] == line["drawn"][3:8]

    def test_the_legend_rests_where_it_is_told_to(self) -> None:
        points = [(BEGIN, 0.25), (BEGIN + 15, 0.5), (BEGIN + 30, 0.75)]

        assert "<b>50%</b>" in render(Chart("x", "percentunit", [Line("a", points)], SPAN, resting=BEGIN + 20))
        assert "<b>–</b>" in render(Chart("x", "percentunit", [Line("a", points)], SPAN, resting=BEGIN + 500))

    def test_lines_without_a_colour_take_the_palette(self) -> None:
        lines = [Line(str(number), STEADY) for number in range(len(PALETTE) + 1)]

        colours = [line["colour"] for line in data(render(Chart("x", "short", lines, SPAN)))["lines"]]

        assert [*PALETTE, PALETTE[0]] == colours


def test_a_heat_map_has_its_counts_as_a_table() -> None:
    rows = [(0.1, [(BEGIN, 3.0), (BEGIN + 15, 4.0)]), (1.0, [(BEGIN, 0.0)]), (math.inf, [(BEGIN, 1.0)])]

    element = render(Heatmap("Times", "s", rows, SPAN))

    assert ["100 ms", "above"] == re.findall(r'<th scope="row">(.*?)</th>', element)
    assert ["7", "1"] == re.findall("<td>(.*?)</td>", element)
    assert [0.1, None] == [bound for bound, _ in data(element)["rows"]]


class TestColours:
    def test_each_name_has_a_shade_for_both_schemes(self) -> None:
        assert set(COLOURS) == set(LIGHT) == set(DARK)
        assert set(PALETTE) <= set(COLOURS)

    @pytest.mark.parametrize("name", COLOURS)
    @pytest.mark.parametrize(("shades", "page"), [(LIGHT, "#ffffff"), (DARK, "#181b1f")], ids=["light", "dark"])
    def test_lines_stand_out_from_the_page(self, shades: dict[str, str], page: str, name: str) -> None:
        """WCAG 2.2, 1.4.11: graphics have a contrast of at least 3 to 1."""
        lighter, darker = sorted((luminance(shades[name]), luminance(page)), reverse=True)

        assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


VALUES = (0.0, 0.0000042, 0.0004, 0.01234, 0.5, 0.999, 1.0, 7.25, 59.0, 61.0, 999.4, 1000.4, 1536.0, 123456.0, 5e9)
UNITS = ("percentunit", "s", "bytes", "reqps", "cps", "suffix:x", "short")
#: The page writes what it drew into its own text, for `--dump-dom`.
REPORT = """<script>
const told = {
  texts: VALUES.map((value) => UNITS.map((unit) => recoupCharts.text(value, unit))),
  plots: recoupCharts.plots.length,
  ink: [...document.querySelectorAll("canvas")].map((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value, index) => index % 4 === 3 && value > 0);
  }),
  loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
};
setTimeout(() => { document.querySelector("pre").textContent = JSON.stringify(told); });
</script>"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a browser makes of a page of charts."""
    charts: list[Chart | Heatmap] = [
        Chart("Lines", "s", [Line("a", STEADY, dash=(4, 4))], SPAN, targets=[Target(0.4)], marks=[Mark(BEGIN + 60)]),
        Chart("Stacked", "bytes", [Line("a", STEADY), Line("b", STEADY)], SPAN, stacked=True, shaded=[SPAN]),
        Chart("Logarithmic", "s", [Line("a", STEADY)], SPAN, logarithmic=True, elapsed=True),
        Heatmap("Heat", "bytes", [(2.0**power, STEADY) for power in range(6)], SPAN),
    ]
    report = REPORT.replace("VALUES", json.dumps(VALUES)).replace("UNITS", json.dumps(UNITS))
    folder = tmp_path_factory.mktemp("charts")
    page = folder / "page.html"
    elements = "".join(map(render, charts))
    page.write_text(f"<!doctype html><meta charset=utf-8>{style()}<pre></pre>{elements}{script()}{report}", "utf-8")
    return json.loads(html.unescape(re.search("<pre>(.*?)</pre>", browse(page, folder), re.DOTALL)[1]))  # type: ignore[index]


def browse(page: Path, folder: Path) -> str:
    command = [
        require_tool("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}/profile",
    ]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stdout


class TestInABrowser:
    def test_every_chart_is_drawn(self, drawn: dict[str, Any]) -> None:
        assert 4 == drawn["plots"]
        assert [True] * 4 == drawn["ink"]

    def test_nothing_is_loaded(self, drawn: dict[str, Any]) -> None:
        assert [] == drawn["loaded"]

    def test_values_read_as_in_the_tables(self, drawn: dict[str, Any]) -> None:
        assert [[text(value, unit) for unit in UNITS] for value in VALUES] == drawn["texts"]


def test_nothing_on_the_page_names_another_place() -> None:
    assert [] == re.findall(r"(?:src|href)=|url\(|@import|fetch\(", style() + script())


def test_nothing_moves_for_those_who_ask_for_it() -> None:
    assert "prefers-reduced-motion: reduce" in style()
    assert "animation" not in style().replace("animation: none", "")
