"""The faults of an emulator, and which call gets which fault."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import attrs

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.fault_fields import ANY
from fal_async.emulator.faults.kinds import check_operation

_WIRE_KINDS = frozenset({"index", "admin"})
"""No fault applies to these: they control the emulator, and list its hosts and endpoints."""

_PART_OF = {"realtime_token": "rest"}
"""Operations to which a fault on their whole host applies, too."""


@attrs.define(eq=False)
class _Entry:
    fault: Fault
    skip: int
    left: int | None
    struck: int = 0


class FaultScript:
    """The scripted faults of an emulator, as `emulator.faults`.

    A call gets at most one fault: the first that matches, in the order in which they were added. So after
    `add(Fault.answer(503, times=3), Fault.reset())` the first three calls get 503, and the fourth is reset. A fault
    is removed when it has applied `times` times; iterating yields those that are left.

    Attributes:
        struck: how many calls got a fault so far. A test checks with it that its fault has applied.
        first_seed: the seed with which the script was created; those of scopes begin with the same one.
    """

    def __init__(self, seed: int = 0, *, has_port: bool = True) -> None:
        self._entries: list[_Entry] = []
        self.first_seed: int = seed
        self._random = random.Random(seed)
        self._has_port = has_port
        self._lock = threading.Lock()  # tests may add and remove faults in another thread
        self.struck: int = 0

    def __iter__(self) -> Iterator[Fault]:
        """Yield the faults that may still apply."""
        return iter([entry.fault for entry in self._entries])

    def never_applied(self) -> list[Fault]:
        """Return the faults that no call has got so far."""
        return [entry.fault for entry in self._entries if not entry.struck]

    def __len__(self) -> int:
        return len(self._entries)

    def state(self) -> list[dict[str, Any]]:
        """Return each fault as JSON values, with how often it still applies, and how many calls it still skips.

        Returns:
            A list of `{"fault", "left", "skip"}`; `left` is None if the fault has no limit.
        """
        return [
            {"fault": entry.fault.to_json(), "left": entry.left, "skip": entry.skip}
            for entry in self._entries
        ]

    def restore(self, fault: Fault, *, left: int | None, skip: int) -> None:
        """Add a fault of a saved state, as `state` returns it; only the emulator calls this.

        Args:
            fault: the fault.
            left: how often it still applies. None: without a limit.
            skip: how many calls it still skips.
        """
        with self._lock:
            self._entries.append(_Entry(fault, skip, left))

    def seed(self, seed: int) -> None:
        """Restart the random generator behind `Fault.chance`.

        Args:
            seed: the new seed.
        """
        self._random.seed(seed)

    def add(self, *faults: Fault) -> None:
        """Add faults behind those that were added before.

        Args:
            *faults: the faults, in the order in which they apply.

        Raises:
            ValueError: If the kind of a fault cannot change the operation in its `on`, or if a fault of a scope
                would stop the whole emulator; then none is added.
        """
        for fault in faults:
            check_operation(fault.kind, fault.on)
            if not self._has_port and fault.effect.away is not None:
                raise ValueError(
                    f"a fault of kind {fault.kind!r} stops the emulator for all scopes: use Fault.reset() in a "
                    "scope, or add it to the faults of the emulator"
                )
        with self._lock:
            self._entries.extend(_Entry(fault, fault.after, fault.times) for fault in faults)

    def remove(self, fault: Fault) -> None:
        """Remove a fault. It does nothing if the fault has already applied `times` times or was never added.

        Args:
            fault: the fault; equal faults are removed, too.
        """
        with self._lock:
            self._entries = [entry for entry in self._entries if entry.fault != fault]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._entries.clear()

    def take(self, kind: str, endpoint_id: str | None) -> Fault | None:
        """Return the fault for a call, and count it as applied; None if no fault matches.

        The emulator calls this for every HTTP request.

        Args:
            kind: the operation of the call.
            endpoint_id: the endpoint of the call, or None.
        """
        if not self._entries or kind in _WIRE_KINDS:
            return None
        with self._lock:
            for entry in self._entries:
                if _fits(entry.fault, kind, endpoint_id) and self._applies(entry):
                    self.struck += 1
                    entry.struck += 1
                    return entry.fault
        return None

    def _applies(self, entry: _Entry) -> bool:
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
