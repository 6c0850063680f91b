"""The built wheel is what is tested here: its contents, alone in an empty environment, and as the service."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import sysconfig
import urllib.request
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from .installing import link_extra, site_packages
from .serving import free_port, plain_environment, serving
from .tree import PACKAGE, ROOT, files

#: One worker builds the wheel once, for all of these.
pytestmark = pytest.mark.xdist_group("wheel")

LIBRARY_PROGRAM = '''
"""Nothing but the standard library and the wheel."""
import asyncio, json, sys
from recoup import LRUCache, cached_result

calls = []
cache = LRUCache(max_size=10)

@cached_result(cache=cache, pipeline="render")
def render(scene, *, width=64):
    calls.append(scene)
    return b"x" * width

@cached_result(cache=cache, pipeline="caption")
async def caption(scene):
    calls.append(scene)
    return scene.upper()

first, second = render("hills", width=8), render("hills", width=8)
captions = asyncio.run(caption("sea")), asyncio.run(caption("sea"))
stats = cache.stats()
outside = sorted({name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"recoup", "__main__"})
print(json.dumps([first == second, captions, len(calls), stats.hits, stats.misses, outside]))
'''


def run(*command: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run([str(p) for p in command], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def make_environment(folder: Path, wheel: Path) -> Path:
    """A new environment that holds the wheel alone: no index is asked, so it can need nothing else."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-index", wheel)
    return folder


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel without extras."""
    return make_environment(tmp_path_factory.mktemp("alone") / "venv", wheel)


@pytest.fixture(scope="module")
def with_service(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel beside the packages of this environment, which stand for its extras.

    A folder that a `.pth` file names is searched, but its own `.pth` files are not read: the editable checkout is out.
    """
    folder = make_environment(tmp_path_factory.mktemp("service") / "venv", wheel)
    (site_packages(folder) / "extras.pth").write_text(
        sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n"
    )
    return folder


@pytest.fixture(scope="module")
def without_relief(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with the extra `service` alone."""
    folder = make_environment(tmp_path_factory.mktemp("without-relief") / "venv", wheel)
    link_extra("service", folder)
    return folder


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {path.relative_to(PACKAGE.parent).as_posix() for path in files(below=PACKAGE)}
    assert source == held
    assert "recoup/py.typed" in held


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
    assert ["Apache-2.0"] == metadata(wheel).get_all("License-Expression")
    assert len(licences) == 1


def test_the_library_requires_nothing_and_the_service_its_extras(wheel: Path) -> None:
    told = metadata(wheel)
    assert [] == [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert ["disk", "relief", "service", "shared"] == sorted(told.get_all("Provides-Extra", []))
    assert ">=3.10" == told["Requires-Python"]


def test_the_decorator_works_with_the_standard_library_alone(alone: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(LIBRARY_PROGRAM)
    told = json.loads(run(alone / "bin" / "python", "-I", program, folder=tmp_path))
    assert [True, ["SEA", "SEA"], 2, 2, 2, []] == told


def test_serving_without_the_extra_says_what_to_install(alone: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [alone / "bin" / "recoup", "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "recoup[service]" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_without_relief_and_without_pipelines_says_what_to_do(without_relief: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [without_relief / "bin" / "recoup", "serve"],
        cwd=tmp_path,
        env={**plain_environment(), "RECOUP_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 2 == done.returncode
    assert "recoup[relief]" in done.stderr
    assert "RECOUP_PIPELINES" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_without_relief_needs_nothing_but_a_file_of_pipelines(without_relief: Path, tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines.toml"
    pipelines.write_text('[pipelines.llm]\nkind = "http"\nurl = "http://127.0.0.1:9/v1/completions"\n')
    with serving(
        without_relief / "bin" / "recoup", "serve", folder=tmp_path, RECOUP_PIPELINES=str(pipelines)
    ) as service:
        assert b'"llm"' in service.get("/api/pipelines")[1]
        assert 0 == service.end(), service.output()


def test_what_is_served_is_the_wheel_and_not_the_checkout(with_service: Path, tmp_path: Path) -> None:
    printed = run(with_service / "bin" / "python", "-c", "import recoup; print(recoup.__file__)", folder=tmp_path)
    assert Path(printed.strip()).is_relative_to(with_service)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((48, 32)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_service_starts_from_the_wheel_generates_and_ends_when_asked(with_service: Path, tmp_path: Path) -> None:
    with serving(with_service / "bin" / "recoup", "serve", folder=tmp_path) as service:
        assert 200 == service.get("/healthz")[0]
        request = urllib.request.Request(
            f"{service.url}/api/generate/relief?quality=preview", picture(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert ("model/stl", True) == (answer.headers["Content-Type"], len(answer.read()) > 84)
        assert 0 == service.end(), service.output()
