"""`/_emulator/faults` and `seed`: the scripted faults."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.faults.fault import Fault


def _faults(order: Order) -> list[dict[str, Any]]:
    return [fault.to_json() for fault in order.core.faults]


def _read(wanted: Any) -> list[Fault]:
    return [Fault.from_json(document) for document in (wanted if isinstance(wanted, list) else [wanted])]


def _add(order: Order) -> list[dict[str, Any]]:
    """Add one fault or a list of faults; if one of them is invalid, none is added."""
    faults = _read(order.wanted)
    order.core.faults.add(*faults)
    return [fault.to_json() for fault in faults]


def _remove(order: Order) -> None:
    """Remove one fault or a list of faults, given as they were added; without a body, all."""
    if not order.call.body.strip():
        order.core.faults.clear()
        return
    for fault in _read(order.wanted):
        order.core.faults.remove(fault)


def _seed(order: Order) -> None:
    """Read `{"seed"}`."""
    order.core.faults.seed(int(order.wanted["seed"]))


ROUTES: Routes = {
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add,
    ("DELETE", "faults"): _remove,
    ("POST", "seed"): _seed,
}
