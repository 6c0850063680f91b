"""All attacks, by name, in the order in which they run."""

from __future__ import annotations

from benchmarks.hostile.attack import Attack
from benchmarks.hostile.attacks import bodies, crowds, endings, framing, images, origins, slow, upstreams

ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for module in (bodies, images, slow, crowds, upstreams, framing, origins, endings)
    for attack in module.ATTACKS
}
