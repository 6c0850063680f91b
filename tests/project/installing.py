"""What an extra installs, put into another environment without asking an index."""

from __future__ import annotations

import sysconfig
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def site_packages(environment: Path) -> Path:
    """Where a virtual environment has its packages."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras})


def distributions_of(extra: str) -> dict[str, Distribution]:
    """The distributions that `recoup[extra]` brings, with all that they need, as they are installed here."""
    collected: dict[str, Distribution] = {}
    needed = [Requirement(text) for text in distribution("recoup").requires or []]
    needed = [it for it in needed if it.marker is not None and it.marker.evaluate({"extra": extra})]
    while needed:
        requirement = needed.pop()
        name = canonicalize_name(requirement.name)
        if name not in collected:
            collected[name] = distribution(name)
            further = [Requirement(text) for text in collected[name].requires or []]
            needed += [it for it in further if _applies(it, requirement.extras)]
    return collected


def link_extra(extra: str, environment: Path) -> None:
    """Make an environment have what an extra installs, by links to what is installed here."""
    site = site_packages(environment)
    for installed in distributions_of(extra).values():
        for top in {file.parts[0] for file in installed.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(installed.locate_file(top))))
