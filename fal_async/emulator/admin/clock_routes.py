"""`/_emulator/clock`: the emulator's time, and how it is moved."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.wire.answers import request_error


def _clock(order: Order) -> dict[str, Any]:
    clock = order.core.clock
    return {"kind": clock.kind, "now": clock.now()}


async def _advance(order: Order) -> Any:
    """Read `{"seconds"}`, and answer when everything that was due has happened."""
    try:
        await order.core.clock.advance(float(order.wanted["seconds"]))
    except RuntimeError as error:
        return request_error(409, str(error))
    return _clock(order)


ROUTES: Routes = {("GET", "clock"): _clock, ("POST", "clock"): _advance}
