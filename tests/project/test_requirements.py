"""The pinned requirements: complete, hashed, in agreement with each other and with what is installed."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .tree import ROOT, files, imports, name_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = ROOT / "requirements"
NAMES = ("runtime", "build", "loadtest", "dev")


def asked(name: str) -> list[Requirement]:
    """What an `.in` file asks for itself, without the files that it includes."""
    lines = (FOLDER / f"{name}.in").read_text().splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pinned(name: str) -> dict[Requirement, int]:
    """The pins of a `.txt` file, each with the number of its hashes."""
    pins: dict[Requirement, int] = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line and line[0] not in " #":
            latest = Requirement(line.rstrip(" \\"))
            pins[latest] = 0
        elif line.strip().startswith("--hash=sha256:"):
            pins[latest] += 1
    return pins


def pin_of(requirement: Requirement) -> str:
    """A pin without its marker: a larger set may need on every Python what a smaller one needs on some."""
    return f"{canonicalize_name(requirement.name)}{requirement.specifier}"


def extras() -> dict[str, list[Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [] == project["dependencies"]
    return {name: [Requirement(line) for line in lines] for name, lines in project["optional-dependencies"].items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_pinned_to_one_version_with_hashes(name: str) -> None:
    pins = pinned(name)
    assert pins
    assert [] == [str(pin) for pin, hashes in pins.items() if not hashes]
    assert {"=="} == {specifier.operator for pin in pins for specifier in pin.specifier}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for_is_pinned(name: str) -> None:
    assert {canonicalize_name(r.name) for r in asked(name)} <= {canonicalize_name(pin.name) for pin in pinned(name)}


@pytest.mark.parametrize("smaller", ["runtime", "build", "loadtest"])
def test_development_includes_the_smaller_sets_at_the_same_versions(smaller: str) -> None:
    assert set() == {pin_of(pin) for pin in pinned(smaller)} - {pin_of(pin) for pin in pinned("dev")}


def test_the_runtime_set_is_what_the_extras_name() -> None:
    named = {canonicalize_name(r.name) for requirements in extras().values() for r in requirements}
    assert named == {canonicalize_name(r.name) for r in asked("runtime")}


def test_the_load_test_s_set_has_what_its_image_imports() -> None:
    """Its own code, and of Recoup what leads to the catalogue of metrics."""
    code = [*files(".py", below=ROOT / "loadtest"), *files(".py", below=ROOT / "service" / "recoup" / "telemetry")]
    modules = {name.split(".")[0] for path in code for name in imports(path)}
    distributions = packages_distributions()
    needed = {canonicalize_name(it) for name in modules for it in distributions.get(name, []) if name != "recoup"}
    assert needed
    assert set() == needed - {canonicalize_name(pin.name) for pin in pinned("loadtest")}


def test_the_pins_are_within_what_the_extras_allow() -> None:
    allowed = {canonicalize_name(r.name): r.specifier for group in extras().values() for r in group}
    pins = [(canonicalize_name(pin.name), next(iter(pin.specifier)).version) for pin in pinned("runtime")]
    assert [] == [pin for pin in pins if pin[0] in allowed and pin[1] not in allowed[pin[0]]]


def test_what_is_installed_here_is_what_is_pinned() -> None:
    here = [pin for pin in pinned("dev") if pin.marker is None or pin.marker.evaluate()]
    wanted = {pin.name: next(iter(pin.specifier)).version for pin in here}
    # Compared as versions: one package writes its own with a leading v.
    assert {name: Version(number) for name, number in wanted.items()} == {
        name: Version(version(name)) for name in wanted
    }


#: Written in pieces, so that this file does not hold what it looks for.
HOSTS = [
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("golang", "org"),
        ("anaconda", "org"),
    )
]


def mentions(path: Path, words: list[str]) -> list[str]:
    text = path.read_bytes().decode("utf-8", "ignore").lower()
    return [word for word in words if word in text]


def test_no_file_names_a_registrys_host() -> None:
    """Where packages come from is the machine's configuration, not the repository's."""
    named = {name_of(path): mentions(path, HOSTS) for path in files()}
    assert {} == {name: words for name, words in named.items() if words}
