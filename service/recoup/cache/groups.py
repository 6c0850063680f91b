"""Groups: the names that entries carry, so that they can be purged together (RFC 9875).

A purge marks groups and returns. Their members are let go at once where they are few, else a few at a time; until the
last is gone, readers look through a `PurgingView`, which passes over those that were purged. So a purge takes the same
time whatever is held, and before and after it a hit costs what it costs without groups.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any, Final

from recoup.cache.entry import CacheEntry

Entry = CacheEntry[Any]

_SLOT = 44  # of a dictionary: key, hash, value and index, as it is loaded on average
_TRACKED = 16  # what the garbage collector keeps before an object


class Group:
    """The members of one group in one pipeline.

    Attributes:
        name: Its name.
        pipeline: The name of the pipeline.
        members: Its entries, in the order in which they joined.
        unsettled: Entries that were members when it was purged and have not been looked at since, in parts.
        carrier: The member that the group's own bytes are accounted with.
        purged_epoch: Of the last purge of either kind; 0: there was none.
        hard_epoch: Of the last hard purge.
        soft_epoch: Of the last soft purge.
        soft_at: When the first of the soft purges was that are not done, in monotonic seconds.
    """

    __slots__ = (
        "carrier",
        "hard_epoch",
        "members",
        "name",
        "pipeline",
        "purged_epoch",
        "soft_at",
        "soft_epoch",
        "unsettled",
    )

    def __init__(self, name: str, pipeline: str, carrier: Entry) -> None:
        self.name = name
        self.pipeline = pipeline
        self.members: dict[Entry, None] = {}
        self.unsettled: tuple[dict[Entry, None], ...] = ()
        self.carrier = carrier
        self.purged_epoch = self.hard_epoch = self.soft_epoch = 0
        self.soft_at = 0.0

    def __iter__(self) -> Iterator[Entry]:
        for part in self.unsettled:
            yield from part
        yield from self.members

    def __len__(self) -> int:
        return len(self.members) + sum(map(len, self.unsettled))

    def is_only(self, entry: Entry | None) -> bool:
        """Whether an entry is its one member."""
        return self.carrier is entry and len(self) == 1

    def discard(self, entry: Entry) -> None:
        """Let a member go."""
        if entry in self.members:
            del self.members[entry]
            return
        for part in self.unsettled:
            part.pop(entry, None)

    def last(self) -> Entry | None:
        """One of the members, in O(1): taking out the last and putting it back also skips what was deleted."""
        for part in (self.members, *reversed(self.unsettled)):
            if part:
                entry, _ = part.popitem()
                part[entry] = None
                return entry
        return None

    def set_aside(self) -> None:
        """Have all members looked at again."""
        if self.members:
            self.unsettled = (*self.unsettled, self.members)
            self.members = {}

    def take_unsettled(self) -> Entry | None:
        """The next member to be looked at, which is among the others from now on; None: there is none left."""
        while self.unsettled:
            part = self.unsettled[-1]
            if part:
                entry, _ = part.popitem()
                self.members[entry] = None
                return entry
            self.unsettled = self.unsettled[:-1]
        return None


class Membership:
    """The groups of one entry; `epoch`: it is past all purges up to this one."""

    __slots__ = ("epoch", "groups")

    def __init__(self, groups: tuple[Group, ...], epoch: int) -> None:
        self.groups = groups
        self.epoch = epoch

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the groups."""
        return tuple(group.name for group in self.groups)

    def is_purged(self) -> bool:
        """Whether one of the groups was purged since. Takes no lock."""
        epoch = self.epoch
        return any(group.purged_epoch > epoch for group in self.groups)

    def is_hard_purged(self) -> bool:
        """Whether one of the groups was purged since, and not softly."""
        epoch = self.epoch
        return any(group.hard_epoch > epoch for group in self.groups)


#: Bytes of an entry's membership beside what is counted for each of its groups; of one group for each of its members;
#: and of a group with its first member.
MEMBERSHIP_BYTES: Final = _SLOT + sys.getsizeof(Membership((), 0)) + sys.getsizeof(()) + 2 * _TRACKED
MEMBER_BYTES: Final = 8 + _SLOT
GROUP_BYTES: Final = sys.getsizeof(Group.__new__(Group)) + sys.getsizeof({0: None}) + _SLOT + 2 * _TRACKED


class PurgingView(dict[Hashable, Entry]):
    """What readers look into while a purge is not done: the live entries without those that were purged.

    It is empty, so each look-up comes to `__missing__`. Takes no lock.
    """

    __slots__ = ("_live",)

    def __init__(self, live: dict[Hashable, Entry]) -> None:
        super().__init__()
        self._live = live

    def __missing__(self, key: Hashable) -> Entry:
        entry = self._live[key]
        membership = entry.membership
        if membership is not None:
            # The lines of `is_purged`, on the way of a hit.
            epoch = membership.epoch
            for group in membership.groups:
                if group.purged_epoch > epoch:
                    raise KeyError(key)
        return entry


def _no_growth(_entry: Entry, _more: int) -> None:
    """Nothing depends on it."""


def _nothing() -> None:
    pass


class GroupIndex:
    """The groups of all entries. Everything here runs under the cache's lock.

    Attributes:
        epoch: Purges so far.
        pending: Groups with members that have not been looked at since a purge.
        on_settled: Called when there are none any more.
        on_grown: Called with an entry that carries a group from now on, and the bytes of that.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.pending: dict[Group, None] = {}
        self.on_settled: Callable[[], None] = _nothing
        self.on_grown: Callable[[Entry, int], None] = _no_growth
        self._by_pipeline: dict[str, dict[str, Group]] = {}

    def size_of(self, pipeline: str, names: Collection[str], old: Entry | None) -> int:
        """The bytes that an entry takes more because of its groups, in the place of an old one.

        The bytes of a group itself are accounted with its first member, and once that leaves, with the last.
        """
        known = self._by_pipeline.get(pipeline, {})
        own = sum(_own_bytes(name) for name in names if name not in known or known[name].is_only(old))
        return MEMBERSHIP_BYTES + len(names) * MEMBER_BYTES + own

    def join(self, entry: Entry, names: Iterable[str]) -> None:
        """Make an entry a member of groups, each named once."""
        pipeline = entry.pipeline
        known = self._by_pipeline.setdefault(pipeline, {})
        groups = []
        for name in names:
            group = known.get(name)
            if group is None:
                group = known[name] = Group(name, pipeline, entry)
            group.members[entry] = None
            groups.append(group)
        entry.counters.memberships[entry] = Membership(tuple(groups), self.epoch)

    def leave(self, entry: Entry) -> int:
        """End an entry's membership.

        Returns:
            The bytes of groups that it carried and that other members carry from now on.
        """
        membership = entry.counters.memberships.pop(entry, None)
        if membership is None:
            return 0
        moved = 0
        for group in membership.groups:
            group.discard(entry)
            if group.carrier is not entry:
                continue
            heir = group.last()
            if heir is None:
                self._forget(group)
            else:
                group.carrier = heir
                own = _own_bytes(group.name)
                heir.size_bytes += own
                self.on_grown(heir, own)
                moved += own
        return moved

    def _forget(self, group: Group) -> None:
        if group in self.pending:
            del self.pending[group]
            if not self.pending:
                self.on_settled()
        known = self._by_pipeline[group.pipeline]
        del known[group.name]
        if not known:
            del self._by_pipeline[group.pipeline]

    def named(self, name: str, pipeline: str | None = None) -> list[Group]:
        """The groups of a name: one for each pipeline that has it, or that of one pipeline."""
        pipelines = self._by_pipeline.values() if pipeline is None else (self._by_pipeline.get(pipeline, {}),)
        return [known[name] for known in pipelines if name in known]

    def members(self, name: str, pipeline: str | None = None) -> list[Entry]:
        """The entries of a group, those that were purged among them."""
        return [entry for group in self.named(name, pipeline) for entry in group]

    def count(self, name: str, pipeline: str | None = None) -> int:
        """How many `members` gives."""
        return sum(map(len, self.named(name, pipeline)))

    def mark(self, names: Iterable[str], pipeline: str | None, now: float, *, soft: bool) -> list[Group]:
        """Begin a purge: what is a member now was purged. Its members have still to be settled.

        Returns:
            The groups that have any.
        """
        self.epoch = epoch = self.epoch + 1
        groups = [group for name in names for group in self.named(name, pipeline)]
        for group in groups:
            if soft:
                if not group.unsettled or group.soft_epoch <= group.hard_epoch:
                    group.soft_at = now
                group.soft_epoch = epoch
            else:
                group.hard_epoch = epoch
            group.purged_epoch = epoch
        return groups

    def defer(self, group: Group) -> None:
        """Let a group's members be settled later."""
        group.set_aside()
        self.pending[group] = None

    def next_unsettled(self) -> Entry | None:
        """The next entry to be settled; None: there is none left."""
        while self.pending:
            group = next(reversed(self.pending))
            entry = group.take_unsettled()
            if entry is not None:
                return entry
            del self.pending[group]
            if not self.pending:
                self.on_settled()
        return None


def _own_bytes(name: str) -> int:
    return GROUP_BYTES + sys.getsizeof(name)
