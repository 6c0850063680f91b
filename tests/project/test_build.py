"""`make` and `.ci/run`: what they run, what they say when the machine lacks something, when they install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .tree import ROOT

#: Says yes to every question but the one for which it is made.
STUB_PYTHON = """#!/bin/sh
case "$2" in *"{no_to}"*) exit 1;; esac
exit 0
"""


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # MAKEFLAGS and the like are left out: these tests are run by a make.
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what `make` reads, without an environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    return tmp_path


@pytest.fixture
def set_up(checkout: Path) -> Path:
    """The same with an environment that is set up: the stamps are newer than all that they depend on."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    executable(checkout / ".venv" / "bin" / "python", "#!/bin/sh\n")
    newest = max(path.stat().st_mtime for path in checkout.rglob("*"))
    for name in ("runtime.stamp", "dev.stamp"):
        (checkout / ".venv" / name).touch()
        os.utime(checkout / ".venv" / name, (newest + 1, newest + 1))
    return checkout


def make_newer(path: Path, than: Path) -> None:
    time = than.stat().st_mtime + 1
    os.utime(path, (time, time))


def test_make_help_names_every_target(checkout: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    done = run("make", "help", folder=checkout)
    assert phony == [line.split()[1] for line in done.stdout.splitlines()]


def test_a_python_that_is_too_old_is_named_with_what_to_do(checkout: Path) -> None:
    stub = executable(checkout / "old-python", STUB_PYTHON.format(no_to="version_info"))
    done = run("make", "run", f"PYTHON={stub}", folder=checkout)
    assert done.returncode != 0
    assert f"Recoup needs Python 3.10 or newer, and '{stub}' is not." in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_named_with_what_to_do(checkout: Path) -> None:
    stub = executable(checkout / "bare-python", STUB_PYTHON.format(no_to="import ensurepip, venv"))
    done = run("make", "test", f"PYTHON={stub}", folder=checkout)
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_first_interpreter_that_works_is_taken(checkout: Path) -> None:
    """A version manager leaves names in the path that answer nothing but an error."""
    tools = checkout / "tools"
    tools.mkdir()
    for broken in ("python3", "python3.13"):
        executable(tools / broken, "#!/bin/sh\nexit 127\n")
    executable(tools / "python3.12", f'#!/bin/sh\necho "3.12 $*" >> {checkout}/asked\nexit 0\n')
    run("make", ".venv/bin/python", folder=checkout, PATH=f"{tools}:{os.environ['PATH']}")
    assert "3.12 -m venv .venv" in (checkout / "asked").read_text().splitlines()


def test_a_second_make_run_starts_at_once(set_up: Path) -> None:
    done = run("make", "--dry-run", "run", folder=set_up)
    assert ["exec .venv/bin/python -m recoup serve"] == done.stdout.splitlines()


@pytest.mark.parametrize("changed", ["requirements/runtime.txt", "requirements/build.txt", "pyproject.toml"])
def test_make_run_installs_again_when_what_it_installs_changes(set_up: Path, changed: str) -> None:
    make_newer(set_up / changed, than=set_up / ".venv" / "runtime.stamp")
    done = run("make", "--dry-run", "run", folder=set_up)
    assert "install --require-hashes -r requirements/runtime.txt" in done.stdout


def test_make_check_installs_again_when_the_development_set_changes(set_up: Path) -> None:
    make_newer(set_up / "requirements" / "dev.txt", than=set_up / ".venv" / "dev.stamp")
    done = run("make", "--dry-run", "check", folder=set_up)
    assert "install --require-hashes -r requirements/dev.txt" in done.stdout


def test_serving_does_not_need_the_development_set(set_up: Path) -> None:
    (set_up / ".venv" / "dev.stamp").unlink()
    done = run("make", "--dry-run", "run", folder=set_up)
    assert ["exec .venv/bin/python -m recoup serve"] == done.stdout.splitlines()


def test_the_two_runs_of_the_tests_leave_no_test_out(set_up: Path) -> None:
    done = run("make", "--dry-run", "test", folder=set_up)
    runs = [line.split(" -m ", 2)[2] for line in done.stdout.splitlines() if " -m pytest" in line]
    assert ['"not load"', "load"] == [marked.split("  ")[0].strip() for marked in runs]


#: What `.ci/run` itself calls on any machine.
USUAL_TOOLS = ("sh", "dirname", "env", "cat", "rm")


def machine(folder: Path, *, make_status: int = 0, sudo_status: int = 0, has: tuple[str, ...] = ()) -> Path:
    """The programs of a machine whose user is not root: `make` and `sudo` tell what they are asked, and do nothing."""
    tools = folder / "tools"
    tools.mkdir()
    for usual in USUAL_TOOLS:
        (tools / usual).symlink_to(shutil.which(usual) or f"/bin/{usual}")
    for present in (*has, "python3", "apt-get"):
        executable(tools / present, "#!/bin/sh\n")
    executable(tools / "id", "#!/bin/sh\necho 1000\n")
    executable(tools / "sudo", f'#!/bin/sh\necho "sudo $*" >&2\nexit {sudo_status}\n')
    executable(tools / "make", f'#!/bin/sh\necho "CI=$CI make $*"\nexit {make_status}\n')
    return tools


@pytest.mark.parametrize("status", [0, 2, 7])
def test_ci_runs_make_test_and_passes_its_status_on(checkout: Path, status: int) -> None:
    tools = machine(checkout, make_status=status, has=("curl", "promtool", "amtool", "chromium", "redis-server"))
    done = run(checkout / ".ci" / "run", folder=Path("/"), PATH=str(tools))
    assert (status, "CI=true make test\n", "") == (done.returncode, done.stdout, done.stderr)


def test_ci_installs_what_is_missing_and_starts_no_service(checkout: Path) -> None:
    done = run(checkout / ".ci" / "run", folder=Path("/"), PATH=str(machine(checkout, has=("curl",))))
    asked = done.stderr.splitlines()
    policy = Path("/usr/sbin/policy-rc.d")
    install = "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    assert f"{install} prometheus prometheus-alertmanager chromium redis-server" in asked
    assert policy.exists() or f"sudo -n tee {policy}" in asked
    assert "CI=true make test\n" == done.stdout


def test_ci_goes_on_to_the_tests_where_it_may_not_install(checkout: Path) -> None:
    """They fail there with the name of the tool that is missing."""
    done = run(checkout / ".ci" / "run", folder=Path("/"), PATH=str(machine(checkout, make_status=3, sudo_status=1)))
    assert ".ci/run: could not install: curl prometheus" in done.stderr
    assert (3, "CI=true make test\n") == (done.returncode, done.stdout)
