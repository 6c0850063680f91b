"""The reader of selectors sees what the rules are about."""

from __future__ import annotations

from dashboards.promql import Matcher, Selector, selectors


def test_a_name_alone_is_a_selector() -> None:
    assert [Selector("up", (), "", "")] == selectors("up")


def test_matchers_range_and_function_are_read() -> None:
    expression = 'sum by (le, job) (rate(x_bucket{job=~"$job", status!="200"}[$__rate_interval]))'

    matchers = (Matcher("job", "=~", "$job"), Matcher("status", "!=", "200"))
    assert [Selector("x_bucket", matchers, "$__rate_interval", "rate")] == selectors(expression)


def test_words_groupings_numbers_and_strings_are_no_selectors() -> None:
    expression = (
        'label_replace(3600 * a_total > bool 1e3, "x", "y", "z", "b") or on (job) group_left (q) c offset $__interval'
    )

    assert ["a_total", "c"] == [selector.name for selector in selectors(expression)]


def test_a_comma_within_a_value_divides_nothing() -> None:
    assert (Matcher("a", "=", 'x,}"'.replace('"', r"\"")),) == selectors(r'm{a="x,}\""}')[0].matchers


def test_the_function_is_the_nearest_one() -> None:
    parsed = selectors("max(rate(a_total[5m]) + (b)) - c")

    assert [("a_total", "rate"), ("b", ""), ("c", "")] == [(selector.name, selector.function) for selector in parsed]
