"""The images: the base from debootstrap, ours from their Dockerfiles, and Debian's programs in others' place."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .engine import Engine
from .running import ROOT, CheckError, run, tell

_DOCKERFILE = ROOT / "service" / "Dockerfile"
#: Kept between runs, in a folder that is not the repository's; `make clean` removes it.
CACHE = ROOT / "build" / "compose-test"

#: What stands in for an image, by its name without the tag: Debian's package, its program, the name that the image
#: has for it, and the folder of its data.
_STAND_INS = {
    "prom/prometheus": ("prometheus", "prometheus", "prometheus", "/prometheus"),
    "prom/alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager", "/alertmanager"),
}


def base_tag() -> str:
    """The image that the Dockerfiles begin with."""
    base = re.search(r"^FROM (debian:[\w.-]+)", _DOCKERFILE.read_text(), re.MULTILINE)
    if base is None:
        raise CheckError("the Dockerfile begins with no image of Debian")
    return base[1]


def make_base(engine: Engine) -> None:
    """Make the base image with debootstrap, or take that of the last run."""
    tag = base_tag()
    archive = CACHE / f"{tag.replace(':', '-')}.tar"
    if not archive.exists():
        _debootstrap(tag.partition(":")[2].partition("-")[0], engine.folder / "base", archive)
    engine.docker("import", "--change", 'CMD ["bash"]', archive, tag)
    tell(f"made  {tag}, by debootstrap: {size(engine, tag)}")


def _debootstrap(suite: str, folder: Path, archive: Path) -> None:
    run("debootstrap", "--variant=minbase", suite, folder)
    # A slim image has neither pages nor lists.
    for part in ("doc", "man", "info", "locale"):
        shutil.rmtree(folder / "usr/share" / part, ignore_errors=True)
    for part in ("var/lib/apt/lists", "var/cache/apt/archives"):
        shutil.rmtree(folder / part, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".part")
    run("tar", "--create", "--numeric-owner", "--file", unfinished, "--directory", folder, ".")
    unfinished.rename(archive)
    shutil.rmtree(folder)


def make_ours(engine: Engine, tag: str, dockerfile: str) -> None:
    """Build an image of ours from its Dockerfile, as the repository has it."""
    secrets = [f"--secret=id={name},src={path}" for name, path in _secrets(engine.folder).items()]
    engine.docker("build", *_network(), *secrets, "--file", ROOT / dockerfile, "--tag", tag, ROOT)
    tell(f"built {tag}: {size(engine, tag)}")


def make_stand_in(engine: Engine, tag: str) -> None:
    """Make an image of Debian's programs under the tag of another."""
    package, program, name, data = _STAND_INS[tag.partition(":")[0]]
    lines = [
        f"FROM {base_tag()}",
        f"RUN apt-get update && apt-get install --yes --no-install-recommends {package}",
        f"RUN test -e /bin/{name} || ln -s /usr/bin/{program} /bin/{name}",
        f"RUN mkdir {data} && chown 65534:65534 {data}",
        f"USER 65534\nVOLUME {data}\nWORKDIR {data}",
        f'ENTRYPOINT ["/bin/{name}"]',
    ]
    engine.docker("build", *_network(), "--tag", tag, "-", give="\n".join(lines))
    version = engine.docker(
        "run", "--rm", "--network=none", "--entrypoint=dpkg-query", tag, "-Wf", "${Version}", package
    )
    tell(f"made  {tag}: in its place Debian's {package} {version}")


def size(engine: Engine, tag: str) -> str:
    """An image's size in megabytes (10^6 bytes), as engines tell it."""
    return f"{int(engine.inspect(tag, '{{.Size}}')) / 1e6:.0f} MB"


def _network() -> list[str]:
    """A build has the machine's network, and its proxies."""
    proxies = [name for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ]
    return ["--network=host", *(f"--build-arg={name}" for name in proxies)]


def _secrets(folder: Path) -> dict[str, Path]:
    """This machine's configuration of pip, and the authorities that it trusts, for the build alone."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    values = {}
    for name, value in re.findall(r"^(?:global|install|:env:)\.([\w-]+)=(.+)$", listed, re.MULTILINE):
        values[name] = " ".join(shlex.split(value))
    authorities = values.pop("cert", None) or os.environ.get("SSL_CERT_FILE")
    kept = {name: value for name, value in values.items() if name in _OF_THE_NETWORK}
    if authorities is not None:
        kept["cert"] = "/run/secrets/ca.pem"
    written = folder / "pip.conf"
    written.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items())]) + "\n")
    return {"pip.conf": written} | ({} if authorities is None else {"ca.pem": Path(authorities)})


_OF_THE_NETWORK = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries"}
