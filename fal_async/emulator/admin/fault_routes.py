"""`/_emulator/faults` and `seed`: the scripted faults."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.fault_fields import ANY, ON
from fal_async.emulator.faults.kinds import DEFAULTS, KINDS, fields_of


def _faults(order: Order) -> list[dict[str, Any]]:
    return [fault.to_json() for fault in order.faults]


def _read(wanted: Any) -> list[Fault]:
    return [Fault.from_json(document) for document in (wanted if isinstance(wanted, list) else [wanted])]


def _add(order: Order) -> list[dict[str, Any]]:
    """Add one fault or a list of faults; if one of them is invalid, none is added."""
    faults = _read(order.wanted)
    order.faults.add(*faults)
    return [fault.to_json() for fault in faults]


def _remove(order: Order) -> None:
    """Remove one fault or a list of faults, given as they were added; without a body, all."""
    if not order.call.body.strip():
        order.faults.clear()
        return
    for fault in _read(order.wanted):
        order.faults.remove(fault)


def _kinds(_: Order) -> dict[str, Any]:
    """Return the operations, and for each kind of fault its fields with their defaults, and what it can change."""
    defaults = {field.name: field.default for field in attrs.fields(Fault)}
    return {
        "operations": list(ON),
        "kinds": {
            kind: {
                "fields": {name: _default(kind, name, defaults[name]) for name in sorted(fields_of(kind))},
                "operations": [name for name in ON if name == ANY or effect.knows(name)],
            }
            for kind, effect in KINDS.items()
        },
    }


def _default(kind: str, name: str, usual: Any) -> Any:
    value = DEFAULTS.get(kind, {}).get(name, usual)
    return None if isinstance(value, attrs.Factory) else value  # type: ignore[arg-type]


def _seed(order: Order) -> None:
    """Read `{"seed"}`."""
    order.faults.seed(int(order.wanted["seed"]))


ROUTES: Routes = {
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add,
    ("DELETE", "faults"): _remove,
    ("GET", "faults/kinds"): _kinds,
    ("POST", "seed"): _seed,
}
