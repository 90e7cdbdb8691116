"""A webhook delivery that is not done."""

from __future__ import annotations

import attrs

from fal_async.emulator.jobs.job import Job


@attrs.define(eq=False, kw_only=True)
class PendingDelivery:
    """The automatic delivery of a request's webhook, until it is done or given up.

    Attributes:
        job: the request.
        url: URL of the receiver.
        attempt: number of the attempt that is made or comes next, from 1.
        due: when it is made, in seconds since the epoch.
    """

    job: Job
    url: str = attrs.field(repr=False)
    attempt: int = 1
    due: float
