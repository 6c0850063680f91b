"""The rooms of the repository: who may import what, and how large a file may grow.

The arrows between the rooms of `recoup` itself are import-linter's, in `pyproject.toml`;
here stands what it does not see.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

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
REASONS: dict[str, str] = {
    "service/recoup/cache/lru.py": "every public method of the cache, each with its docstring, in the one class",
    "service/recoup/cache/store.py": "what is held within all limits, and every way into it and out of it",
    "tests/cache/test_state_machine.py": "one model, and every rule that the cache is held against it by",
    "service/recoup/cache/decorator.py": "what a decorated function offers, for the type checker and at run time",
}


def offenders(paths: Iterable[Path], wrong: Callable[[str], bool]) -> dict[str, list[str]]:
    """By file, the imports that are wrong there."""
    wrong_imports = {name_of(path): [name for name in imports(path) if wrong(name)] for path in paths}
    return {path: names for path, names in wrong_imports.items() if names}


def is_foreign(name: str) -> bool:
    """Whether an import is not of the standard library."""
    return name.split(".")[0] not in sys.stdlib_module_names


def test_the_walk_finds_the_code() -> None:
    """The tests below would hold of nothing, too."""
    assert {"service/recoup/errors.py", "tests/project/test_layout.py"} <= set(map(name_of, PYTHON_FILES))


def test_nobody_imports_the_source_root() -> None:
    assert {} == offenders(PYTHON_FILES, lambda name: name.split(".")[0] == "service")


def test_nothing_but_locustfiles_imports_locust() -> None:
    """Locust patches the standard library when it is imported."""
    others = [path for path in PYTHON_FILES if "locustfile" not in path.name]
    assert {} == offenders(others, lambda name: name.split(".")[0] == "locust")


def test_the_core_imports_the_standard_library_and_itself() -> None:
    own = ("recoup.cache", "recoup.errors", "recoup.fields")
    # For the type checker alone; the test after the next one imports the core without it.
    checked = ("typing_extensions.TypeVar", "typing_extensions.ParamSpec")
    assert {} == offenders(CORE, lambda name: is_foreign(name) and not name.startswith(own) and name not in checked)


def test_the_library_imports_the_standard_library_and_recoup() -> None:
    own = ("recoup", "typing_extensions")
    assert {} == offenders(LIBRARY, lambda name: is_foreign(name) and name.split(".")[0] not in own)


def test_the_library_is_imported_without_any_other_package() -> None:
    """`-I -S`: no site-packages at all, so that nothing but the standard library can be found."""
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import recoup; print(recoup.__version__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert ("", 0) == (done.stderr, done.returncode)


def is_long(path: Path) -> bool:
    most = MOST_LINES_OF_TESTS if name_of(path).startswith("tests/") else MOST_LINES
    return len(path.read_text(encoding="utf-8").splitlines()) > most


def test_a_file_that_is_long_has_a_reason() -> None:
    assert set() == {name_of(path) for path in PYTHON_FILES if is_long(path)} - set(REASONS)


def test_every_folder_that_makes_a_room_says_what_it_is_for() -> None:
    rooms = [path for path in files(".py", below=PACKAGE) if path.name == "__init__.py"]
    assert [] == [name_of(path) for path in rooms if not path.read_text(encoding="utf-8").startswith('"""')]


def test_no_file_names_the_workplace_that_it_was_written_in() -> None:
    """Paths of one machine work on no other."""
    paths = ("/" + "work/", "/" + "tmp/w/", "/" + "root/")
    texts = {name_of(path): path.read_bytes().decode("utf-8", "ignore") for path in files()}
    assert [] == [name for name, text in texts.items() if any(path in text for path in paths)]
