"""`/_emulator/endpoints`: endpoints that are added over HTTP, by a document."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.core import Replaced
from fal_async.emulator.declared.document import Declared, read_document


def _list(order: Order) -> dict[str, Any]:
    """Return the endpoints that were added over HTTP, in the form in which they were sent."""
    return {"endpoints": {name: entry.document for name, entry in order.core.declared.items()}}


def _add(order: Order) -> dict[str, Any]:
    """Read `{"endpoints": {id: table}}`; if one of them is wrong, none is added."""
    for each in read_document(order.wanted, "the body", None):
        before = _before(order, each)
        each.register(order.registration)
        order.core.declared[each.endpoint_id] = before
    return _list(order)


def _before(order: Order, declared: Declared) -> Replaced:
    """Return what to serve when the endpoint is removed: what was served before the first document with its id."""
    name, earlier = declared.endpoint_id, order.core.declared.get(declared.endpoint_id)
    return Replaced(
        document=declared.document,
        endpoint=order.core.endpoints.find(name) if earlier is None else earlier.endpoint,
        price=order.core.prices.find(name) if earlier is None else earlier.price,
    )


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
