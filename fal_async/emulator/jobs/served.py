"""What the queue knows about an endpoint or a mounted application."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.jobs.polls import Polls
from fal_async.emulator.wire.routing import app_id

NO_LIMIT = 1_000_000
"""Runners of an endpoint whose calls are recordings, which say when a request starts."""


@attrs.frozen(kw_only=True, eq=False)
class Served:
    """An endpoint or a mounted application, as the queue sees it.

    Attributes:
        endpoint_id: the id under which it is served.
        runners: how many requests run at a time; further ones wait.
        public: whether calls without a key are accepted (protocol 1.2); default False.
        ignores_cancel: whether a running request continues after a cancel, and completes (protocol 4.5); default
            False.
        log_window: how many of the latest log entries a polled status shows (protocol 4.2). None (default): all.
        log_labels: whether log entries have `labels: {level, source}`, as the Swift and Java clients expect (4.2);
            default False.
        billable_units: what a success costs, unless the job sets another value; default 1.
        polls: how often a queued request is seen in each state. None (default): its states depend on time.
        is_workflow: whether its requests only call other endpoints: they take no place of the account's
            concurrency, and it is not in the list of models; default False.
        listed: whether lists of endpoints have it; default True.
        metadata: members of the model's metadata in `/v1/models` that are not the usual ones (protocol 11.1).
        created_at: when it was registered, in seconds since the epoch.
    """

    endpoint_id: str
    runners: int
    public: bool = False
    ignores_cancel: bool = False
    log_window: int | None = None
    log_labels: bool = False
    billable_units: float = 1
    polls: Polls | None = None
    is_workflow: bool = False
    listed: bool = True
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    created_at: float = attrs.field(factory=time.time)

    @property
    def app_id(self) -> str:
        """The id without its sub-path, as URLs about one request have it (protocol 2)."""
        return app_id(self.endpoint_id)


def check_runners(count: int) -> None:
    if count < 1:
        raise ValueError(f"runners={count}: expected an int >= 1")
