"""Which call gets which fault."""

from __future__ import annotations

import random
from collections.abc import Iterator

import attrs

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.fault_fields import ANY
from fal_async.emulator.faults.kinds import check_operation

_WIRE_KINDS = frozenset({"index", "admin"})
"""Never struck: the way to ask for faults, and the page that says what is served."""

_PART_OF = {"realtime_token": "rest"}
"""Operations with a name of their own that a fault on their whole host strikes as well."""


@attrs.define(eq=False)
class _Entry:
    fault: Fault
    skip: int
    left: int | None


class FaultScript:
    """Faults in the order in which they were added; a call gets the first one that fits, and only that one.

    So three times 503 and then one reset strike in that order. `after` counts the calls that came so far.
    """

    def __init__(self, seed: int = 0) -> None:
        self._entries: list[_Entry] = []
        self._random = random.Random(seed)
        self.struck: int = 0
        """How many calls got a fault so far."""

    def __iter__(self) -> Iterator[Fault]:
        """Those that may still strike."""
        return iter([entry.fault for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def seed(self, seed: int) -> None:
        """Restart the generator that `chance` draws from."""
        self._random.seed(seed)

    def add(self, *faults: Fault) -> None:
        """ValueError, and none of them is added, where one names an operation to which its kind does nothing."""
        for fault in faults:
            check_operation(fault.kind, fault.on)
        for fault in faults:
            self._entries.append(_Entry(fault, fault.after, fault.times))

    def remove(self, fault: Fault) -> None:
        """No complaint where it has already been used up."""
        self._entries = [entry for entry in self._entries if entry.fault != fault]

    def clear(self) -> None:
        self._entries.clear()

    def take(self, kind: str, endpoint_id: str | None) -> Fault | None:
        """The fault for this call, if any; it counts as used."""
        if not self._entries or kind in _WIRE_KINDS:
            return None
        for entry in self._entries:
            if _fits(entry.fault, kind, endpoint_id) and self._strikes(entry):
                self.struck += 1
                return entry.fault
        return None

    def _strikes(self, entry: _Entry) -> bool:
        if entry.skip:
            entry.skip -= 1
            return False
        if entry.fault.chance < 1 and self._random.random() >= entry.fault.chance:
            return False
        if entry.left is not None:
            entry.left -= 1
            if entry.left == 0:
                self._entries.remove(entry)
        return True


def _fits(fault: Fault, kind: str, endpoint_id: str | None) -> bool:
    return fault.on in (ANY, kind, _PART_OF.get(kind)) and fault.endpoint_id in (None, endpoint_id)
