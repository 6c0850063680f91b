"""The tree of errors: drawn at the top of its module, and complete."""

from __future__ import annotations

import inspect
import re

from recoup import errors
from recoup.errors import GENERATION_ERROR_KINDS, RecoupError


def drawn() -> dict[str, str]:
    """Each error of the drawing with its parent's name."""
    parents: dict[str, str] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        matched = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)\b", line)
        if matched:
            depth = len(matched[1]) // 4
            branch[depth:] = [matched[2]]
            parents[matched[2]] = branch[depth - 1] if depth else "Exception"
    return parents


def defined() -> dict[str, type[BaseException]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == errors.__name__
    }


def test_the_tree_that_is_drawn_is_the_tree_of_classes() -> None:
    assert {name: kind.__bases__[0].__name__ for name, kind in defined().items()} == drawn()


def test_everything_descends_from_one_base_and_is_told() -> None:
    for kind in defined().values():
        assert issubclass(kind, RecoupError)
        assert kind.__doc__
        assert 400 <= kind.status <= 599
        assert kind.title


def test_the_statuses_that_are_drawn_are_those_of_the_classes() -> None:
    for name, status in re.findall(r"(\w+Error) +(\d{3})", errors.__doc__ or ""):
        assert int(status) == defined()[name].status  # type: ignore[attr-defined]


def test_every_kind_is_in_the_vocabulary() -> None:
    kinds = {kind.kind for kind in defined().values() if hasattr(kind, "kind")}

    assert kinds <= set(GENERATION_ERROR_KINDS)
    # The one kind that is no error of ours: a caller that went away.
    assert {"cancelled"} == set(GENERATION_ERROR_KINDS) - kinds
    assert len(set(GENERATION_ERROR_KINDS)) == len(GENERATION_ERROR_KINDS)


def test_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.KeyDigestError, TypeError)
    assert issubclass(errors.FlightTimeoutError, TimeoutError)
    assert issubclass(errors.GenerationTimeoutError, TimeoutError)


def test_a_setting_error_names_the_variable_its_value_and_what_is_expected() -> None:
    error = errors.SettingError("CACHE_MAX_SIZE", "'none'", "a whole number of at least 1")

    assert "CACHE_MAX_SIZE='none': expected a whole number of at least 1" == str(error)


def test_a_full_queue_says_when_to_come_again_in_whole_seconds() -> None:
    assert [1, 1, 7] == [errors.QueueFullError("full", retry_after_seconds=s).retry_after_seconds for s in (0, 1, 7)]
