"""`/_emulator/requests`: the HTTP requests that arrived."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.admin.order import Order, Routes


def _requests(order: Order) -> list[dict[str, Any]]:
    recorder = order.core.recorder
    if not recorder.keeps:
        raise ValueError("requests are not kept: start the emulator with --record (record=True)")
    return [
        {
            **attrs.asdict(request, recurse=False),
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body": request.body.decode(errors="replace"),
        }
        for request in recorder.requests()
    ]


def _clear(order: Order) -> None:
    order.core.recorder.clear()


ROUTES: Routes = {("GET", "requests"): _requests, ("DELETE", "requests"): _clear}
