"""Waiting jobs in order of arrival, with positions that stay cheap when ten thousand of them ask."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
G = TypeVar("G", bound=Hashable)


class WaitingLine(Generic[G, T]):
    """A first-in-first-out line of several groups, from which anyone may step out.

    Each entry draws a ticket. Its position is its distance from the head, less those who left in between:
    a bisection over the few that left, never a walk over the many that wait.
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
        """The first entry whose group may go; None where there is none."""
        heads = [(next(iter(line)), group) for group, line in self._groups.items() if line and may_go(group)]
        if not heads:
            return None
        ticket, group = min(heads, key=lambda head: head[0])
        entry = self._groups[group][ticket]
        self.remove(ticket, group)
        return entry

    def first_of(self, group: G) -> T | None:
        """Who waits longest of this group."""
        line = self._groups.get(group)
        return next(iter(line.values())) if line else None

    def remove(self, ticket: int, group: G) -> None:
        """KeyError where this ticket no longer waits."""
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
        """How many wait before this one: 0 for the next to be served."""
        return ticket - self._head - bisect_left(self._left, ticket)
