"""`/_emulator/pause`, `restart` and `drop`: outages of the server."""

from __future__ import annotations

import asyncio

from fal_async.emulator.admin.order import Order, Routes

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


ROUTES: Routes = {("POST", "pause"): _pause, ("POST", "restart"): _restart, ("POST", "drop"): _drop}
