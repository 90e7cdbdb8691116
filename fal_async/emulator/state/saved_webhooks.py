"""The keys that sign webhooks, and the deliveries that are still to be tried."""

from __future__ import annotations

import attrs

from fal_async.emulator.core import Core
from fal_async.emulator.webhooks.pending_delivery import PendingDelivery


@attrs.frozen(kw_only=True)
class SavedDelivery:
    """A delivery: the number of its next attempt, from 1, and when that is due, in seconds since the epoch."""

    request_id: str
    url: str
    attempt: int
    due: float


@attrs.frozen(kw_only=True)
class SavedWebhooks:
    """The private keys in hex by their ids, oldest first, and the deliveries."""

    automatic: bool = True
    keys: dict[str, str] = attrs.field(factory=dict)
    pending: list[SavedDelivery] = attrs.field(factory=list)


def take_webhooks(core: Core) -> SavedWebhooks:
    return SavedWebhooks(
        automatic=core.webhooks.automatic,
        keys=core.webhooks.keys.secrets(),
        pending=[
            SavedDelivery(request_id=one.job.request_id, url=one.url, attempt=one.attempt, due=one.due)
            for one in core.webhooks.pending
        ],
    )


def put_webhooks(core: Core, saved: SavedWebhooks) -> None:
    """Set the keys. The deliveries begin by `resume_deliveries`, when the emulator runs."""
    core.webhooks.automatic = saved.automatic
    core.webhooks.keys.restore(saved.keys)


def resume_deliveries(core: Core, saved: SavedWebhooks) -> None:
    for one in saved.pending:
        job = core.jobs.by_id.get(one.request_id)
        if job is not None:
            core.webhooks.begin(PendingDelivery(job=job, url=one.url, attempt=one.attempt, due=one.due))
