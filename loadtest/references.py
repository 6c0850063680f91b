"""What items have to be answered, byte for byte: generated here, with the pipeline's own code, without any service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import iter_unpack
from urllib.parse import parse_qs, urlsplit

from loadtest import chat, upstream, workload
from loadtest.answers import digest
from loadtest.plan import Call
from loadtest.settings import Settings
from recoup.pipelines.relief.generation import generate
from recoup.pipelines.relief.parameters import read

_RELIEF, _REMOTE = "/api/generate/relief", "/api/generate/remote"
#: A binary STL: a header, the number of triangles, and of each its normal, its corners and two bytes more.
_STL_HEADER, _STL_TRIANGLE = 84, 50


@dataclass(frozen=True)
class Reference:
    """One item's result.

    Attributes:
        digest: As a journal has it.
        bytes: Its length.
        solid: Whether it is a mesh that parses and is watertight; None: it is no mesh.
    """

    digest: str
    bytes: int
    solid: bool | None = None


def content_type(item: str) -> str:
    """What the generator of an item calls its results."""
    return (
        "model/stl"
        if "relief" in item or not item.startswith(("audit-", "typical-remote-"))
        else (upstream.CONTENT_TYPE)
    )


@lru_cache(maxsize=4)
def calls(settings: Settings) -> Mapping[str, Call]:
    """By item, a call for it, of all that a run with these settings may ask for."""
    known: dict[str, Call] = {}
    for phase in workload.phases(settings):
        for lane in phase.lanes:
            for number, batch in enumerate(lane.batches()):
                if number > _MOST_BATCHES:
                    break  # typical traffic has no end, and asks for the same items again and again
                for call in batch if isinstance(batch, tuple) else ():
                    if call.kind == "generate" and call.raw is None:
                        known.setdefault(call.item, call)
    return known


_MOST_BATCHES = 20_000


def sample(items: Iterable[str], most: int) -> list[str]:
    """So many of the items, from all over their range; the same for the same items."""
    known = sorted(set(items))
    return known[:: max(1, -(-len(known) // most))] if known else []


@lru_cache(maxsize=512)
def reference(call_path: str, body: bytes) -> Reference | None:
    """The result of a call; None: its pipeline is not one of the load test's."""
    address = urlsplit(call_path)
    if address.path in (_REMOTE, chat.PATH):
        made = chat.answer(body).body if address.path == chat.PATH else upstream.result(body)
        return Reference(digest([made]), len(made))
    if address.path != _RELIEF:
        return None
    query = {name: tuple(values) for name, values in parse_qs(address.query).items()}
    made = generate(body, read(query)).body
    return Reference(digest([made]), len(made), is_solid(made))


def is_remote(call: Call) -> bool:
    """Whether the run's upstream makes it, which costs nothing here."""
    return call.path.startswith((_REMOTE, chat.PATH))


def is_solid(stl: bytes) -> bool:
    """Whether a binary STL parses, and is watertight: each edge of a triangle is another's in the other direction."""
    triangles = int.from_bytes(stl[80:84], "little")
    if not triangles or len(stl) != _STL_HEADER + _STL_TRIANGLE * triangles:
        return False
    edges: Counter[tuple[bytes, bytes]] = Counter()
    for _, a, b, c, _ in iter_unpack("12s12s12s12s2s", stl[_STL_HEADER:]):
        edges.update(((a, b), (b, c), (c, a)))
    return all(edges[(end, start)] == number for (start, end), number in edges.items())
