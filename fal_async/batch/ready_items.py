"""Items that are complete and were not yielded yet, in the order in which they ended, or in that of the inputs."""

from __future__ import annotations

from collections import deque
from typing import Any

from fal_async.batch.item import BatchItem


class ReadyItems:
    """Keeps items until the user requests them.

    If `ordered`, an item becomes ready only after all items before it, except those that were skipped.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._came: deque[BatchItem[Any]] = deque()
        self._waiting: dict[int, BatchItem[Any] | None] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._came) + len(self._waiting)

    @property
    def is_stuck(self) -> bool:
        """Whether there are items, and all of them wait for an earlier one."""
        return bool(self._waiting) and not self._came

    def put(self, item: BatchItem[Any]) -> None:
        """Add a complete item."""
        if self._ordered:
            self._waiting[item.index] = item
            self._move()
        else:
            self._came.append(item)

    def skip(self, index: int) -> None:
        """Note that there will be no item for this input, so that later items do not wait for it."""
        if self._ordered:
            self._waiting[index] = None
            self._move()

    def take(self) -> BatchItem[Any] | None:
        """Remove and return the next item; None if none is ready."""
        return self._came.popleft() if self._came else None

    def flush(self) -> None:
        """Make all items ready, because no earlier item will be added any more."""
        for index in sorted(self._waiting):
            self._next = index
            self._move()

    def _move(self) -> None:
        while self._next in self._waiting:
            item = self._waiting.pop(self._next)
            self._next += 1
            if item is not None:
                self._came.append(item)
