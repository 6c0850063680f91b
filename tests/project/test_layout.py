"""The rooms of the repository: who may import what, and how large a file may grow.

The arrows between the rooms of `recoup` itself are import-linter's, in `pyproject.toml`;
here stands what it does not see.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .tree import PACKAGE, files, imports, name_of

PYTHON_FILES = list(files(".py"))
CORE = [PACKAGE / "errors.py", *files(".py", below=PACKAGE / "cache")]
#: What `import recoup` and `get_cache` read beside the core.
LIBRARY = [
    path
    for path in files(".py", below=PACKAGE)
    if path.parent == PACKAGE and path.stem in {"__init__", "process_cache", "settings", "settings_kinds"}
]
#: Over this a file needs a reason, written here beside its name. A suite of tests stays together for longer.
MOST_LINES, MOST_LINES_OF_TESTS = 400, 600
REASONS: dict[str, str] = {}


def test_the_walk_finds_the_code() -> None:
    """The tests below would hold of nothing, too."""
    assert {"service/recoup/errors.py", "tests/project/test_layout.py"} <= set(map(name_of, PYTHON_FILES))


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_nobody_imports_the_source_root(path: Path) -> None:
    assert [] == [name for name in imports(path) if name.split(".")[0] == "service"]


def test_nothing_but_locustfiles_imports_locust() -> None:
    """Locust patches the standard library when it is imported."""
    importers = [path for path in PYTHON_FILES if any(name.split(".")[0] == "locust" for name in imports(path))]
    assert [] == [name_of(path) for path in importers if "locustfile" not in path.name]


def foreign(path: Path) -> list[str]:
    """What a file imports that is not of the standard library."""
    return [name for name in imports(path) if name.split(".")[0] not in sys.stdlib_module_names]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_imports_the_standard_library_and_itself(path: Path) -> None:
    assert [] == [name for name in foreign(path) if not name.startswith(("recoup.cache", "recoup.errors"))]


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_imports_the_standard_library_and_recoup(path: Path) -> None:
    assert [] == [name for name in foreign(path) if name.split(".")[0] != "recoup"]


def test_the_library_is_imported_without_any_other_package() -> None:
    """`-I -S`: no site-packages at all, so that nothing but the standard library can be found."""
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import recoup; print(recoup.__version__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=30)
    assert ("", 0) == (done.stderr, done.returncode)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_a_file_that_is_long_has_a_reason(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    most = MOST_LINES_OF_TESTS if name_of(path).startswith("tests/") else MOST_LINES
    assert lines <= most or name_of(path) in REASONS


def test_every_folder_that_makes_a_room_says_what_it_is_for() -> None:
    rooms = [path for path in files(".py", below=PACKAGE) if path.name == "__init__.py"]
    assert [] == [name_of(path) for path in rooms if not path.read_text(encoding="utf-8").startswith('"""')]


def test_no_file_names_the_workplace_that_it_was_written_in() -> None:
    """Paths of one machine work on no other."""
    paths = ("/" + "work/", "/" + "tmp/w/", "/" + "root/")
    texts = {name_of(path): path.read_bytes().decode("utf-8", "ignore") for path in files()}
    assert [] == [name for name, text in texts.items() if any(path in text for path in paths)]
