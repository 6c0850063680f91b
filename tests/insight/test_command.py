"""`recoup what-if FILE`: traces of every form, the table, the page, and what cannot be used."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from cache.policies.simulated import zipf
from recoup.__main__ import main
from recoup.insight.report import VENDOR
from recoup.insight.traces import TraceFile

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = [(float(number), f"key {number % 7}", 100 * (number % 7), 0.5) for number in range(200)]


def as_csv(header: bool = True) -> str:
    rows = [f"{at},{key},{size},{cost}" for at, key, size, cost in REQUESTS]
    return "\n".join([*(["time,key,size,cost"] if header else []), *rows]) + "\n"


def as_json_lines() -> str:
    return "\n".join(json.dumps(dict(zip(("time", "key", "size", "cost"), row, strict=True))) for row in REQUESTS)


def answer(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> Any:
    assert 0 == main(["what-if", str(path), "--json", *options])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "content",
    [as_csv().encode(), as_csv(header=False).encode(), as_json_lines().encode(), gzip.compress(as_csv().encode())],
    ids=["CSV", "CSV without a header", "JSON lines", "gzip"],
)
def test_a_trace_of_any_form_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    found = answer(capsys, path, "--max-size", "4", "--ttl-seconds", "0")

    assert (200, 200, 1.0) == (found["lookups"], found["sampled_lookups"], found["share"])
    at = {(point["policy"], point["scale"]): point for point in found["points"]}
    assert 24 == len(at)
    assert (8, 193 / 200) == (at["lru", 2.0]["max_size"], at["lru", 2.0]["hit_ratio"])
    assert 0.0 == at["lru", 1.0]["hit_ratio"], "a loop over more keys than it holds"
    assert 193 * 0.5 * 3600 / 199 == pytest.approx(at["lru", 2.0]["recouped_seconds_per_hour"])
    assert found["advice"].startswith("Twice the memory would recoup")


def test_keys_alone_are_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("1\n2\n1\n2\n")
    found = answer(capsys, path)
    assert (4, 0.5, None) == (
        found["lookups"],
        found["points"][0]["hit_ratio"],
        found["points"][0]["recouped_seconds_per_hour"],
    )


def test_moments_and_columns_in_any_order_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("cost,note,key,time\n2.5,x,a,2026-01-02T03:04:05Z\n,y,b,2026-01-02T03:04:04+00:00\n")
    with TraceFile(path) as trace:
        first, second = trace
    assert (1767323045.0, 0, 2.5) == (first.at, first.size, first.cost)
    assert (first.at, 1.0) == (second.at, second.cost), "time does not go back"
    assert first.key_hash != second.key_hash


def test_the_table_says_what_the_answer_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(as_csv())
    assert 0 == main(["what-if", str(path), "--max-size", "4", "--ttl-seconds", "0"])
    out, err = capsys.readouterr()

    assert "" == err, "no bar where there is no terminal"
    assert re.search(r"^entries +1 +2 +4 +8 +16 +32$", out, re.MULTILINE)
    assert re.search(r"^  lru +0\.0% +0\.0% +0\.0% +96\.5% +96\.5% +96\.5%$", out, re.MULTILINE)
    assert "200 of 200 lookups were simulated (100.0% of the keys)." in out


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    path, page = tmp_path / "<b>.csv", tmp_path / "page.html"
    path.write_text(as_csv())
    assert 0 == main(["what-if", str(path), "--page", str(page), "--json"])
    text = page.read_text()

    assert ["https://github.com/leeoniya/uPlot"] == re.findall(r"https?://[\w./]+\w", text)
    assert "@@" not in text
    assert "<b>.csv" not in text
    assert 24 == text.count("<tr><td>")


def test_a_terminal_is_shown_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path, terminal = tmp_path / "trace.csv", Terminal()
    path.write_text(as_csv() * 100)
    path.write_text("key\n" + "".join(f"{number % 50}\n" for number in range(20_000)))
    monkeypatch.setattr("sys.stderr", terminal)
    assert 0 == main(["what-if", str(path)])
    assert re.search(r"\[#+ *\] +\d+%  8,192 requests", terminal.getvalue())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("time,key,size,cost\n1,a,x,1\n", r"line 2: size='x': expected a number from 0 to 1e\+15"),
        ("time,key\nyesterday,a\n", "line 2: time='yesterday': expected seconds, or a moment"),
        ("time,key\n1,\n", "line 2: key='': expected text or a number"),
        ('{"key": "a"}\n{"key": ', "line 2: no JSON"),
        ('{"key": "a"}\n[1]\n', "line 2: expected a JSON object"),
        ('{"key": "a", "cost": -1}\n', "line 1: cost=-1: expected a number from 0 to 1e"),
        ('{"key": "a", "time": NaN}\n', "line 1: time=nan: expected seconds"),
        ("a,b,c,d,e\n", "line 1: 5 columns; expected a header"),
        ("", "there is no request in it"),
        ("key\n\xff\n", "after line"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content.encode("latin-1"))
    assert 2 == main(["what-if", str(path)])
    out, err = capsys.readouterr()
    assert "" == out
    assert re.search(message, err), err
    assert str(path) in err


def test_a_file_that_is_cut_off_or_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(as_csv().encode())[:-20])
    assert 2 == main(["what-if", str(path)])
    assert "cut.gz, after line" in capsys.readouterr().err
    assert 2 == main(["what-if", str(tmp_path / "none")])
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-size", "0", "--max-size='0': expected a whole number from 1 to"),
        ("--max-memory-mb", "x", "--max-memory-mb='x': expected a number from 1e-06"),
        ("--policy", "mru", "--policy='mru': expected one of lru, s3fifo, tinylfu, gdsf"),
        ("--page", "/nowhere/page.html", "/nowhere/page.html: No such file"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(as_csv())
    assert 2 == main(["what-if", str(path), option, value])
    assert message in capsys.readouterr().err


def test_the_library_of_the_charts_is_the_one_that_is_listed() -> None:
    listed = dict(
        re.findall(
            r"\| `uplot/([\w.]+)` \| [\d.]+ \| `([0-9a-f]{64})`", (ROOT / "grafana/vendor/README.md").read_text()
        )
    )
    assert listed == {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in listed}
    assert (VENDOR / "LICENSE").exists()


@pytest.mark.load
def test_a_million_requests_take_less_than_a_minute_of_one_core(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.csv"
    keys = zipf(10**6, 60_000, 0.9)
    path.write_text("time,key,size,cost\n" + "".join(f"{at},{key},{1000 + key},1.5\n" for at, key in enumerate(keys)))
    start = time.process_time()
    found = answer(capsys, path)
    assert 10**6 == found["lookups"]
    assert time.process_time() - start < 60
