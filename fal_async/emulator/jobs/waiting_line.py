"""Waiting jobs in order of arrival, with positions that stay cheap when ten thousand of them ask."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """A first-in-first-out line from which anyone may step out.

    Each entry draws a ticket. Its position is its distance from the head, less those who left in between:
    a bisection over the few that left, never a walk over the many that wait.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, T] = {}
        self._left: list[int] = []
        self._head = 0
        self._next_ticket = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, entry: T) -> int:
        ticket = self._next_ticket
        self._next_ticket += 1
        self._waiting[ticket] = entry
        return ticket

    def pop(self) -> T:
        """The entry at the head. IndexError where nobody waits."""
        if not self._waiting:
            raise IndexError("pop from an empty line")
        self._skip_those_who_left()
        entry = self._waiting.pop(self._head)
        self._head += 1
        return entry

    def remove(self, ticket: int) -> None:
        """KeyError where this ticket no longer waits."""
        del self._waiting[ticket]
        insort(self._left, ticket)

    def position(self, ticket: int) -> int:
        """How many wait before this one: 0 for the next to be served."""
        return ticket - self._head - bisect_left(self._left, ticket)

    def _skip_those_who_left(self) -> None:
        while self._left and self._left[0] == self._head:
            del self._left[0]
            self._head += 1
