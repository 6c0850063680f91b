"""Bodies: what was answered, against what the run generates itself; and results of different items, which differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from loadtest import references
from loadtest.checks import clients
from loadtest.checks.case import Scope
from loadtest.result import Check

#: Meshes that are generated for the verdict: a fifth of a second each. What the upstream gives costs nothing.
SAMPLE = 12
_AS_GENERATED, _SOLID, _DIFFERENT = (
    "Bodies, as the generator makes them",
    "Meshes of the sample",
    "Bodies of different items",
)


def checks(scope: Scope) -> Iterator[Check]:
    """Those of the whole run."""
    answers = [
        request
        for phase in scope.case.run.phases
        for request in clients.generations(phase.requests)
        if request.status == 200
    ]
    settings = scope.case.settings
    if settings is None or not answers:
        why = "nothing was answered" if settings else "the settings cannot be used"
        for name in (_AS_GENERATED, _SOLID, _DIFFERENT):
            yield scope.lacks(name, "as generated", why)
        return
    calls = references.calls(settings)
    asked = {request.item for request in answers} & calls.keys()
    remote = {item for item in asked if references.is_remote(calls[item])}
    chosen = remote | set(references.sample(asked - remote, SAMPLE))
    known = {
        item: made
        for item in sorted(chosen)
        if (made := references.reference(calls[item].path, calls[item].body)) is not None
    }
    held = [request for request in answers if request.item in known]
    wrong = [
        f"{request.item}: {request.bytes:,} bytes, generated {known[request.item].bytes:,}"
        for request in held
        if (request.digest, request.bytes) != (known[request.item].digest, known[request.item].bytes)
    ]
    yield scope.none(_AS_GENERATED, wrong, len(held), "answer", expected="byte for byte")
    meshes = [made for made in known.values() if made.solid is not None]
    if asked - remote:
        yield scope.all_of(_SOLID, sum(bool(made.solid) for made in meshes), len(meshes), " parse and are watertight")
    yield _different(scope, {(request.item, request.digest) for request in answers})


def _different(scope: Scope, answered: set[tuple[str, str]]) -> Check:
    owners: dict[str, set[str]] = defaultdict(set)
    for item, digest in answered:
        owners[digest].add(item)
    shared = [", ".join(sorted(items)[:2]) for items in owners.values() if len(items) > 1]
    return scope.none(_DIFFERENT, shared, len(owners), "body", called="of several items")
