"""`/_emulator/pause`, `restart`, `drop`: outages of the server. `state/save`: saves to the allowed folder."""

from __future__ import annotations

import asyncio

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.wire.answers import Answer, request_error

_ANSWER_LEAVES = 0.05
"""Seconds between this call's answer and the downtime, in which the answer is sent."""


def _pause(order: Order) -> None:
    """Read `{"seconds"}`."""
    order.downtime.go_away(float(order.wanted["seconds"]), after=_ANSWER_LEAVES)


def _drop(order: Order) -> None:
    asyncio.get_running_loop().call_later(_ANSWER_LEAVES, order.downtime.drop_connections)


def _restart(order: Order) -> None:
    """Read `{"keep_memory"?, "downtime"?}`."""
    keep, downtime = bool(order.wanted.get("keep_memory", True)), float(order.wanted.get("downtime", 0))
    order.downtime.restart_soon(keep_memory=keep, downtime=downtime, after=_ANSWER_LEAVES)


async def _save(order: Order) -> Answer | None:
    """Save; the body has nothing, so that a caller can't choose where."""
    if order.wanted:
        return request_error(400, "Expected no body: the state is saved to the folder of --state")
    if not order.core.saving:
        return request_error(
            403,
            "No folder is allowed: start the emulator with --state DIR, or call emulator.allow_saving(DIR)",
        )
    try:
        for save in order.core.saving:
            await save()
    except OSError as error:
        return request_error(500, f"The state was not saved: {error}")
    return None


ROUTES: Routes = {
    ("POST", "pause"): _pause,
    ("POST", "restart"): _restart,
    ("POST", "drop"): _drop,
    ("POST", "state/save"): _save,
}
