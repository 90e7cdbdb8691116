"""Within the emulator, imports go downward only: those inside functions and under TYPE_CHECKING, too."""

from __future__ import annotations

from pathlib import Path

import fal_async
from tests.structure.layers import Edge, edges_of

FLOORS = (
    {"wire", "defaults"},
    {"accounts", "storage", "faults", "listener"},
    {"jobs"},
    {"webhooks", "apps", "builtin"},
    {"core"},
    {"controls", "downtime", "operations"},
    {"operations.mounted", "admin"},
    {"gateway"},
    {"server"},
    {"serve", "pytest_plugin"},
    {""},  # the package itself: its public names, given out lazily
)
"""From the ground up. A folder counts as one; what stands on the same floor does not import one another."""


def inner_edges() -> list[Edge]:
    edges = edges_of(Path(fal_async.__file__).parent)
    return [edge for edge in edges if all(is_inner(name) for name in (edge.importer, edge.imported))]


def is_inner(module: str) -> bool:
    return f"{module}.".startswith("emulator.")


def room_of(module: str) -> str:
    inner = module.removeprefix("emulator").removeprefix(".")
    return "operations.mounted" if inner.startswith("operations.mounted") else inner.partition(".")[0]


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_imports_go_downward() -> None:
    upward = [
        str(edge)
        for edge in inner_edges()
        if (upper := room_of(edge.importer)) != (lower := room_of(edge.imported))
        and floor_of(upper) <= floor_of(lower)
    ]
    assert upward == []


def test_no_two_modules_import_each_other_by_any_way() -> None:
    imports: dict[str, set[str]] = {}
    for edge in inner_edges():
        imports.setdefault(edge.importer, set()).add(edge.imported)
    while free := {module for module in imports if not imports[module] & imports.keys()}:
        for module in free:
            del imports[module]
    assert imports == {}, "what is left imports itself in a circle"
