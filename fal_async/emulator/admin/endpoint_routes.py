"""`/_emulator/endpoints`: endpoints that are added over HTTP, by a document."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.declared.added import add_declared


def _list(order: Order) -> dict[str, Any]:
    """Return the endpoints that were added over HTTP, in the form in which they were sent."""
    return {"endpoints": {name: entry.document for name, entry in order.core.declared.items()}}


def _add(order: Order) -> dict[str, Any]:
    """Read `{"endpoints": {id: table}}`; if one of them is wrong, none is added."""
    add_declared(order.core, order.registration, order.wanted, "the body")
    return _list(order)


def _remove(order: Order) -> None:
    """Remove one endpoint that was added over HTTP, `{"endpoint_id"}`; without a body, all of them."""
    core = order.core
    for name in [order.wanted["endpoint_id"]] if order.call.body.strip() else list(core.declared):
        before = core.declared.pop(name)
        core.endpoints.restore(name, before.endpoint)
        core.prices.set(name, before.price)


ROUTES: Routes = {
    ("GET", "endpoints/declared"): _list,
    ("POST", "endpoints"): _add,
    ("DELETE", "endpoints"): _remove,
}
