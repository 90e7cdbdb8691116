"""`/_emulator/webhooks`: the attempts, and deliveries on demand."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.admin.job_details import brief_attempt
from fal_async.emulator.admin.listed import listed, wish_of
from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.scopes.scope_webhooks import attempts_of
from fal_async.emulator.webhooks.deliveries import WebhookAttempt
from fal_async.emulator.wire.answers import Answer


async def _attempts(order: Order) -> Answer:
    """List the attempts, as `listed.py` describes, filtered by the query's `scope`."""
    core, wish, scope = order.core, wish_of(order.call.query), order.scope
    return await listed(
        core.webhooks.attempts if scope is None else attempts_of(core, scope.account),
        wish,
        name=lambda attempt: f"{attempt.request_id} {attempt.at}",
        fits=None,
        texts=lambda attempt: (attempt.request_id, attempt.url, str(attempt.status), attempt.error),
        shown=brief_attempt if wish.brief else _whole,
    )


def _whole(attempt: WebhookAttempt) -> dict[str, Any]:
    return {**attrs.asdict(attempt, recurse=False), "body": attempt.body.decode(errors="replace")}


def _deliver(order: Order) -> None:
    """Read `{"request_id", "url"?, "age"?, "copies"?}`, for late deliveries and duplicates."""
    wanted = order.wanted
    for _ in range(int(wanted.get("copies", 1))):
        order.core.webhooks.deliver_soon(
            str(wanted["request_id"]), wanted.get("url"), age=float(wanted.get("age", 0))
        )


def _set_automatic(order: Order) -> None:
    """Read `{"automatic"}`."""
    webhooks, automatic = order.core.webhooks, bool(order.wanted["automatic"])
    if order.scope is None:
        webhooks.automatic = automatic
    else:
        webhooks.set_automatic(order.scope.account, automatic)


def _rotate_key(order: Order) -> None:
    """Read `{"retire"?}`."""
    order.core.webhooks.keys.rotate(retire=bool(order.wanted.get("retire", False)))


ROUTES: Routes = {
    ("GET", "webhooks"): _attempts,
    ("POST", "webhooks"): _deliver,
    ("POST", "webhooks/automatic"): _set_automatic,
    ("POST", "webhooks/rotate"): _rotate_key,
}
