"""Waiting jobs in order of arrival, with positions that are cheap even for ten thousand jobs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Hashable
from heapq import nsmallest
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
G = TypeVar("G", bound=Hashable)


class WaitingLine(Generic[G, T]):
    """A first-in-first-out queue of several groups, from which any entry can be removed.

    Each entry gets a ticket, a number that grows. The position of an entry is its distance from the head minus the
    removed entries between them. A bisection over the removed entries finds it, without visiting all waiting ones.
    """

    def __init__(self) -> None:
        self._groups: dict[G, OrderedDict[int, T]] = {}
        self._count = 0
        self._left: list[int] = []
        self._head = 0
        self._next_ticket = 0

    def __len__(self) -> int:
        return self._count

    def push(self, entry: T, group: G) -> int:
        ticket = self._next_ticket
        self._next_ticket += 1
        self._groups.setdefault(group, OrderedDict())[ticket] = entry
        self._count += 1
        return ticket

    def pop(self, may_go: Callable[[G], bool]) -> T | None:
        """Remove and return the first entry whose group may start, or None."""
        heads = [(next(iter(line)), group) for group, line in self._groups.items() if line and may_go(group)]
        if not heads:
            return None
        ticket, group = min(heads, key=lambda head: head[0])
        entry = self._groups[group][ticket]
        self.remove(ticket, group)
        return entry

    def first(self, count: int) -> list[T]:
        """Return the first entries of all groups, at most `count`."""
        starts = [entry for line in self._groups.values() for entry in islice(line.items(), count)]
        return [entry for _, entry in nsmallest(count, starts, key=lambda start: start[0])]

    def first_of(self, group: G) -> T | None:
        """Return the entry of a group that has waited longest, or None."""
        line = self._groups.get(group)
        return next(iter(line.values())) if line else None

    def remove(self, ticket: int, group: G) -> None:
        """Remove an entry. Raise KeyError if it does not wait any more."""
        del self._groups[group][ticket]
        self._count -= 1
        if ticket != self._head:
            insort(self._left, ticket)
            return
        self._head += 1
        skipped = 0
        while skipped < len(self._left) and self._left[skipped] == self._head:
            self._head += 1
            skipped += 1
        del self._left[:skipped]

    def position(self, ticket: int) -> int:
        """Return how many entries are ahead of this one, 0 for the next."""
        return ticket - self._head - bisect_left(self._left, ticket)
