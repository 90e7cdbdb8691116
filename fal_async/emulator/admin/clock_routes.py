"""`/_emulator/clock`: the emulator's time, and how it is moved."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.wire.answers import bad_request, request_error


def _clock(order: Order) -> dict[str, Any]:
    clock = order.core.clock
    return {"kind": clock.kind, "now": clock.now()}


async def _advance(order: Order) -> Any:
    """Read `{"seconds"}`, and answer when everything that was due has happened."""
    seconds = order.wanted.get("seconds") if isinstance(order.wanted, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return bad_request('expected {"seconds": number}, such as {"seconds": 3600}')
    try:
        await order.core.clock.advance(seconds)
    except RuntimeError as error:
        return request_error(409, str(error))
    return _clock(order)


ROUTES: Routes = {("GET", "clock"): _clock, ("POST", "clock"): _advance}
